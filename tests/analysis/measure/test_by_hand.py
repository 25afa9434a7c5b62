"""Fronts, knees and comparisons of a few points, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.measure.compare import _FIGURES, compare_trials
from analysis.measure.pareto import covered, hypervolume, knee, non_dominated
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics
from trainables.statistics import interval

Maker = Callable[..., RecordedStudy]


def test_the_knee_is_the_furthest_beyond_the_line_between_the_ends() -> None:
    """(leakage, top1), scaled to the front: the line is where both gains add up to 1; beyond it lie 0.3, 0.5 and 0.1."""
    points = [(0.0, 0.0), (0.2, 0.5), (0.4, 0.9), (0.7, 0.8), (0.8, 0.9), (1.0, 1.0), (0.9, 0.95)]
    assert non_dominated(points).tolist() == [True, True, True, False, False, True, True]
    assert knee(points) == 2
    assert knee([(1 - x, y) for x, y in points], ("higher", "higher")) == 2
    assert knee([(0.0, 0.0), (0.5, 0.5), (1.0, 1.0)]) is None


def test_the_area_that_three_points_dominate() -> None:
    points = [(0.2, 0.4), (0.5, 0.8), (0.6, 0.7)]  # the last is dominated
    assert hypervolume(points, (1.0, 0.0)) == pytest.approx(0.8 * 0.4 + 0.5 * 0.4)
    assert covered(points, (1.0, 0.2), (0.0, 1.0)) == pytest.approx((0.8 * 0.2 + 0.5 * 0.4) / 0.8)


@pytest.mark.parametrize(("metric", "value"), [("top1", 0.25), ("top5", 0.75)])
def test_accuracy_among_the_most_probable_classes(metric: str, value: float) -> None:
    record = {"items": list("abcdefgh"), "groups": list("abcdefgh"), "rank": [1, 5, 6, 2, 1, 9, 3, 4]}
    assert interval(_FIGURES[metric][1](record)).value == value


def test_seeds_are_compared_pair_by_pair(make_study: Maker) -> None:
    figures = {"a": (0.5, 0.7, 0.9), "b": (0.4, 0.7, 0.6)}
    trials = [
        FakeTrial(label, seed=seed, metrics=metrics(top1, 0.5), values={"minimax.distortion_budget": 0.1 * ord(label)})
        for label, each in figures.items()
        for seed, top1 in enumerate(each)
    ]
    study = make_study(trials)
    first, second = (str(study.trials.index[study.trials["label"] == label][0]) for label in "ab")
    [found] = compare_trials(study, first, second, ["top1"])
    assert found.by_seed == pytest.approx({0: 0.1, 1: 0.0, 2: 0.3})
    assert np.mean(list(found.by_seed.values())) == pytest.approx(0.4 / 3)
