"""Table 2 of the paper: anonymizers evaluated on actions or attributes they were not trained for, one space for each column."""

from search_spaces.protocols import NOVEL_HMDB51, NOVEL_PA_HMDB51, NOVEL_VISPR2, NOVEL_VP_UCF101
from search_spaces.registry import SPACES
from search_spaces.shared_rows import TABLE_2_ROWS, table_space

SPACES.register("table2_hmdb51")(
    table_space(
        2,
        "Table 2, UCF101 to HMDB51",
        "Does an anonymizer serve actions it was not trained for?",
        TABLE_2_ROWS,
        (NOVEL_HMDB51,),
    )
)
SPACES.register("table2_pahmdb51")(
    table_space(
        2,
        "Table 2, UCF101 to PAHMDB",
        "Does an anonymizer serve PA-HMDB51 when trained on UCF101?",
        TABLE_2_ROWS,
        (NOVEL_PA_HMDB51,),
    )
)
SPACES.register("table2_vispr2")(
    table_space(
        2,
        "Table 2, VISPR1 to VISPR2",
        "Does an anonymizer hide attributes it was not trained for?",
        TABLE_2_ROWS,
        (NOVEL_VISPR2,),
    )
)
SPACES.register("table2_vpucf101")(
    table_space(
        2,
        "Table 2, VPHMDB to VPUCF",
        "Does an anonymizer of one set of labelled videos serve another?",
        TABLE_2_ROWS,
        (NOVEL_VP_UCF101,),
    )
)
