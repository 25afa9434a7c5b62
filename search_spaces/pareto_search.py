"""A search of the front, beyond the paper's grids: Optuna through Tune, accuracy up and leakage down on validation data."""

from typing import Any

from search_spaces.registry import RAW, SPACES, Range, Search, Space, grid
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY

# For two CPU cores: one trial is about fifteen seconds on one of them.
SIZES: dict[str, Any] = {
    "generated_defaults": {**SMALL_STUDY, "evaluate_action.epochs": 10, "evaluate_privacy.clips": False},
    "generated": SMALL_DATA,
}

SPACES.register("pareto_search")(
    Space(
        source="none: the front that Figure 3 and Table 3 sample",
        question="Which B and lambda (by choice loss weights, learning rates and temperature) lie on the front?",
        settings=(
            RAW,
            *grid({"minimax.distortion_budget": (0.0, 0.1, 0.3), "minimax.penalty_weight": (1.0, 10.0)}),
        ),
        **SIZES,
        search=Search(
            axes={
                "minimax.distortion_budget": Range(0.0, 1.0),
                "minimax.penalty_weight": Range(0.1, 100.0, log=True),
            },
            further={
                "minimax.privacy_weight": Range(0.1, 10.0, log=True),
                "minimax.learning_rate_anonymizer": Range(1e-5, 1e-2, log=True),
                "minimax.learning_rate_action": Range(1e-5, 1e-2, log=True),
                "minimax.learning_rate_privacy": Range(1e-5, 1e-2, log=True),
                "minimax.temperature": Range(0.02, 1.0, log=True),
            },
            trials=48,
            objectives={"validation_top1": "max", "validation_leakage": "min"},
            sampler="tpe",
        ),
    )
)
