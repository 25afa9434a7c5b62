"""Trials that were stopped early are in a section of their own, and nowhere else: no point, no table, no warning."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from analysis.measure.settings import settings_table
from analysis.measure.warnings import missing_seeds, warnings_of
from analysis.read.study import RecordedStudy
from analysis.read.trials import EARLY
from analysis.report import runs, stopped_early
from tests.support.fake_studies import FakeTrial, metrics

REASON = "stopped early at epoch 4 of 10: dominated by B=0.3 seed=0"


@pytest.fixture
def study(make_study: Callable[..., RecordedStudy]) -> RecordedStudy:
    """Besides a trial that was stopped early: one that went on afterwards and finished, one that was killed meanwhile."""
    return make_study(
        [
            FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8)),
            FakeTrial("B=0.3", metrics=metrics(0.8, 0.4)),
            FakeTrial("B=0.9", status="KILLED", reason=REASON, early=True),
            FakeTrial("B=0.5", metrics=metrics(0.7, 0.5), early=True),
            FakeTrial("B=0.6", status="KILLED", reason="told to stop"),
        ]
    )


def test_they_have_a_section_with_their_reasons(study: RecordedStudy) -> None:
    section = stopped_early.section(study, settings_table(study.trials))
    assert section is not None
    [table] = section.tables
    assert table.rows == [["B=0.9 seed=0", REASON]]
    assert table.caption.startswith("1 trial ended")


def test_they_are_no_points_and_in_no_other_table(study: RecordedStudy) -> None:
    assert study.unfinished.set_index("name")["state"].to_dict() == {"B=0.9 seed=0": EARLY, "B=0.6 seed=0": "killed"}
    table = settings_table(study.trials)
    assert set(table["label"]) == {"raw", "B=0.3", "B=0.5"}
    listed = [row for table in runs.section(study).tables for row in table.rows]
    assert not any(REASON in row for row in listed)
    assert any("told to stop" in row for row in listed)
    assert any(text.startswith("1 trial failed, stopped or finished without") for text in warnings_of(study, table))


def test_a_seed_that_was_stopped_early_is_not_missing(make_study: Callable[..., RecordedStudy]) -> None:
    study = make_study(
        [
            *(FakeTrial("B=0.3", seed=seed, metrics=metrics(0.8, 0.4)) for seed in (0, 1, 2)),
            FakeTrial("B=0.9", seed=0, metrics=metrics(0.7, 0.5)),
            FakeTrial("B=0.9", seed=1, status="KILLED", reason=REASON, early=True),
            FakeTrial("B=0.9", seed=2, status="KILLED", reason="told to stop"),
            FakeTrial("B=0.6", seed=0, status="KILLED", reason=REASON, early=True),
        ]
    )
    assert missing_seeds(study) == ["B=0.9: no result for seed 2", "B=0.6: no result for seeds 1, 2"]


def test_without_them_there_is_no_section(make_study: Callable[..., RecordedStudy]) -> None:
    study = make_study([FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8))])
    assert stopped_early.section(study, settings_table(study.trials)) is None
