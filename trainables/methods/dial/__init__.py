"""One anonymizer for a whole front: it is told its operating point, and is trained for all of them at once.

For every clip of a batch the dial is drawn anew from [0, 1], and the loss is that of the operating point that it stands for
(loss-conditional training, Dosovitskiy and Djolonga, ICLR 2020). Evaluated at any `options.at` it gives a point of the front;
the stages that train it are the same for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from trainables.methods import METHODS, Method, MethodOptions, Weight
from trainables.methods.penalty import MINIMAX
from trainables.stages import RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


class DialOptions(MethodOptions):
    """The operating points between which the dial leads, from 0 to 1, and the one at which f_A is evaluated."""

    at: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    budget_from: Weight = 0.0  # B at 0
    budget_to: Weight = 0.4  # B at 1
    privacy_from: Weight = 1.0  # the weight of L_B at 0
    privacy_to: Weight = 1.0  # and at 1


def _run(context: StageContext) -> Outcome:
    from trainables.methods.dial.training import run

    return run(context)


_RANGE = tuple(f"options.{name}" for name in DialOptions.model_fields if name != "at")

DIAL = Stage(
    "dial",
    _run,
    (*MINIMAX.fields, *_RANGE),
    TRAINING_DATA,
    ("reconstruct", "warm_up"),
    trains="minimax",
    parallel=True,
)

METHODS.register("dial")(
    Method(
        source="none: this paper's minimax (arXiv 2504.14301) with the training of Dosovitskiy & Djolonga, ICLR 2020",
        stages=(RECONSTRUCT, WARM_UP, DIAL),
        anonymizer=DIAL.name,
        fixed={"minimax.distortion_budget": 0.0, "minimax.privacy_weight": 1.0},  # the options say them
        recipe={"anonymizer.dial": "blend"},
        options=DialOptions,
        applied_options=("at",),
    )
)
