"""Judged as delivered: what a codec, between the anonymizer and whoever looks, leaves of the action and of the person."""

from search_spaces.identity import IN_SMALL, PEOPLE, WHOLE_CLIPS
from search_spaces.registry import SPACES, Space, Values

_ANONYMIZERS: tuple[Values, ...] = (
    {"method": "raw"},
    {"method": "grey_difference"},
)

SPACES.register("codec")(
    Space(
        source="none: the paper evaluates frames that no codec has touched",
        question="Does H.264 take with it what an anonymizer has left of a person, or what it has left of the action?",
        settings=tuple(
            {**values, "codec": codec}
            for values in _ANONYMIZERS
            for codec in ("none", "h264_crf18", "h264_crf28", "h264_crf35")
        ),
        defaults=WHOLE_CLIPS,
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
