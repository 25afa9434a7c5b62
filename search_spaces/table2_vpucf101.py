"""Table 2 of the paper, column VPHMDB -> VPUCF: trained on VP-HMDB51, actions of VP-UCF101."""

from search_spaces.protocols import NOVEL_VP_UCF101
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_2_ROWS

SPACES.register("table2_vpucf101")(
    Space(
        source="Table 2, VPHMDB to VPUCF",
        question="Does an anonymizer of one set of labelled videos serve another?",
        settings=TABLE_2_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(NOVEL_VP_UCF101,),
        table=2,
    )
)
