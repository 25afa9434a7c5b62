"""What fronts cover, against areas worked out by hand, and the interval of the difference of two of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient

from analysis.measure.fronts import Axes, covered_by, fronts_compared
from analysis.measure.plane import Plane
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from tests.support.fake_studies import FakeTrial, metrics
from trainables.data.items import Video
from trainables.predictions import of_attributes, of_classes
from trainables.statistics import compare, mean

PLANE = Plane(utility="top1", privacy="clip_leakage")
ITEMS = [f"clip{number}" for number in range(40)]
GROUPS = [f"performance{number // 2}" for number in range(40)]
EVERY = np.ones((1, 40), dtype=bool)


def trial(leakage: float, top1: float, items: list[str] = ITEMS) -> Axes:
    """A trial whose figures are these shares of the 40 items, the first ones."""
    private, useful = (np.arange(40) < round(40 * share) for share in (leakage, top1))
    return mean(items, GROUPS, private), mean(items, GROUPS, useful)


def area(*settings: list[Axes]) -> float:
    return float(covered_by(settings, (1.0, 0.0), (0.0, 1.0), PLANE).metric(EVERY)[0])


def test_a_setting_covers_the_rectangle_to_the_reference() -> None:
    assert area([trial(0.5, 0.8)]) == pytest.approx(0.5 * 0.8)
    # two that none beats: 0.75 x 0.5 and the strip above it, 0.25 x (1 - 0.5)
    assert area([trial(0.25, 0.5)], [trial(0.75, 1.0)]) == pytest.approx(0.75 * 0.5 + 0.25 * 0.5)
    assert area([trial(0.25, 0.5)], [trial(0.5, 0.5)]) == pytest.approx(0.75 * 0.5), "one that is beaten adds nothing"


def test_a_setting_is_the_mean_over_its_seeds() -> None:
    assert area([trial(0.2, 0.5), trial(0.4, 1.0)]) == pytest.approx(0.7 * 0.75)


def test_the_reference_and_the_ideal_bound_what_is_covered() -> None:
    found = covered_by([[trial(0.25, 0.75)]], (0.5, 0.5), (0.0, 1.0), PLANE).metric(EVERY)[0]
    assert found == pytest.approx((0.25 * 0.25) / (0.5 * 0.5))


def test_the_difference_of_equal_fronts_is_nothing_and_that_of_unlike_ones_is_sure() -> None:
    better, worse = (
        covered_by([[trial(leakage, top1)]], (1.0, 0.0), (0.0, 1.0), PLANE) for leakage, top1 in ((0.1, 0.9), (0.6, 0.4))
    )
    same = compare(better, better).difference
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    found = compare(better, worse)
    assert found.difference.value == pytest.approx(0.81 - 0.16)
    assert found.difference.low > 0.3
    # the delete-a-group jackknife by hand, of 20 groups
    kept = ~np.kron(np.eye(20, dtype=bool), np.ones((1, 2), dtype=bool))
    without = better.metric(kept) - worse.metric(kept)
    error = np.sqrt(19 * without.var())
    assert found.difference.high - found.difference.value == pytest.approx(2.093 * error, rel=1e-3)  # t of 19, 97.5 %


def test_trials_on_other_items_are_refused() -> None:
    with pytest.raises(ValueError, match="tested on different items"):
        covered_by([[trial(0.1, 0.9)], [trial(0.1, 0.9, ITEMS[::-1])]], (1.0, 0.0), (0.0, 1.0), PLANE)


# method -> how well its trial knows the person and the action of a test clip, of which there are two of each
KNOWN = {"raw": (1.0, 1.0), "downsample_2x": (0.8, 0.9), "grey_difference": (0.1, 0.9), "spact": (0.6, 0.6)}


def recorded(make_study: Callable[..., RecordedStudy], folder: Path) -> RecordedStudy:
    """A study of KNOWN whose trials kept the predictions of 40 clips; its validation figures are the same shares."""
    twins = {"validation_clip_leakage": 1.0, "clip_leakage": 1.0}
    trials = [
        FakeTrial(name, name, metrics=metrics(top1, leakage) | dict.fromkeys(twins, leakage) | {"chance_top1": 0.5})
        for name, (leakage, top1) in KNOWN.items()
    ]
    study = make_study(trials)
    items = [Video(name, folder, 0, group) for name, group in zip(ITEMS, GROUPS, strict=True)]
    labels = np.arange(40) // 2 % 2
    for run_id, trial in study.trials.iterrows():
        leakage, top1 = KNOWN[trial["method"]]
        files: dict[str, bytes] = {}
        for share, write in ((top1, _classes), (leakage, _attributes)):
            right = np.arange(40) < round(40 * share)
            files |= write(items, np.where(right, labels, 1 - labels), labels)
        for name, content in files.items():
            (folder / Path(name).name).write_bytes(content)
            MlflowClient(tracking_uri=study.tracking_uri).log_artifact(str(run_id), str(folder / Path(name).name), "answers")
    return study


def _classes(items: list[Video], said: Any, labels: Any) -> dict[str, bytes]:
    return of_classes("evaluate_action", items, np.eye(2)[said], labels)


def _attributes(items: list[Video], said: Any, labels: Any) -> dict[str, bytes]:
    return of_attributes("evaluate_clip_privacy", items, ["p"], said[:, None].astype(float), labels[:, None])


def test_two_kinds_of_methods_of_a_study(make_study: Callable[..., RecordedStudy], tmp_path: Path) -> None:
    study = recorded(make_study, tmp_path)
    found = fronts_compared(study, ["spact"], ["downsample_2x", "grey_difference"], PLANE)
    # of the rectangle from (raw, chance) = (1, 0.5) to (0, 1): spact reaches a fifth of its height, grey_difference four fifths
    assert found.first.value < 0.2
    assert found.second.value > 0.5
    assert found.difference.high < 0.0, "the untrained ones cover more, surely"
    assert found.first.groups == 20
    same = fronts_compared(study, ["spact"], ["spact"], PLANE).difference
    assert (same.low, same.high) == (0.0, 0.0)
    with pytest.raises(AnalysisError, match="no setting of vita has"):
        fronts_compared(study, ["vita"], ["spact"], PLANE)
    with pytest.raises(AnalysisError, match="no predictions of leakage were kept"):
        fronts_compared(study, ["spact"], ["raw"], Plane("top1", "leakage"))
