"""A search of the front itself, beyond the paper's grids: Optuna through Tune, accuracy up and leakage down."""

from typing import Any

from search_spaces.registry import RAW, SPACES, Range, Search, Space, grid

# Sizes for two CPU cores: one trial is about twenty seconds on one of them, and the judges learn something.
SIZES: dict[str, Any] = {
    "generated_defaults": {
        "reconstruct.epochs": 6,
        "warm_up.epochs": 5,
        "minimax.epochs": 3,
        "evaluate_action.epochs": 12,
        "evaluate_privacy.epochs": 8,
        "evaluate_privacy.clips": False,
    },
    "generated": {"train_clips": 240, "test_clips": 180, "train_images": 300, "val_images": 100, "test_images": 240},
}

SPACES.register("pareto_search")(
    Space(
        source="none: the front that Figure 3 and Table 3 sample",
        question="Which B, lambda, loss weights, learning rates and temperature lie on the front?",
        settings=(
            RAW,
            *grid({"minimax.distortion_budget": (0.0, 0.1, 0.3), "minimax.penalty_weight": (1.0, 10.0)}),
        ),
        **SIZES,
        search=Search(
            axes={
                "minimax.distortion_budget": Range(0.0, 1.0),
                "minimax.penalty_weight": Range(0.1, 100.0, log=True),
                "minimax.privacy_weight": Range(0.1, 10.0, log=True),
                "minimax.learning_rate_anonymizer": Range(1e-5, 1e-2, log=True),
                "minimax.learning_rate_action": Range(1e-5, 1e-2, log=True),
                "minimax.learning_rate_privacy": Range(1e-5, 1e-2, log=True),
                "minimax.temperature": Range(0.02, 1.0, log=True),
            },
            trials=48,
            objectives={"top1": "max", "leakage": "min"},
            sampler="tpe",
        ),
    )
)
