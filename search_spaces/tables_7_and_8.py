"""Tables 7 and 8 of the paper: one anonymizer, attacked by five privacy classifiers f_B', from scratch or from ImageNet.

The profiles for CPUs always start from scratch: there are no ImageNet weights for narrow networks. There Table 8 shares all
stages with Table 7.
"""

from search_spaces.registry import RAW, SPACES, Values
from search_spaces.shared_rows import OURS, SPACT, table_space

ATTACKERS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
SMALL_ATTACKERS = ("narrow2d", "resnet18")


def _attacked_by(names: tuple[str, ...], weights: str | None) -> tuple[Values, ...]:
    return tuple(
        {**values, "evaluate_privacy.classifier.name": name, "evaluate_privacy.classifier.weights": weights}
        for values in (RAW, SPACT, *OURS)
        for name in names
    )


SPACES.register("table7_privacy_backbones")(
    table_space(
        7,
        "Table 7",
        "Does a stronger attacker read more?",
        _attacked_by(ATTACKERS, None),
        small_settings=_attacked_by(SMALL_ATTACKERS, None),
    )
)
SPACES.register("table8_privacy_backbones_imagenet")(
    table_space(
        8,
        "Table 8",
        "How much more does an attacker read who starts from ImageNet?",
        _attacked_by(ATTACKERS, "imagenet"),
        small_settings=_attacked_by(SMALL_ATTACKERS, None),
    )
)
