"""Table 7 of the paper: one anonymizer, attacked by five privacy classifiers trained from scratch."""

from search_spaces.registry import RAW, SPACES, Space, Values
from search_spaces.shared_rows import OURS, SMALL_DATA, SMALL_STUDY, SPACT

ATTACKERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
SMALL_ATTACKERS = ("narrow2d", "resnet18")


def attacked_by(names: tuple[str, ...], weights: str | None) -> tuple[Values, ...]:
    return tuple(
        {**values, "evaluate_privacy.classifier.name": name, "evaluate_privacy.classifier.weights": weights}
        for values in (RAW, SPACT, *OURS)
        for name in names
    )


SPACES.register("table7_privacy_backbones")(
    Space(
        source="Table 7",
        question="Does a stronger attacker read more?",
        settings=attacked_by(ATTACKERS, None),
        small_settings=attacked_by(SMALL_ATTACKERS, None),
        generated_defaults=SMALL_STUDY,
        generated=SMALL_DATA,
        table=7,
    )
)
