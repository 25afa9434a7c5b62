"""Which axis decides: planted where one does and the other does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from analysis.measure.importance import importance
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.importance import section
from tests.support.fake_studies import FakeTrial, metrics

B, WEIGHT = f"{PARAM}minimax.distortion_budget", f"{PARAM}minimax.penalty_weight"


def planted(count: int = 40, **columns: object) -> pd.DataFrame:
    """Leakage is the distance of B from 0.2, and accuracy falls with it; lambda, drawn by factors, changes nothing."""
    chance = np.random.default_rng(0)
    budget, weight = chance.random(count), 10 ** chance.uniform(-1, 2, count)
    far = np.abs(budget - 0.2)
    figures = {"validation_leakage": far, "validation_top1": 1 - far}
    return pd.DataFrame({"method": "penalty", B: budget, WEIGHT: weight, **figures, **columns})


def test_the_axis_that_decides_has_nearly_all_of_it() -> None:
    found = importance(planted())
    assert list(found.index) == [B, WEIGHT]
    assert found[B] > 0.75
    assert found.sum() == pytest.approx(1.0)
    turned = importance(planted().rename(columns={B: WEIGHT, WEIGHT: B}))
    assert turned[WEIGHT] > 0.75


def test_nothing_is_said_of_few_trials_one_axis_or_seeds() -> None:
    assert importance(planted(19)).empty
    assert importance(planted().drop(columns=WEIGHT)).empty
    assert importance(planted(**{WEIGHT: 1.0, f"{PARAM}seed": range(40)})).empty, "a seed is no axis"
    assert importance(planted(validation_top1=np.nan)).empty
    assert importance(planted(method="spact")).empty
    assert importance(planted().drop(columns="validation_leakage")).empty


def test_the_section_of_the_report(make_study: Callable[..., RecordedStudy]) -> None:
    trials = [
        FakeTrial(
            f"{number}",
            metrics=metrics(1 - abs(budget - 0.2), abs(budget - 0.2)),
            values={"minimax.distortion_budget": budget, "minimax.penalty_weight": float(1 + number % 7)},
        )
        for number, budget in enumerate(np.linspace(0, 1, 24).tolist())
    ]
    study = make_study(trials)
    found = section(study, pd.DataFrame())
    assert found is not None
    assert found.title == "Which axis decides"
    assert [row[0] for row in found.tables[0].rows] == ["minimax.distortion_budget", "minimax.penalty_weight"]
    assert found.tables[0].rows[0][2] == "0 to 1"
    assert section(make_study(trials[:5], "few"), pd.DataFrame()) is None
