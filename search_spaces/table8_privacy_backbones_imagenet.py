"""Table 8 of the paper: as Table 7, by classifiers that start from ImageNet weights.

The profiles for CPUs start from scratch: there are no such weights for narrow networks. They then share all of Table 7.
"""

from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY
from search_spaces.table7_privacy_backbones import ATTACKERS, SMALL_ATTACKERS, attacked_by

SPACES.register("table8_privacy_backbones_imagenet")(
    Space(
        source="Table 8",
        question="How much more does an attacker read who starts from ImageNet?",
        settings=attacked_by(ATTACKERS, "imagenet"),
        small_settings=attacked_by(SMALL_ATTACKERS, None),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        table=8,
    )
)
