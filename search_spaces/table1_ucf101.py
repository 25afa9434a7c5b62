"""Table 1 of the paper, columns UCF101 and VISPR1: methods on the data they were trained for."""

from search_spaces.protocols import KNOWN_UCF101
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_1_ROWS

SPACES.register("table1_ucf101")(
    Space(
        source="Table 1, UCF101 and VISPR1",
        question="What does each method cost in accuracy, and what does it hide, on known data?",
        settings=TABLE_1_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(KNOWN_UCF101,),
        table=1,
    )
)
