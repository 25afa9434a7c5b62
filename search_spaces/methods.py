"""Every method side by side, all evaluated alike: the rows of Table 1, the methods that the paper only cites, and BDQ."""

from search_spaces.demo import FEW_CLIPS
from search_spaces.registry import RAW, SPACES, Space
from search_spaces.shared_rows import OBFUSCATIONS, SPACT, STPRIVACY, VITA

SPACES.register("methods")(
    Space(
        source="Table 1, TeD-SPAD and MaSS, which the paper cites, and BDQ",
        question="What does each method cost in accuracy, and what does it hide?",
        settings=(
            RAW,
            *OBFUSCATIONS,
            STPRIVACY,
            VITA,
            {"method": "mass"},
            {"method": "tedspad"},
            {"method": "bdq"},
            SPACT,
            {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
        ),
        generated_defaults={"evaluate_action.epochs": 24},
        generated=FEW_CLIPS,
    )
)
