"""A small front in minutes: what `make demo` runs."""

from search_spaces.registry import RAW, SPACES, Space

FEW_CLIPS = {"train_clips": 300, "test_clips": 180, "train_images": 300, "val_images": 90, "test_images": 240}
FEW_EPOCHS = {
    "reconstruct.epochs": 6,
    "warm_up.epochs": 6,
    "minimax.epochs": 5,
    "evaluate_action.epochs": 10,
    "evaluate_privacy.epochs": 10,
}
# What five minutes on two cores hold; attackers train as long as f_B'.
_FIVE_MINUTES = {"reconstruct.epochs": 5, "warm_up.epochs": 5, "evaluate_action.epochs": 12, "evaluate_privacy.epochs": 8}

SPACES.register("demo")(
    Space(
        source="none: a first look",
        question="Is there a trade-off at all?",
        settings=(
            RAW,
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
        generated_defaults={**FEW_EPOCHS, **_FIVE_MINUTES},
        generated=FEW_CLIPS,
        attacks="linkage",
    )
)
