"""Both readings of the penalty: the paper prints it on pixels (Eq. 4), and through f_T (section 3.2, Algorithm 1)."""

from search_spaces.identity import IN_SMALL, PEOPLE, WHOLE_CLIPS
from search_spaces.registry import RAW, SPACES, Space, grid

_STRICT = {"minimax.penalty_weight": (10.0,)}

SPACES.register("penalty_space")(
    Space(
        source="Eq. 4 against section 3.2",
        question="At equal distortion of the pixels, does a penalty on what f_T makes of them keep more of the action?",
        settings=(
            RAW,
            {"minimax.penalty_weight": 0.0},
            *grid({"minimax.distortion_budget": (0.0, 0.1, 0.2), **_STRICT}),
            *grid(
                {
                    "minimax.penalty_space": ("features", "logits"),
                    "minimax.penalty_norm": ("relative",),
                    "minimax.distortion_budget": (0.0, 0.25, 0.5),
                    **_STRICT,
                }
            ),
        ),
        defaults=WHOLE_CLIPS,
        small_defaults=IN_SMALL,
        protocols=(PEOPLE,),
        attacks="standard",
    )
)
