"""Table 3 of the paper: the penalty weight lambda at B = 0.3, UCF101 + VISPR1."""

from search_spaces.registry import RAW, SPACES, Space, grid
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY

SPACES.register("ablation_lambda")(
    Space(
        source="Table 3",
        question="How strongly must the penalty weigh to protect the action?",
        settings=(
            RAW,
            *grid({"minimax.distortion_budget": (0.3,), "minimax.penalty_weight": (0.0, 0.1, 0.3, 0.5, 0.7, 1.0)}),
        ),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        table=3,
        attacks="standard",
    )
)
