"""Whoever knows the anonymizer trains classifiers of several architectures on anonymized frames, with labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, ATTRIBUTES_MEASURE, Attack, attack_stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.retrained.training import run

    return run(context)


RETRAINED = attack_stage("retrained", _run, (*ATTACK_TRAINING, "attacks.ensemble", "attacks.weights"))

ATTACKS.register("retrained")(
    Attack(
        "Retrained classifiers",
        "Who knows how the frames are anonymized and trains on such frames: what can be read of a person?",
        "inference",
        ATTRIBUTES_MEASURE,
        ("runs", "labels", "pretrained"),
        RETRAINED,
    )
)
