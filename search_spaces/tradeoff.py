"""Does the method do what it claims? On data with known truth: raw, no penalty, and the strict end of the penalty."""

from search_spaces.demo import FEW_CLIPS
from search_spaces.registry import RAW, SPACES, Space

SPACES.register("tradeoff")(
    Space(
        source="Figure 3 and Table 3, in short",
        question="Does lambda = 0 hide the attributes, and does a strict budget keep the action?",
        settings=(
            RAW,
            {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
        generated_defaults={"evaluate_action.epochs": 24, "test_deployed": True},
        generated=FEW_CLIPS,
        attacks="standard",
    )
)
