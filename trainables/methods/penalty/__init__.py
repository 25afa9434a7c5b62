"""The paper's method (arXiv 2504.14301): a minimax with a penalty on the distortion of action clips beyond a budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Method
from trainables.stages import RECONSTRUCT, TRAINING_DATA, VIEW, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.methods.penalty.training import run

    return run(context)


MINIMAX = Stage(
    "minimax",
    _run,
    (*VIEW, "anonymizer", "action_classifier", "privacy_encoder", "minimax", "departures.detached_penalty"),
    TRAINING_DATA,
    ("reconstruct", "warm_up"),
    trains="minimax",
    version=2,
    parallel=True,
)

METHODS.register("penalty")(
    Method(
        source="Aslam & Nasrollahi, arXiv 2504.14301, Eq. 3-6 and Algorithm 1",
        stages=(RECONSTRUCT, WARM_UP, MINIMAX),
        anonymizer=MINIMAX.name,
    )
)
