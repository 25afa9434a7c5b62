"""An anonymizer that this project did not train beside raw video: what `python -m analysis audit` runs."""

from search_spaces.demo import FEW_CLIPS, FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space

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
