"""Table 6 of the paper: an attacker who has only raw images to learn from, tested on anonymized ones."""

from search_spaces.protocols import RAW_ATTACKER_PA_HMDB51, RAW_ATTACKER_VISPR1, RAW_ATTACKER_VISPR2
from search_spaces.registry import RAW, SPACES
from search_spaces.shared_rows import OURS, SPACT, VITA, table_space

SPACES.register("table6_raw_attacker")(
    table_space(
        6,
        "Table 6",
        "What does an attacker read who has never seen an anonymized image?",
        (RAW, VITA, SPACT, *OURS),
        (RAW_ATTACKER_VISPR1, RAW_ATTACKER_VISPR2, RAW_ATTACKER_PA_HMDB51),
    )
)
