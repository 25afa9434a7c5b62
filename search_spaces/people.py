"""A hundred people, each seen in every action: how often is one of them singled out, or linked?"""

from search_spaces.demo import FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space
from trainables.data.generated import PERSON_PATTERN

SPACES.register("people")(
    Space(
        source="none: two of the three criteria of WP216",
        question="Among how many people is one of them still singled out, or linked, in raw, anonymized and blank clips?",
        settings=(
            RAW,
            {"method": "blank"},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
        generated_defaults={
            **FEW_EPOCHS,
            "data.action.group_pattern": PERSON_PATTERN,
            "evaluate_privacy.clips": False,
            "attacks.epochs": 60,  # until it finds nearly everybody in raw clips
        },
        generated={
            "train_clips": 600,
            "test_clips": 600,
            "train_images": 160,
            "val_images": 60,
            "test_images": 120,
            "people": 100,
        },
        attacks="linkage",
    )
)
