"""Whoever gets the features of the deployed action classifier, and not the video, fits linear classifiers on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACKS, Attack, attack_stage
from trainables.stages import ATTACKED, EVALUATE_ACTION, TEST_VIEW

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.probe.training import run

    return run(context)


_FIELDS = (*TEST_VIEW, "anonymizer", "evaluate_action", "refit", "attacks.batch_size", "attacks.permuted")
_DATA = (ATTACKED, "action_evaluation")  # the classes of the latter shape f_T', and its clips are those that f_T' has seen

ATTACKS.register("probe")(
    Attack(
        "What the action classifier passes on",
        "Who gets not the video but only what the action classifier computes from it: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of a linear classifier of the features of f_T'; of one that learns"
        " from clips that f_T' was trained on and one that learns from others, the stronger counts",
        attack_stage("probe", _run, _FIELDS, (EVALUATE_ACTION.name,), _DATA, trains=False),
    )
)
