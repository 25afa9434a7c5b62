"""STPrivacy, video-level anonymization by a transformer that drops tubelets (arXiv 2301.03046). Approximate."""

from trainables.methods import METHODS, Method
from trainables.stages import MINIMAX_FIELDS, RECONSTRUCT, TRAINING_DATA, WARM_UP, Stage

STPRIVACY = Stage(
    "stprivacy", "trainables.methods.stprivacy.training:run", MINIMAX_FIELDS, TRAINING_DATA, ("reconstruct", "warm_up")
)

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
