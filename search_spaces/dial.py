"""One anonymizer with a dial against one anonymizer for each budget: the front for the price of one minimax."""

from search_spaces.demo import FEW_CLIPS
from search_spaces.registry import RAW, SPACES, Space, grid

_BUDGETS = (0.0, 0.1, 0.2, 0.3, 0.4)

SPACES.register("dial")(
    Space(
        source="none: loss-conditional training (Dosovitskiy & Djolonga, ICLR 2020) of this paper's minimax",
        question="Does one anonymizer that is told its budget reach the front of as many anonymizers as there are budgets?",
        settings=(
            RAW,
            *grid({"minimax.distortion_budget": _BUDGETS}),
            *grid(
                {
                    "method": ("dial",),
                    "anonymizer.dial": ("blend", "plane"),
                    "options.at": (0.25, 0.5, 0.75, 1.0),  # the budgets above 0: at 0 a blend is the frame itself
                }
            ),
        ),
        defaults={"minimax.penalty_weight": 10.0},
        generated_defaults={"evaluate_action.epochs": 24},
        generated=FEW_CLIPS,
    )
)
