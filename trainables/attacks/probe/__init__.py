"""Whoever gets the features of the deployed action classifier, and not the video, fits linear classifiers on them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from trainables.attacks import ATTACKS, CLIPS, Attack, Need, attack_stage
from trainables.config import TrialConfig
from trainables.data.trial_data import TrialData
from trainables.stages import ATTACKED, EVALUATE_ACTION, TEST_VIEW

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.probe.training import run

    return run(context)


def unseen(items: Iterable[Any], config: TrialConfig, data: TrialData) -> list[Any]:
    """Those of the clips that f_T' was not trained on."""
    evaluated = data.action_evaluation
    seen = {item.path for item in (*evaluated.train, *(evaluated.validation if config.refit else ()))}
    return [item for item in items if item.path not in seen]


def _somebody_is_unseen(config: TrialConfig, data: TrialData) -> bool:
    clips = data.clips_with_attributes
    return data.attacked != CLIPS or bool(unseen((*clips.train, *clips.validation), config, data))


_FIELDS = (*TEST_VIEW, "anonymizer", "evaluate_action", "refit", "attacks.batch_size", "attacks.permuted")
_DATA = (ATTACKED, "action_evaluation")  # the classes of the latter shape f_T', and its clips are those that f_T' has seen

ATTACKS.register("probe")(
    Attack(
        "What the action classifier passes on",
        "Who gets not the video but only what the action classifier computes from it: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of a linear classifier of the features of f_T', which learns from"
        " clips that f_T' was not trained on",
        ("labels", "features"),
        attack_stage("probe", _run, _FIELDS, (EVALUATE_ACTION.name,), _DATA, trains=False, version=3),
        needs=Need("training or validation clips that f_T' was not trained on", _somebody_is_unseen),
    )
)
