"""Whoever trains on whole clips, with the network of an action classifier, sees how somebody moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, CLIPS, LABELLED_CLIPS, Attack, attack_stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.temporal.training import run

    return run(context)


ATTACKS.register("temporal")(
    Attack(
        "Classifier of whole clips",
        "Who looks at whole clips, at motion and not only at single frames: what can be read of a person?",
        "inference",
        "mean average precision over the private attributes of a classifier that sees a whole clip",
        ("runs", "labels", "pretrained"),
        attack_stage("temporal", _run, (*ATTACK_TRAINING, "attacks.clip_network"), data=(CLIPS,)),
        needs=LABELLED_CLIPS,
        standard=False,
    )
)
