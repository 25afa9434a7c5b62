"""Finding clips of the same person, by embeddings that are trained for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.attacks import ATTACK_TRAINING, ATTACKS, CLIPS, Attack, Need, attack_stage
from trainables.attacks.linkage.people import somebody_is_there_twice

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.attacks.linkage.training import run

    return run(context)


ATTACKS.register("linkage")(
    Attack(
        "Finding the same person again",
        "Given an anonymized clip of somebody: which other clip, anonymized or ordinary, shows the same person?",
        "linkability",
        "share of test clips whose most similar other clip shows the same person (rank-1); the easier of two searches counts,"
        " among anonymized or among ordinary clips",
        ("runs", "labels", "ordinary", "pairs", "pretrained"),
        attack_stage(
            "linkage",
            _run,
            (*ATTACK_TRAINING, "attacks.encoder", "attacks.weights", "attacks.people"),
            data=(CLIPS,),
            version=3,
        ),
        needs=Need("test clips of one person more than once, and of others", somebody_is_there_twice),
    )
)
