"""An anonymizer that sees time: who somebody is stands still in a video, what they do does not."""

from search_spaces.identity import IN_SMALL, PEOPLE, WHOLE_CLIPS
from search_spaces.registry import RAW, SPACES, Space, grid

_PENALTY = {"minimax.distortion_budget": (0.1,), "minimax.penalty_weight": (10.0,)}

SPACES.register("window")(
    Space(
        source="none: f_A of the paper changes each frame by itself",
        question="Does an anonymizer that is given earlier frames too keep more of the action and show less of the person?",
        settings=(
            RAW,
            {"method": "grey_difference"},
            {"method": "blurred_difference"},
            *grid({**_PENALTY, "anonymizer.window": (1,)}),
            *grid({**_PENALTY, "anonymizer.window": (2, 4), "anonymizer.window_input": ("frames", "differences")}),
            *grid(
                {
                    **_PENALTY,
                    "minimax.distortion_budget": (0.05, 0.1),
                    "anonymizer.window": (2,),
                    "anonymizer.target": ("difference",),
                }
            ),
        ),
        # a pair of images has no time: f_B compares frames of clips, far enough apart that the pose is another one
        defaults={**WHOLE_CLIPS, "minimax.pair": "frames", "minimax.pair_distance": 16},
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
