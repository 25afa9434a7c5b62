"""Table 1 of the paper: anonymizers evaluated on the data sets they were trained for, one space for each of its columns."""

from search_spaces.protocols import KNOWN_PA_HMDB51, KNOWN_UCF101, KNOWN_VP_HMDB51
from search_spaces.registry import SPACES
from search_spaces.shared_rows import TABLE_1_ROWS, table_space

SPACES.register("table1_ucf101")(
    table_space(
        1,
        "Table 1, UCF101 and VISPR1",
        "What does each method cost in accuracy, and what does it hide, on known data?",
        TABLE_1_ROWS,
        (KNOWN_UCF101,),
    )
)
SPACES.register("table1_pahmdb51")(
    table_space(
        1,
        "Table 1, PA-HMDB",
        "Does it hold on videos whose own frames carry the private labels?",
        TABLE_1_ROWS,
        (KNOWN_PA_HMDB51,),
    )
)
SPACES.register("table1_vphmdb51")(
    table_space(
        1,
        "Table 1, VPHMDB",
        "What leaks from the action clips themselves?",
        TABLE_1_ROWS,
        (KNOWN_VP_HMDB51,),
    )
)
