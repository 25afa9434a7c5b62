"""The rows that several tables of the paper share, and what all spaces of its tables have in common."""

from __future__ import annotations

from search_spaces.protocols import KNOWN_UCF101, Protocol
from search_spaces.registry import RAW, Space, Values, grid

PAPER_BUDGETS = (0.3, 0.5, 0.7, 0.9)
OURS: tuple[Values, ...] = grid({"minimax.distortion_budget": PAPER_BUDGETS, "minimax.penalty_weight": (1.0,)})
SPACT: Values = {"method": "spact"}
VITA: Values = {"method": "vita"}
STPRIVACY: Values = {"method": "stprivacy"}

OBFUSCATIONS: tuple[Values, ...] = tuple(
    {"method": name} for name in ("downsample_2x", "downsample_4x", "blackening", "strong_blur", "weak_blur")
)
# Table 1 from top to bottom; Table 2 has no obfuscations.
TABLE_1_ROWS: tuple[Values, ...] = (RAW, *OBFUSCATIONS, VITA, SPACT, STPRIVACY, *OURS)
TABLE_2_ROWS: tuple[Values, ...] = (RAW, VITA, SPACT, STPRIVACY, *OURS)

# On generated data: sizes at which a space of many trials ends on two CPU cores in minutes. They show that everything runs and
# is shared, and are too small to rank methods.
SMALL_DATA: Values = {"train_clips": 160, "test_clips": 96, "train_images": 160, "val_images": 60, "test_images": 120}
SMALL_STUDY: Values = {
    "reconstruct.epochs": 4,
    "warm_up.epochs": 3,
    "minimax.epochs": 3,
    "evaluate_action.epochs": 6,
    "evaluate_privacy.epochs": 5,
}


def table_space(
    table: int,
    source: str,
    question: str,
    settings: tuple[Values, ...],
    protocols: tuple[Protocol, ...] = (KNOWN_UCF101,),
    small_settings: tuple[Values, ...] | None = None,
) -> Space:
    """The space of one table of the paper, or of one of its columns; on generated data it is small."""
    return Space(
        source=source,
        question=question,
        settings=settings,
        small_settings=small_settings,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=protocols,
        table=table,
    )
