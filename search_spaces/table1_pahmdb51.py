"""Table 1 of the paper, column PA-HMDB: trained on HMDB51 and VISPR1, both judges tested on PA-HMDB51."""

from search_spaces.protocols import KNOWN_PA_HMDB51
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_1_ROWS

SPACES.register("table1_pahmdb51")(
    Space(
        source="Table 1, PA-HMDB",
        question="Does it hold on videos whose own frames carry the private labels?",
        settings=TABLE_1_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(KNOWN_PA_HMDB51,),
        table=1,
    )
)
