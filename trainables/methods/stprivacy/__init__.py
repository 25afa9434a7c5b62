"""STPrivacy, video-level anonymization by a transformer that drops tubelets (arXiv 2301.03046). Approximate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.methods import METHODS, Count, Method, MethodOptions, Weight
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

if TYPE_CHECKING:
    from trainables.execution.context import StageContext
    from trainables.store import Outcome


class STPrivacyOptions(MethodOptions):
    """How many tubelets are kept, and the weights of the losses of f_A."""

    keep: Weight = 0.7  # share of the tubelets kept in every time slice
    keep_weight: Weight = 2.0  # of (share kept in training - keep)^2
    privacy_weight: Weight = 1.0  # of the negative entropy of the privacy classifier
    privacy_steps: Count = 1  # steps of the privacy classifier in an iteration


def _run(context: StageContext) -> Outcome:
    from trainables.methods.stprivacy.training import run

    return run(context)


STPRIVACY = Stage("stprivacy", _run, MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up"), trains="minimax", version=2)

METHODS.register("stprivacy")(
    Method(
        source="Li et al., arXiv 2301.03046",
        stages=(RECONSTRUCT, WARM_UP, STPRIVACY),
        anonymizer=STPRIVACY.name,
        fixed={"anonymizer.name": "tubelets", "anonymizer.encoder_weights": None, "minimax.penalty_weight": 0.0},
        options=STPrivacyOptions,
        over_time=True,
        undivided="which weighs the share of tubelets that it keeps of a whole batch",
        approximate=(
            "neither the training code nor the loss weights were released: the depth of the transformer, the loss that"
            " holds the share of tubelets, its weight, and the adversary's loss (that of vita) are choices made here"
        ),
    )
)
