"""What settings are chosen by: the figures of validation data. Test figures are read for the setting that was chosen.

The best of many settings by a figure is above its own true value in that figure: of 64 equal settings by 2.4 standard
deviations. So no figure is used twice, once to choose by and once to report.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pandas as pd

from analysis.text import counted, listed
from trainables.schema import FINAL_METRICS, UNTESTED, VALIDATION, is_read

ChosenOn = Literal["validation", "test"]

ON_TEST = "--choose-on test chooses by the test figures that are then reported, which flatters what is chosen"


def chosen_by(metric: str, chosen_on: ChosenOn = "validation") -> str:
    """The metric that settings are chosen by where `metric` is reported: its twin on validation data, `validation_top1`."""
    return metric if chosen_on == "test" or metric in UNTESTED else VALIDATION + metric


def without_test_figures(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials without a single figure that is measured on test data: what a choice may look at."""
    tested = [name for name in map(str, trials) if is_read(name) and not name.startswith(VALIDATION) and name not in UNTESTED]
    return trials.drop(columns=tested)


def not_validated(trials: pd.DataFrame, metrics: Iterable[str], chosen_on: ChosenOn = "validation") -> str:
    """Why no setting can be chosen by `metrics`, in one sentence, and what to do; empty where some trial has them all."""
    wanted = [chosen_by(metric, chosen_on) for metric in metrics]
    if trials.empty or any(trials[wanted].notna().all(axis=1) if set(wanted) <= set(trials) else ()):
        return ""
    none = [name for name in wanted if name not in trials or trials[name].isna().all()]
    there = [name for name in FINAL_METRICS if VALIDATION + name in trials and trials[VALIDATION + name].notna().any()]
    others = f"run it again, or choose by {listed(there)}" if there else "run it again"
    return f"no trial has {' and '.join(none or wanted)}, the figures to choose by; {others}, or: {ON_TEST}"


def partly_validated(trials: pd.DataFrame, metrics: Iterable[str], chosen_on: ChosenOn = "validation") -> str:
    """How many trials with a result have no figures to choose by, in one sentence; empty where all have, or none."""
    metrics = list(metrics)
    wanted = [chosen_by(metric, chosen_on) for metric in metrics]
    if chosen_on == "test" or not set(wanted) <= set(trials):
        return ""
    complete = trials.dropna(subset=metrics)
    lacking = int(complete[wanted].isna().any(axis=1).sum())
    if lacking in (0, len(complete)):
        return ""
    names = " or no ".join(wanted)
    return f"{lacking} of {counted(len(complete), 'trial')} have no {names}: they count for nothing in the choice."
