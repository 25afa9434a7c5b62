"""The output range of the anonymizer and the norm of the penalty: does B bind at all? Behind the defaults of both."""

from search_spaces.demo import FEW_CLIPS, FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space, grid

_OUTPUT = {"anonymizer.output": ("sigmoid", "linear")}

SPACES.register("output_range")(
    Space(
        source="none: equation 4's scale",
        question="How far does f_A move without a penalty, and in which norm does a budget hold it?",
        settings=(
            RAW,
            *grid({**_OUTPUT, "minimax.penalty_weight": (0.0,)}),
            *grid(
                {
                    **_OUTPUT,
                    "minimax.penalty_norm": ("absolute", "relative"),
                    "minimax.distortion_budget": (0.3,),
                    "minimax.penalty_weight": (1.0,),
                }
            ),
        ),
        generated_defaults=FEW_EPOCHS,
        generated=FEW_CLIPS,
    )
)
