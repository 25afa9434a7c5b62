"""Privacy is measured at one size: what attackers read where the same anonymizers work at another."""

from search_spaces.demo import FEW_CLIPS, FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space, Values

_SETTINGS = (
    RAW,
    {"minimax.distortion_budget": 0.1, "minimax.penalty_weight": 10.0},
    {"minimax.penalty_weight": 0.0},
)
_NATIVE = 96  # pixels a side of the generated videos; the clips that train are of 32
_OF_PAPER = 448  # twice the side of the recipe's clips


def _at_both(size: int) -> tuple[Values, ...]:
    return (*_SETTINGS, *({**values, "evaluate_at": size} for values in _SETTINGS))


SPACES.register("size_of_use")(
    Space(
        source="none: the paper measures at the size it trains at",
        question="What is read of an anonymizer that works on larger frames than it was trained and measured on?",
        settings=_at_both(_OF_PAPER),
        small_settings=_at_both(_NATIVE),
        generated_defaults={**FEW_EPOCHS, "evaluate_action.epochs": 12},
        generated={**FEW_CLIPS, "size": _NATIVE},
        attacks="retrained",
    )
)
