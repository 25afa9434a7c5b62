"""Who it is against what they do: anonymizers, learned and not, on clips of people who can be recognised.

The data are in the layout `folders` (`trainables/data/readers/folders.py`), with one column a person in `clip_attributes.csv`.
"""

from search_spaces.protocols import Protocol
from search_spaces.registry import RAW, SPACES, Space, Values, grid

PEOPLE = Protocol(
    name="people",
    source="none: who somebody is stays private, what they do is there to be seen",
    says="f_A, f_T' and f_B' on the clips and images of people under the data root, tested on their test lists",
    values={"data.action.name": "folders", "data.privacy.name": "folders"},
    generated={"data.action.folder": "known", "data.privacy.folder": "known"},
    trained_on="people",
    action=None,
    privacy=None,
)
_ALL = 64  # frames, as many as any clip has: those that attackers see neighbour as in the clip that f_T' sees
_DIFFERENCES: tuple[Values, ...] = (
    {"method": "grey_difference"},
    {"method": "small_difference", "options.pixels": 16},
    {"method": "small_difference", "options.pixels": 8},
    {"method": "blurred_difference"},
    {"method": "moving_pixels"},
)

SPACES.register("identity")(
    Space(
        source="none: the question that people come with",
        question="Does an anonymizer that is trained hide people better than fewer pixels, a blur, or differences of frames?",
        settings=(
            RAW,
            *grid({"method": ("downsample_to",), "options.pixels": (32, 24, 16, 12, 8)}),
            *(
                {"method": "mild_blur", "options.sigma": sigma, "options.kernel": min(1.0, 6 * sigma)}
                for sigma in (0.03, 0.06, 0.12)
            ),
            *_DIFFERENCES,
            {"method": "spact"},
            {"minimax.distortion_budget": 0.0, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.2, "minimax.penalty_weight": 10.0},
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 1.0},
        ),
        defaults={"evaluate_privacy.clip_frames": _ALL, "attacks.frames": _ALL},
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
