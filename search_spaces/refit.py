"""Does it pay to train evaluators once more, on training and validation clips, for the epochs that were chosen?"""

from search_spaces.identity import IN_SMALL, PEOPLE, WHOLE_CLIPS
from search_spaces.registry import SPACES, Space

SPACES.register("refit")(
    Space(
        source="none: the paper does not say whether validation clips are trained on at last",
        question="Do f_T' and f_B' get better on test clips when validation clips train them too, and surely so?",
        settings=tuple({"method": method, "refit": refit} for method in ("raw", "grey_difference") for refit in (False, True)),
        defaults=WHOLE_CLIPS,
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
    )
)
