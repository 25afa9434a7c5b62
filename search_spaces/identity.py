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
# As many frames as any clip has: those that attackers see neighbour as in the clip that f_T' sees.
WHOLE_CLIPS: Values = {"evaluate_privacy.clip_frames": 64, "attacks.frames": 64}
# Few and short enough that two cores do three seeds of the space on 240 training clips of 48 x 64 pixels in an hour.
IN_SMALL: Values = {
    "clip.size": 32,
    "clip.decode_size": 32,
    "clip.frames": 4,
    "clip.skip": 8,
    "clip.test_clips": 2,
    "reconstruct.epochs": 12,
    "warm_up.epochs": 12,
    "minimax.epochs": 8,
    "evaluate_action.epochs": 10,
    "evaluate_privacy.epochs": 8,
    "attacks.ensemble": ("narrow2d",),
    "attacks.pretrained_size": 64,
    "attacks.pretrained_clips": 3,
    "attacks.pretrained_frames": 3,
}

SPACES.register("identity")(
    Space(
        source="none: the question that people come with",
        question="Does an anonymizer that is trained hide people better than fewer pixels, a blur, or differences of frames?",
        settings=(
            RAW,
            *grid({"method": ("downsample_to",), "options.pixels": (16, 8)}),
            {"method": "grey_difference"},
            {"method": "small_difference"},
            {"method": "blurred_difference"},
            {"method": "bdq"},
            {"method": "spact"},
            *grid({"minimax.distortion_budget": (0.1, 0.3), "minimax.penalty_weight": (1.0, 10.0)}),
        ),
        defaults=WHOLE_CLIPS,
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
