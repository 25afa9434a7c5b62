"""One anonymizer before attackers of one, two, four and eight times the effort: does leakage stop growing?"""

from search_spaces.demo import FEW_EPOCHS
from search_spaces.registry import RAW, SPACES, Space, Values

_TIMES = (1, 2, 4, 8)
_OF_RECIPE, _OF_CPUS, _OF_GENERATED = 100, 30, 4  # epochs of f_B' in each profile, which no attacker spends less than


def _swept(epochs: int) -> tuple[Values, ...]:
    hidden: Values = {"minimax.penalty_weight": 0.0}
    return (RAW, *({**hidden, "attacks.epochs": times * epochs} for times in _TIMES))


SPACES.register("effort")(
    Space(
        source="none: the field reports one effort",
        question="Does what attackers read of one and the same anonymizer stop growing with the effort they spend?",
        settings=_swept(_OF_RECIPE),
        small_settings=_swept(_OF_CPUS),
        generated_settings=_swept(_OF_GENERATED),
        generated_defaults={**FEW_EPOCHS, "evaluate_privacy.epochs": _OF_GENERATED},
        generated={"train_clips": 160, "test_clips": 120, "train_images": 160, "val_images": 60, "test_images": 120},
        attacks="retrained,inversion,linkage,adaptive",
    )
)
