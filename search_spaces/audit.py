"""An anonymizer that this project did not train beside raw video: what `python -m analysis audit` runs."""

from search_spaces.demo import FEW_CLIPS, FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space

SPACES.register("audit_videos")(
    Space(
        source="none: videos that were anonymized elsewhere",
        question="What do attackers still learn of videos that somebody else has anonymized, and what are they still good for?",
        settings=(RAW, {"method": "given_videos"}),
        attacks="standard",
    )
)
SPACES.register("audit")(
    Space(
        source="none: an anonymizer from elsewhere",
        question="What do attackers still learn of what a given model has anonymized, and what is it still good for?",
        settings=(RAW, {"method": "given"}),
        generated_defaults=FEW_EPOCHS,
        generated=FEW_CLIPS,
        attacks="standard",
    )
)
