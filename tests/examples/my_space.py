"""A space of one's own: does a larger batch change what a budget does?"""

from search_spaces.registry import RAW, SPACES, Space, grid

SPACES.register("my_batches")(
    Space(
        source="mine",
        question="Does a larger batch change what a budget does?",
        settings=(
            RAW,
            *grid({"minimax.batch_size": (8, 16), "minimax.distortion_budget": (0.1, 0.3)}),
        ),
    )
)
