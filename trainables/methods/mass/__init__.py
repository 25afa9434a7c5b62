"""MaSS, multi-attribute selective suppression (arXiv 2210.09904; with bounds on information: arXiv 2405.14981, ICML 2024).

It has the networks and the recipe of the penalty method, so that rows of a table can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Count, Method, MethodOptions, Weight
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


class MassOptions(MethodOptions):
    """Bounds on what may be known, and the weights of what exceeds them."""

    suppression_bound: Weight = 0.0  # m: nats that may be known of each attribute
    preservation_bound: Weight = 0.1  # n: nats that may be unknown of the action
    linear_weight: Weight = 1.0  # of the excess over a bound
    quadratic_weight: Weight = 1.0  # of the square of the excess
    contrast_weight: Weight = 0.1  # of InfoNCE
    temperature: Weight = 0.07  # of InfoNCE
    privacy_steps: Count = 1  # steps of the privacy classifier in an iteration


def _run(context: StageContext) -> Outcome:
    from trainables.methods.mass.training import run

    return run(context)


MASS = Stage("mass", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax", version=2)

METHODS.register("mass")(
    Method(
        source="Chen et al., arXiv 2210.09904 and 2405.14981, and the released code of the latter",
        stages=(RECONSTRUCT, WARM_UP, MASS),
        anonymizer=MASS.name,
        fixed={"minimax.penalty_weight": 0.0},
        options=MassOptions,
        approximate=(
            "published for single images, sound and motion signals: that clips are contrasted by the features of the f_T"
            " that reconstruction was learned with, and the bounds and weights for an action and its privacy set, are choices"
            " made here"
        ),
    )
)
