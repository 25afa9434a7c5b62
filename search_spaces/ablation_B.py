"""Figure 3 of the paper: the distortion budget B at lambda = 1, UCF101 + VISPR1."""

from search_spaces.registry import RAW, SPACES, Space, grid
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY

SPACES.register("ablation_B")(
    Space(
        source="Figure 3",
        question="How do action accuracy and leakage move as the anonymizer may distort more?",
        settings=(
            RAW,
            *grid({"minimax.distortion_budget": (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0), "minimax.penalty_weight": (1.0,)}),
        ),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        attacks="standard",
    )
)
