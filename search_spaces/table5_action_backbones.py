"""Table 5 of the paper: one anonymizer, evaluated by six action classifiers f_T'."""

from search_spaces.registry import RAW, SPACES, Values
from search_spaces.shared_rows import OURS, SPACT, table_space

# The paper does not say from which weights MViTv2-S starts; its 76.81 on raw UCF101 is out of reach from scratch.
CLASSIFIERS: tuple[tuple[str, str | None], ...] = (
    ("r3d_18", None),
    ("r2plus1d_18", None),
    ("r2plus1d_18", "kinetics400"),
    ("mvit_v2_s", "kinetics400"),
    ("i3d_r50", None),
    ("c3d", None),
)
SMALL_CLASSIFIERS = (("narrow3d", None), ("narrow2plus1d", None))


def _evaluated_by(classifiers: tuple[tuple[str, str | None], ...]) -> tuple[Values, ...]:
    return tuple(
        {**values, "evaluate_action.classifier.name": name, "evaluate_action.classifier.weights": weights}
        for values in (RAW, SPACT, *OURS)
        for name, weights in classifiers
    )


SPACES.register("table5_action_backbones")(
    table_space(
        5,
        "Table 5",
        "Does the ranking of budgets depend on who recognises the action?",
        _evaluated_by(CLASSIFIERS),
        small_settings=_evaluated_by(SMALL_CLASSIFIERS),
    )
)
