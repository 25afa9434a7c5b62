"""Two fronts on the same test items: which covers more of the plane, and the interval of the difference over groups."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.measure.compare import read_item_metrics
from analysis.measure.pareto import covered, non_dominated
from analysis.measure.plane import Plane, corner
from analysis.measure.settings import settings_table
from analysis.read.store import AnalysisError, open_store
from analysis.read.study import RecordedStudy
from trainables.statistics import Comparison, ItemMetric, compare

Axes = tuple[ItemMetric, ItemMetric]  # of one trial: the metric on x, and that on y


def covered_by(
    settings: Sequence[Sequence[Axes]], reference: tuple[float, float], ideal: tuple[float, float], plane: Plane
) -> ItemMetric:
    """The share of the rectangle from `reference` to `ideal` that settings cover, each the mean over its trials.

    All trials were tested on the same items in the same order. Raises ValueError where they were not.
    """
    first = settings[0][0][0]
    if any(metric.items != first.items for trials in settings for axes in trials for metric in axes):
        raise ValueError("the trials of a front were tested on different items, or in another order")

    def metric(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        points = np.array([[np.mean([axes[n].metric(kept) for axes in trials], axis=0) for n in (0, 1)] for trials in settings])
        return np.array([covered(plane_of, reference, ideal, plane.directions) for plane_of in points.transpose(2, 0, 1)])

    return ItemMetric(first.items, first.groups, metric)


def fronts_compared(study: RecordedStudy, first: Collection[str], second: Collection[str], plane: Plane) -> Comparison:
    """Compares the fronts of two kinds of methods, by name, in hypervolume.

    Of each kind count the settings that no other of its kind beats in the figures of `plane.choosing`; what they cover is
    measured by their test figures, between the reference and the ideal of `plane.corner`. Raises AnalysisError where a kind has
    no such setting, and for a trial without predictions.
    """
    settings = settings_table(study.trials, plane)
    where = corner(plane, settings)
    covering = []
    with open_store(study.tracking_uri) as client, tempfile.TemporaryDirectory() as folder:

        def axes_of(run_id: str) -> Axes:
            found = read_item_metrics(client, run_id, folder)
            if missing := [name for name in plane.names if name not in found]:
                raise AnalysisError(f"run {run_id}: no predictions of {missing[0]} were kept; its front cannot be compared")
            return found[plane.privacy], found[plane.utility]

        for methods in (first, second):
            chosen = _front(settings[settings["method"].isin(list(methods))], plane)
            if not len(chosen):
                raise AnalysisError(f"{study.name}: no setting of {', '.join(methods)} has {' and '.join(plane.choosing)}")
            trials = [_trials(study.trials, str(name), axes_of) for name in chosen.index]
            covering.append(covered_by(trials, where.reference, where.ideal, plane))
    return compare(*covering)


def _front(settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    return settings[non_dominated(settings.reindex(columns=list(plane.choosing)), plane.directions)]


def _trials(trials: pd.DataFrame, setting: str, axes_of: Callable[[str], Axes]) -> list[Axes]:
    return [axes_of(str(run_id)) for run_id in trials.index[trials["setting"] == setting]]
