"""Table 2 of the paper, column UCF101 -> PAHMDB: novel actions, tested on PA-HMDB51."""

from search_spaces.protocols import NOVEL_PA_HMDB51
from search_spaces.registry import SPACES, Space
from search_spaces.shared_rows import SMALL_DATA, SMALL_STUDY, TABLE_2_ROWS

SPACES.register("table2_pahmdb51")(
    Space(
        source="Table 2, UCF101 to PAHMDB",
        question="Does an anonymizer serve PA-HMDB51 when trained on UCF101?",
        settings=TABLE_2_ROWS,
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        protocols=(NOVEL_PA_HMDB51,),
        table=2,
    )
)
