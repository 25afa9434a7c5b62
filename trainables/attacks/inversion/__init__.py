"""Whoever can run the anonymizer trains a decoder to undo it; the restored frames are read by classifiers of raw ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, Attack, attack_stage
from trainables.attacks.retrained import RETRAINED
from trainables.stages import part_name

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.inversion.training import run

    return run(context)


_FIELDS = (*ATTACK_TRAINING, "attacks.ensemble", "attacks.decoder_width")

ATTACKS.register("inversion")(
    Attack(
        "Undoing the anonymization",
        "Who can run the anonymizer on video of their own and learns to undo it: what can be read in the restored frames?",
        "inference",
        "mean average precision over the private attributes, averaged over the frames of a test item, of classifiers that were"
        " trained on raw frames, in what the decoder restores",
        ("runs", "ordinary", "pairs", "pretrained"),
        attack_stage("inversion", _run, _FIELDS, (part_name(RETRAINED.name, "raw"),)),
        standard=False,
    )
)
