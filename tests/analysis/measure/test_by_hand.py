"""Fronts, knees and comparisons of a few points, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from analysis.measure.compare import _FIGURES, compare_trials, trial_of
from analysis.measure.pareto import covered, hypervolume, knee, non_dominated
from analysis.measure.settings import bounds, change_by_seed, setting_means
from analysis.read.store import AnalysisError
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


@pytest.mark.parametrize(
    ("field", "apart"),
    [
        ("data.action.split", True),
        ("clip.frames", True),
        ("evaluate_action.epochs", True),
        ("evaluate_privacy.epochs", True),
        ("minimax.epochs", False),
        ("attacks.epochs", False),
    ],
)
def test_a_setting_is_compared_with_the_raw_one_that_was_measured_alike(field: str, apart: bool) -> None:
    """Two raw settings, whose `field` is 1 and 2, and an anonymized one whose `field` is 2."""
    rows = [("raw 1", "raw", 1, 0.9), ("raw 2", "raw", 2, 0.8), ("ours", "penalty", 2, 0.7)]
    trials = pd.DataFrame(
        [
            {
                "setting": name,
                "label": name,
                "method": method,
                "protocol_tag": "",
                "seed": 0,
                "top1": top1,
                f"params.{field}": value,
            }
            for name, method, value, top1 in rows
        ]
    )
    ours = setting_means(trials).loc["ours"]
    assert ours["baseline"] == "raw 2" or not apart
    assert ours["change_top1"] == pytest.approx(-0.1)
    alone = setting_means(trials[trials["setting"] != "raw 2"]).loc["ours"]
    assert (alone["baseline"] == "") is apart, "a raw setting that was measured otherwise is none to compare with"


def test_a_trial_is_known_by_the_beginning_of_its_run_id() -> None:
    study: Any = SimpleNamespace(name="mine", trials=pd.DataFrame({"name": ["x", "y", "z"]}, index=["abc1", "abd2", "1abc"]))
    assert [trial_of(study, name)["name"] for name in ("abc", "abd2", "1")] == ["x", "y", "z"]
    for name, what in (("ab", "several trials begin so"), ("bc", "no finished trial"), ("", "no finished trial")):
        with pytest.raises(AnalysisError, match=what):
            trial_of(study, name)


def test_the_ends_of_a_metric_s_interval_and_of_an_attack_s() -> None:
    ends = {"top1_low": 0.1, "top1_high": 0.3, "attack_low.linkage": 0.2, "attack_high.linkage": 0.5}
    row = pd.Series({"top1": 0.2, "attack.linkage": 0.4, "leakage": 0.1, **ends})
    assert (bounds(row, "top1"), bounds(row, "attack.linkage")) == ((0.1, 0.3), (0.2, 0.5))
    assert np.isnan(bounds(row, "leakage")).all()


def test_a_change_by_seed_is_ours_minus_theirs() -> None:
    """In pairs where two seeds are shared: (0.5 - 0.4 + 0.7 - 0.9) / 2; else of the means."""
    ours = pd.DataFrame({"seed": [0, 1, 2], "top1": [0.5, 0.7, 0.1]})
    theirs = pd.DataFrame({"seed": [0, 1, 3], "top1": [0.4, 0.9, 0.8]})
    found, paired = change_by_seed(ours, theirs, "top1")
    assert (found.mean, found.n, paired) == (pytest.approx(-0.05), 2, True)
    found, paired = change_by_seed(ours, theirs.assign(seed=[7, 8, 9]), "top1")
    assert (found.mean, paired) == (pytest.approx(1.3 / 3 - 0.7), False)


def test_leakage_is_compared_on_the_images_that_it_is_reported_of() -> None:
    """The first of these stages that a trial has: where f_B' was tested elsewhere than it was trained, that is it."""
    assert _FIGURES["leakage"][0] == _FIGURES["cmap"][0] == ("test_privacy", "evaluate_privacy")
