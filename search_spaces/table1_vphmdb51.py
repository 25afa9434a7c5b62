"""Table 1 of the paper, column VPHMDB: leakage on the very clips whose action is recognised."""

from search_spaces.protocols import KNOWN_VP_HMDB51
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_1_ROWS

SPACES.register("table1_vphmdb51")(
    Space(
        source="Table 1, VPHMDB",
        question="What leaks from the action clips themselves?",
        settings=TABLE_1_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(KNOWN_VP_HMDB51,),
        table=1,
    )
)
