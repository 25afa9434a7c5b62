"""A small front in minutes: what `make demo` runs."""

from search_spaces.registry import RAW, SPACES, Space

FEW_EPOCHS = {
    "reconstruct.epochs": 6,
    "warm_up.epochs": 6,
    "minimax.epochs": 5,
    "evaluate_action.epochs": 10,
    "evaluate_privacy.epochs": 10,
}

SPACES.register("demo")(
    Space(
        source="none: a first look",
        question="Is there a trade-off at all?",
        settings=(
            RAW,
            {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.2, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
        generated_defaults=FEW_EPOCHS,
        attacks="standard",
    )
)
