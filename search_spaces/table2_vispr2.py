"""Table 2 of the paper, column VISPR1 -> VISPR2: attributes that the anonymizer was never shown."""

from search_spaces.protocols import NOVEL_VISPR2
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_2_ROWS

SPACES.register("table2_vispr2")(
    Space(
        source="Table 2, VISPR1 to VISPR2",
        question="Does an anonymizer hide attributes it was not trained for?",
        settings=TABLE_2_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(NOVEL_VISPR2,),
        table=2,
    )
)
