"""The freshly trained classifiers of private attributes (f_B'), which are told as the attacks are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from analysis.read.trials import PARAM
from analysis.report.evidence.findings import EVALUATORS
from trainables.schema import AP, AP_CHANCE, CLIP

NO_CONTROL = (
    "“No control” means: these classifiers were not tried where there is nothing to read, on blank frames or with exchanged"
    " labels, so that nobody has checked that they find nothing there. That they can read is seen from raw video, on which the"
    " same kind of classifier was trained as well. What they read counts as read; that they fail shows nothing by itself."
)
_LOOKS_AT = {"leakage": "single pictures", "clip_leakage": "whole clips"}


@dataclass(frozen=True)
class FreshClassifier:
    """One of them. epochs: passes over its training examples, in words. attributes: of each its average precision, and that of
    a guesser.
    """

    title: str
    by: str
    looks_at: str
    epochs: str
    attributes: Mapping[str, tuple[float, float]]


def fresh_classifiers(trial: pd.Series) -> list[FreshClassifier]:
    """Those that a trial has trained."""
    found = []
    for by, title in EVALUATORS.items():
        if by in trial and pd.notna(trial[by]):
            of_it = CLIP if by.startswith(CLIP) else ""
            names = [str(name).removeprefix(of_it + AP) for name in trial.index if str(name).startswith(of_it + AP)]
            read = {
                name: (float(trial[of_it + AP + name]), float(trial.get(of_it + AP_CHANCE + name, float("nan"))))
                for name in names
                if pd.notna(trial[of_it + AP + name])
            }
            epochs = str(trial.get(PARAM + "evaluate_privacy.epochs", "a number that is not recorded"))
            found.append(FreshClassifier(title, by, _LOOKS_AT[by], epochs, read))
    return found
