"""Table 6 of the paper: an attacker who has only raw images to learn from, tested on anonymized ones."""

from search_spaces.protocols import RAW_ATTACKER_PA_HMDB51, RAW_ATTACKER_VISPR1, RAW_ATTACKER_VISPR2
from search_spaces.registry import RAW, SPACES, Space
from search_spaces.shared_rows import OURS, SMALL_DATA, SMALL_STUDY, SPACT, VITA

SPACES.register("table6_raw_attacker")(
    Space(
        source="Table 6",
        question="What does an attacker read who has never seen an anonymized image?",
        settings=(RAW, VITA, SPACT, *OURS),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(RAW_ATTACKER_VISPR1, RAW_ATTACKER_VISPR2, RAW_ATTACKER_PA_HMDB51),
        table=6,
    )
)
