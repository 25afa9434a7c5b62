"""B x lambda x the action classifier f_T': the crossing of Figure 3, Table 3 and Table 5."""

from search_spaces.registry import SPACES, Space, grid

_PENALTY = {"minimax.distortion_budget": (0.3, 0.5, 0.7, 0.9), "minimax.penalty_weight": (0.3, 1.0)}
_CLASSIFIER = "evaluate_action.classifier.name"
_WEIGHTS = "evaluate_action.classifier.weights"


def _crossed(classifiers: tuple[str, ...]) -> tuple[dict[str, object], ...]:
    # one recipe for all classifiers, or they could not be compared: from scratch
    raw = grid({"method": ("raw",), _CLASSIFIER: classifiers, _WEIGHTS: (None,)})
    return tuple(dict(values) for values in (*raw, *grid({**_PENALTY, _CLASSIFIER: classifiers, _WEIGHTS: (None,)})))


SPACES.register("grid")(
    Space(
        source="Figure 3, Tables 3 and 5",
        question="Does the choice of the action classifier change which B and lambda are best?",
        settings=_crossed(("i3d_r50", "r3d_18", "r2plus1d_18")),
        small_settings=_crossed(("narrow3d", "narrow2plus1d")),
        attacks="standard",
    )
)
