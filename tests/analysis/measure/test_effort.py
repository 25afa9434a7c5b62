"""Leakage against the effort of attackers: which trials are compared, and when it has stopped growing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from analysis.measure.effort import EffortCurve, _has_stopped, effort_curves
from analysis.read.study import RecordedStudy
from analysis.report.evidence.gather import read_evidence
from analysis.report.evidence.output import data_of
from analysis.report.evidence.output import page as page_of
from tests.support.fake_attacks import VIDEOS, attack, broken, figures_of, log
from tests.support.fake_studies import FakeTrial, metrics
from trainables.statistics import Interval

Maker = Callable[..., RecordedStudy]
LEVELS = {5: 0.6, 10: 0.7, 20: 0.8, 40: 0.825}  # of right answers, where guessing gives half: 20, 40, 60, 65 % of leakage


def nested(name: str, level: float, **more: Any) -> dict[str, Any]:
    """An attack whose right answers are those of any weaker one, and more: the first videos of a fixed order."""
    order = np.random.default_rng(3).permutation(len(VIDEOS))
    right = order < round(level * len(VIDEOS))
    made = attack(name, level, **more)
    items = [{**item, "score": float(each)} for item, each in zip(made["items"], right, strict=True)]
    leakage = (float(right.mean()) - 0.5) / 0.5
    return {
        **made,
        "items": items,
        "score": float(right.mean()),
        "leakage": leakage,
        "interval": [leakage - 0.1, leakage + 0.1],
    }


def swept(make_study: Maker, levels: Mapping[int, float], last: Callable[[Any], Any] = dict) -> RecordedStudy:
    """A trial for each number of epochs, on one anonymizer; the last one's record is changed by `last`."""
    made = {epochs: nested("retrained", level) for epochs, level in levels.items()}
    made[max(made)] = last(made[max(made)])
    trials = [
        FakeTrial(
            f"epochs={epochs}",
            metrics=metrics(0.9, 0.3) | figures_of([record]),
            values={"attacks.epochs": epochs},
            record=json.dumps({"stage_keys": {"minimax": "one"}}),
        )
        for epochs, record in made.items()
    ]
    others = ({"values": {"attacks.epochs": 80}}, {"values": {"attacks.epochs": 80, "minimax.distortion_budget": 0.9}})
    for number, other in enumerate(others):  # trained by another stage, and another setting
        found = figures_of([nested("retrained", 1.0)])
        record = json.dumps({"stage_keys": {"minimax": "another"}})
        trials.append(FakeTrial(f"other {number}", metrics=metrics(0.9, 0.3) | found, record=record, **other))
    study = make_study(trials)
    for run_id, trial in study.trials.iterrows():
        label = str(trial["label"])
        if label.startswith("epochs"):
            log(study.tracking_uri, str(run_id), [made[int(label.partition("=")[2])]])
    return study


def curve_of(study: RecordedStudy, label: str = "epochs=5") -> EffortCurve:
    (trial,) = (row for _, row in study.trials.iterrows() if row["label"] == label)
    [curve] = effort_curves(study, trial, {"stage_keys": {"minimax": "one"}})
    return curve


def test_the_efforts_on_one_anonymizer_are_in_order_and_no_others_are_among_them(make_study: Maker) -> None:
    study = swept(make_study, LEVELS)
    for label in ("epochs=5", "epochs=40"):
        curve = curve_of(study, label)
        assert curve.attack == "retrained"
        assert [(point.epochs, round(point.sure.value, 3), point.valid) for point in curve.points] == [
            (5, 0.2, True),
            (10, 0.4, True),
            (20, 0.6, True),
            (40, 0.65, True),
        ]
    assert curve.gained is not None
    assert curve.gained.value == pytest.approx(0.05), "one clip of forty more, which is 5 points of leakage"


@pytest.mark.parametrize(
    ("gained", "half", "stopped"),
    [
        (0.0, 0.1, True),
        (-0.3, 0.1, True),  # it fell
        (0.05, 0.1, True),  # more than 2 points, and no more than twice the standard error
        (0.05, 0.04, False),
        (0.019, 0.001, True),  # surely more, but no more than 2 points
        (0.05, math.nan, False),  # how sure it is, is not known: that excuses no rise
        (0.019, math.nan, True),
    ],
)
def test_leakage_has_stopped_growing_by_the_rule_of_the_house(gained: float, half: float, stopped: bool) -> None:
    assert _has_stopped(Interval(gained, gained - half, gained + half, 40, 20)) is stopped


def test_nobody_can_tell_where_a_control_was_missed_or_the_items_are_others(make_study: Maker) -> None:
    curve = curve_of(swept(make_study, {5: 0.5, 10: 0.95}, last=broken))
    assert [point.valid for point in curve.points] == [True, False]
    assert curve.stopped is None


def test_other_test_items_are_not_compared(make_study: Maker) -> None:
    def renamed(record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "items": [{**item, "id": f"other {item['id']}"} for item in record["items"]]}

    curve = curve_of(swept(make_study, {5: 0.5, 10: 0.95}, last=renamed))
    assert (curve.gained, curve.stopped) == (None, None)


def test_the_page_has_the_sweep_or_says_that_there_is_none(make_study: Maker) -> None:
    study = swept(make_study, {5: 0.5, 10: 0.95})
    runs = {str(row["label"]): str(run_id) for run_id, row in study.trials.iterrows()}
    found = read_evidence(runs["epochs=5"], study.tracking_uri)
    page = page_of(found).replace("\N{NO-BREAK SPACE}", " ")
    assert "Swept: it learned 0.0 % (interval −10.0 % to 10.0 %) with 5 passes; 90.0 % (interval 80.0 % to 100.0 %)" in page
    assert "The last step of effort added 90.0 %" in page
    assert "STILL GROWING" in page
    assert "learned with several times the effort" in page
    data = json.loads(json.dumps(data_of(found), allow_nan=False))
    assert [point["epochs"] for point in data["efforts"][0]["points"]] == [5, 10]
    assert data["efforts"][0]["stopped"] is False
    alone = nested("linkage", 0.9, risk="linkability")
    log(study.tracking_uri, runs["other 1"], [alone, nested("face_found", 0.9, effort={"epochs": 0, "parameters": 7})])
    found = read_evidence(runs["other 1"], study.tracking_uri)
    (untried,) = [one.what for one in found.not_measured if "effort" in one.what]
    assert untried == "Whether far more effort reads more (linkage)", "who trains nothing has no effort"
    assert untried in page_of(found)
