"""Which anonymizers can be exported, by what a trial records of them. No torch, so that a choice can ask it."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from analysis import text
from analysis.read.trials import PARAM
from trainables.config import AnonymizerConfig
from trainables.methods import METHODS

# Methods whose trials keep no file, because the name and the options say all.
_DIFFERENCES = ("grey_difference", "small_difference", "blurred_difference", "moving_pixels")
UNTRAINED = ("downsample_2x", "downsample_4x", "downsample_to", "mild_blur", *_DIFFERENCES)
BOXES_NEEDED = "needs boxes of people, which frames alone do not have; take a trial whose anonymizer changes whole frames"
WHOLE_CLIPS = "needs whole clips, and not a few frames before each: it cannot be exported or applied here"
_OF_CLIPS = ("tubelets",)


def refusal(method: str, anonymizer: str = "") -> str:
    """Why `export` must refuse the anonymizer of a trial of this method; nothing where it need not.

    `anonymizer`: its name; without it, that of the method. A method or an anonymizer that is not known here (of a plug-in that
    was not named) is not refused.
    """
    known = next((METHODS[name] for name in METHODS if name == method), None)
    name = anonymizer or str((known.fixed if known else {}).get("anonymizer.name", AnonymizerConfig().name))
    if name == "identity":
        return "leaves frames as they are: there is nothing to export or apply"
    if known is not None and known.boxes:
        return BOXES_NEEDED
    if name in _OF_CLIPS:
        return WHOLE_CLIPS
    if known is not None and known.anonymizer is None and method not in UNTRAINED:
        return "stores no anonymizer, because its method trains none"
    return ""


def not_exportable(candidates: pd.DataFrame) -> dict[str, str]:
    """Label -> why `export` must refuse the setting's anonymizer, for those where it must."""
    column = PARAM + "anonymizer.name"
    names = candidates[column] if column in candidates else pd.Series("", candidates.index)
    found = {
        str(label): refusal(str(method), "" if pd.isna(name) else str(name))
        for label, method, name in zip(candidates["label"], candidates["method"], names, strict=True)
    }
    return {label: why for label, why in found.items() if why}


def named(kept_out: Mapping[str, str]) -> str:
    """The settings that cannot be exported, with the reason of each."""
    labels: dict[str, list[str]] = {}
    for label, why in kept_out.items():
        labels.setdefault(why.partition(";")[0].partition(":")[0], []).append(label)
    return "; ".join(f"{text.listed(some)}: {why}" for why, some in labels.items())
