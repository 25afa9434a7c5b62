"""How a study ends, what it runs again, and what its records say of each end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search_spaces.registry import Range, Search
from study import study as study_module
from study.backend.base import StudyEnd
from study.options import Options
from study.records.tracking import StudyTracker, finished_trials
from study.schedule.search import points_of
from study.study import Study
from trainables.config import TrialConfig
from trainables.schema import STUDY_RUN, TAG_EARLY, TAG_KIND, TAG_TRIAL_KEY


@dataclass
class FakeRun:
    """An MLflow run as far as it is looked at."""

    status: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def info(self) -> SimpleNamespace:
        return SimpleNamespace(status=self.status, run_name=self.tags.get(TAG_TRIAL_KEY, ""))

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(tags=self.tags, metrics=self.metrics, params={})


RUNS = [FakeRun(status, {TAG_TRIAL_KEY: status}) for status in ("FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED")]


def test_a_search_learns_from_finished_trials_only() -> None:
    """A worker may die between the final figures and the end: that point is tried again."""
    search = Search({"minimax.distortion_budget": Range(0.0, 1.0)}, 5, {"top1": "max"}, "tpe")
    params = {"method": "penalty", "seed": "0", "minimax.distortion_budget": "0.5"}
    runs = [SimpleNamespace(info=run.info, data=SimpleNamespace(params=params, metrics={"top1": 0.9}, tags={})) for run in RUNS]
    points = [points_of(search, [run], TrialConfig()) for run in runs]
    assert [[point.objectives for point in found] for found in points] == [[(0.9,)], [], [None], [None], [None]]


def test_a_search_counts_a_trial_that_was_stopped_early_as_the_worst_unless_it_is_to_go_on() -> None:
    search = Search({"minimax.distortion_budget": Range(0.0, 1.0)}, 5, {"top1": "max"}, "tpe")
    params = {"method": "penalty", "seed": "0", "minimax.distortion_budget": "0.5"}
    data = SimpleNamespace(params=params, metrics={"top1": 0.9}, tags={TAG_EARLY: "true"})
    run = SimpleNamespace(info=SimpleNamespace(status="KILLED"), data=data)
    assert [point.objectives for point in points_of(search, [run], TrialConfig())] == [None]
    assert [point.objectives for point in points_of(search, [run], TrialConfig(), {"top1": 0.0})] == [(0.0,)]


def test_only_a_finished_record_is_done() -> None:
    assert finished_trials(RUNS) == {"FINISHED"}


@pytest.mark.parametrize("stop_early", [False, True])
def test_a_study_runs_whatever_is_not_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_early: bool) -> None:
    """With --stop-early a trial that was stopped so is left alone; otherwise it goes on."""
    runs = [*RUNS, FakeRun("KILLED", {TAG_TRIAL_KEY: "EARLY", TAG_EARLY: "true"})]
    trials = [SimpleNamespace(name=run.status, setting="s", config=SimpleNamespace(seed=0)) for run in RUNS]
    trials.append(SimpleNamespace(name="EARLY", setting="s", config=SimpleNamespace(seed=0)))
    trials.append(SimpleNamespace(name="new", setting="s", config=SimpleNamespace(seed=0)))
    plans = [SimpleNamespace(key=each.name, stages=()) for each in trials]
    planned: list[list[str]] = []
    tracker = SimpleNamespace(
        address="", send_unsent=lambda: 0, runs=lambda: runs, plan=lambda rows: planned.append([row["key"] for row in rows])
    )
    study = object.__new__(Study)
    study.__dict__ |= {"tracker": tracker, "trial_plans": plans, "stages": {}, "stored": set(), "store": None}
    study.__dict__ |= {"plan": SimpleNamespace(trials=trials, experiment="x"), "data_root": tmp_path}
    study.__dict__ |= {"options": Options(storage="", stop_early=stop_early)}
    study.places = SimpleNamespace(driver_directory=tmp_path, stages_at="", tracking_uri="")  # type: ignore[assignment]
    monkeypatch.setattr(study_module, "Costs", lambda *_: None)
    monkeypatch.setattr(study_module, "in_order", lambda trials, plans, seconds: list(zip(trials, plans, strict=True)))
    early = [] if stop_early else ["EARLY"]
    assert [each.name for each, _ in study.prepare()] == ["FAILED", "KILLED", "RUNNING", "SCHEDULED", *early, "new"]
    assert planned == [["FINISHED", "FAILED", "KILLED", "RUNNING", "SCHEDULED", "EARLY", "new"]]


@pytest.mark.parametrize(
    ("end", "unsent", "code", "status"),
    [
        (StudyEnd(done=3), 0, 0, "FINISHED"),
        (StudyEnd(done=1, early=2), 0, 0, "FINISHED"),
        (None, 0, 0, "FINISHED"),  # nothing was left to run
        (StudyEnd(done=2, failed=1), 0, 1, "FAILED"),
        (StudyEnd(done=2, lost=1), 0, 1, "FAILED"),
        (StudyEnd(done=2, skipped=1), 0, 1, "KILLED"),
        (StudyEnd(done=1, failed=1, skipped=1), 0, 1, "FAILED"),
        (StudyEnd(done=2, interrupted=True), 0, 1, "KILLED"),
        (StudyEnd(done=1, failed=1, interrupted=True), 0, 1, "KILLED"),
        (StudyEnd(done=3), 2, 1, None),  # records wait: the study is not over
    ],
)
def test_how_a_study_ends(tmp_path: Path, end: StudyEnd | None, unsent: int, code: int, status: str | None) -> None:
    ends: list[str] = []
    tracker = SimpleNamespace(
        send_patiently=lambda: unsent,
        send_usage=lambda: None,
        end_unfinished=lambda reason: [],
        report=lambda folder: None,
        end=lambda status, reason: ends.append(status),
    )
    study = object.__new__(Study)
    study.__dict__ |= {"tracker": tracker, "plan": SimpleNamespace(experiment="x"), "_report": lambda: None}
    study.places = SimpleNamespace(driver_directory=tmp_path, stages_at="", tracking_uri="")  # type: ignore[assignment]
    study.resources = SimpleNamespace(gpus=0)  # type: ignore[assignment]
    assert study.close(end) == code
    assert ends == ([] if status is None else [status])


@pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (RuntimeError("a bug"), "FAILED")])
def test_a_driver_that_breaks_off_ends_its_run(error: BaseException, status: str) -> None:
    tracker, ends = object.__new__(StudyTracker), []
    tracker.end_unfinished = lambda reason: ends.append(reason) or []  # type: ignore[method-assign, func-returns-value]
    tracker.end = lambda status, reason="": ends.append(status)  # type: ignore[method-assign]
    tracker.abandon(error)
    assert ends[-1] == status
    assert len(ends) == 2


def test_the_study_s_own_run_is_no_trial() -> None:
    tracker = object.__new__(StudyTracker)
    own = FakeRun("RUNNING", {TAG_KIND: STUDY_RUN})

    class Page(list[Any]):
        token = ""

    tracker.experiment_id = "1"
    tracker._client = SimpleNamespace(search_runs=lambda *_, **__: Page([own, *RUNS]))
    assert tracker.runs() == RUNS
