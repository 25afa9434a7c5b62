"""Table 2 of the paper, column UCF101 -> HMDB51: actions that the anonymizer has never seen."""

from search_spaces.protocols import NOVEL_HMDB51
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_2_ROWS

SPACES.register("table2_hmdb51")(
    Space(
        source="Table 2, UCF101 to HMDB51",
        question="Does an anonymizer serve actions it was not trained for?",
        settings=TABLE_2_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(NOVEL_HMDB51,),
        table=2,
    )
)
