"""STPrivacy, video-level anonymization by a transformer that drops tubelets (arXiv 2301.03046). Approximate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Method
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


def _run(context: StageContext) -> Outcome:
    from trainables.methods.stprivacy.training import run

    return run(context)


STPRIVACY = Stage("stprivacy", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax")

METHODS.register("stprivacy")(
    Method(
        source="Li et al., arXiv 2301.03046",
        stages=(RECONSTRUCT, WARM_UP, STPRIVACY),
        anonymizer=STPRIVACY.name,
        fixed={"anonymizer.name": "tubelets", "minimax.penalty_weight": 0.0},
        options={
            "keep": 0.7,  # share of tubelets kept in every time slice
            "keep_weight": 2.0,  # of (share kept in training - keep)^2
            "privacy_weight": 1.0,  # of the classifier's sureness
            "privacy_steps": 1,
        },
        approximate=(
            "neither the training code nor the loss weights were released: the depth of the transformer, the loss that"
            " holds the share of tubelets, its weight, and the adversary's loss (that of vita) are choices made here"
        ),
    )
)
