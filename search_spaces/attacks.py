"""How private is it really? Anonymizers whose answers are known, and two that were trained, before every attacker."""

from search_spaces.demo import FEW_CLIPS, FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space

SPACES.register("attacks")(
    Space(
        source="none: what an adversary does beyond Table 1",
        question="Do the attackers read raw data, nothing of blank frames, and what hides behind a mild blur?",
        settings=(
            RAW,
            {"method": "blank"},
            {"method": "mild_blur"},
            {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 10.0},
            {"minimax.penalty_weight": 0.0},
        ),
        generated_defaults={
            **FEW_EPOCHS,
            "attacks.epochs": 16,  # more than those of f_B': what an attacker reads is the subject here
            # what a blur is meant to hide: colours and shapes survive it, and everybody reads them
            "data.clip_privacy.name": "ucf101",
            "data.clip_privacy.folder": "known",
            "data.clip_privacy.attributes": ("belted", "badge"),
        },
        generated=FEW_CLIPS,
        attacks="all",
    )
)
