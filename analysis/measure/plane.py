"""The plane of a privacy-utility front: its two metrics, and the reference corner of its hypervolume."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass

import pandas as pd

from analysis.measure.pareto import Direction, Directions
from analysis.measure.validation import ChosenOn, chosen_by
from analysis.read.store import AnalysisError
from analysis.read.trials import RAW
from analysis.text import metric_value
from trainables.schema import FINAL_METRICS


@dataclass(frozen=True)
class Plane:
    """Privacy on x, utility on y: two different final metrics that have a direction. Raises AnalysisError for others.

    `chosen_on`: the data by whose figures the front, its knee and the answer are chosen; figures of test data are reported.
    """

    utility: str = "top1"
    privacy: str = "leakage"
    chosen_on: ChosenOn = "validation"

    def __post_init__(self) -> None:
        for option, name in (("--utility", self.utility), ("--privacy", self.privacy)):
            _check(option, name)
        if self.utility == self.privacy:
            raise AnalysisError(f"--utility and --privacy are both {self.utility}: give two metrics")

    @property
    def names(self) -> tuple[str, str]:
        """The metric on x, and that on y."""
        return self.privacy, self.utility

    @property
    def choosing(self) -> tuple[str, str]:
        """The twin plane: the metrics by which settings are chosen that are reported by `names`."""
        return chosen_by(self.privacy, self.chosen_on), chosen_by(self.utility, self.chosen_on)

    @property
    def directions(self) -> Directions:
        return _direction(self.privacy), _direction(self.utility)


@dataclass(frozen=True)
class Corner:
    """The reference point of a hypervolume, (x, y), the ideal point, and the reference in words; NaN where not known."""

    reference: tuple[float, float]
    ideal: tuple[float, float]
    words: str


def scale(metric: str) -> float:
    """The factor from the stored value of a metric to the printed one: 100 for percentages."""
    return 100.0 if FINAL_METRICS[metric].percent else 1.0


def corner(plane: Plane, settings: pd.DataFrame) -> Corner:
    """The reference and the ideal of the hypervolume of settings of one protocol, in the order of `plane.names`.

    The reference of a metric where higher is better is its chance level (0 where none is recorded); where lower is better
    it is the value of raw data (1 where there is no raw setting). Neither depends on trials of anonymized settings.
    """
    sides = [_worst(name, settings) for name in plane.names]
    ideal = [1.0 if _direction(name) == "higher" and FINAL_METRICS[name].is_share else 0.0 for name in plane.names]
    words = " and ".join(text for _, text in reversed(sides))
    return Corner((sides[0][0], sides[1][0]), (ideal[0], ideal[1]), words)


def _worst(name: str, settings: pd.DataFrame) -> tuple[float, str]:
    metric = FINAL_METRICS[name]
    if metric.better == "higher":
        # Equal in all settings measured alike; the maximum of equal values is exact, their mean would wobble.
        chance = float(settings[metric.chance].max()) if metric.chance in settings else math.nan
        if math.isnan(chance):
            return 0.0, f"{metric.label} {metric_value(name, 0.0)}"
        return chance, f"{metric.label} at chance ({metric_value(name, chance)})"
    raw = settings.loc[settings["method"] == RAW, name].dropna() if name in settings else pd.Series(dtype=float)
    if len(raw):
        value = float(raw.iloc[0])
        return value, f"{metric.label} of raw ({metric_value(name, value)})"
    if not metric.is_share:
        return math.nan, f"{metric.label} of raw, which is not there"
    return 1.0, f"{metric.label} {metric_value(name, 1.0)} (there is no raw trial)"


def _check(option: str, name: str) -> None:
    directed = [known for known, metric in FINAL_METRICS.items() if metric.better != "neither"]
    if name in directed:
        return
    near = difflib.get_close_matches(name, directed, n=1, cutoff=0.0)[0]
    wrong = f"there is no metric {name or 'without a name'}"
    if name in FINAL_METRICS:
        wrong = f"{name} has no direction, neither more nor less of it is better"
    raise AnalysisError(f"{option}: {wrong}; the nearest that can be an axis is {near} (all: {', '.join(directed)})")


def _direction(name: str) -> Direction:
    return "higher" if FINAL_METRICS[name].better == "higher" else "lower"
