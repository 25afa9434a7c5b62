"""A small front in minutes: what `make demo` runs."""

from search_spaces.registry import RAW, SPACES, Space

SPACES.register("demo")(
    Space(
        source="none: a first look",
        question="Is there a trade-off at all?",
        settings=(
            RAW,
            {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.3, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
    )
)
