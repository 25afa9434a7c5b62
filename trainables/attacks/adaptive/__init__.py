"""Whoever knows the method, holds f_A with its weights, and makes pairs of any video: what the other attackers leave out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, Attack, Need, attack_stage
from trainables.attacks.retrained import RETRAINED
from trainables.config import TrialConfig
from trainables.data.trial_data import TrialData
from trainables.methods import method_of
from trainables.stages import ANONYMIZER, VIEW, Stage, part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _restorer(context: StageContext) -> Outcome:
    from trainables.attacks.adaptive.training import restorer

    return restorer(context)


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.adaptive.training import run

    return run(context)


def _has_gradients(config: TrialConfig, data: TrialData) -> bool:
    """Whether f_A is a network of PyTorch that changes the whole frame."""
    method = method_of(config)
    return not (method.given or method.exchanged or method.boxes)


# Learned from the video that f_A was trained on, whatever is attacked; no labels are looked at.
RESTORER = Stage(
    "adaptive_restorer",
    _restorer,
    (
        *VIEW,
        "codec",
        "anonymizer",
        "attacks.batch_size",
        "attacks.frames",
        "attacks.epochs",
        "attacks.learning_rate",
        "attacks.decoder_width",
    ),
    ("action",),
    (ANONYMIZER,),
    trains="attacks",
)

ATTACKS.register("adaptive")(
    Attack(
        "Everything at once, with the anonymizer in hand",
        "Who holds the anonymizer itself, undoes it by its own inner numbers, and learns from the published and the restored"
        " frames together: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes, averaged over the frames of a test item, of classifiers that see"
        " each frame as it was published and as it was restored; of several the strongest counts",
        ("method", "runs", "weights", "labels", "ordinary", "pairs", "public", "pretrained"),
        attack_stage(
            "adaptive",
            _run,
            (*ATTACK_TRAINING, "attacks.ensemble", "attacks.decoder_width"),
            (RETRAINED.name, part_name(RETRAINED.name, "raw"), RESTORER.name),
            version=1,
        ),
        needs=Need("an anonymizer of whole frames whose gradients can be computed", _has_gradients),
        standard=False,
        prepared=(RESTORER,),
    )
)
