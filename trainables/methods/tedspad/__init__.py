"""TeD-SPAD, self-supervised anonymization that keeps times of a video apart (arXiv 2308.11072): L_A = 0.7 L_T - L_B.

It has the networks and the recipe of the penalty method, so that rows of a table can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


class TedspadOptions(MethodOptions):
    """The weights of the losses, and the learning rate of f_A."""

    action_weight: Weight = 0.7  # of L_T in the loss of f_A
    triplet_weight: Weight = 0.1  # of the triplet loss in L_T
    margin: Weight = 1.0  # of the triplet loss
    anonymizer_rate: Weight = 0.4  # learning rate of f_A, in units of that of f_T


def _run(context: StageContext) -> Outcome:
    from trainables.methods.tedspad.training import run

    return run(context)


TEDSPAD = Stage("tedspad", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax", version=2)

METHODS.register("tedspad")(
    Method(
        source="Fioresi et al., arXiv 2308.11072, and the released code",
        stages=(RECONSTRUCT, WARM_UP, TEDSPAD),
        anonymizer=TEDSPAD.name,
        fixed={"minimax.penalty_weight": 0.0},
        options=TedspadOptions,
        approximate=(
            "it has the recipe of the penalty method, so that rows can be compared, and not its own: learning rates of 4e-5 for"
            " f_A and 1e-4 for f_T and f_B, constant (there 4e-6 and 1e-5, warmed up, then along a cosine); 8 pairs of images a"
            " batch (12); every 4th frame (every 2nd); both steps on every batch (alternating); frozen opponents normalise by"
            " the batch (running statistics); output in [0, 1] (unbounded); clips change in colour, flip and are erased (crops"
            " only); the triplet loss is of the features of f_T (of a normalised projection of them, 2048-512-128); f_T and f_B"
            " start from Kinetics-400 and from SimCLR (from checkpoints of their own on UCF101 and VISPR)"
        ),
    )
)
