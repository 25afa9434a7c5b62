"""Every end that a trial can have: what is tried again, what counts as done, how losses are counted, what is recorded."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from search_spaces.registry import Range, Search
from study import study as study_module
from study.backend.base import StudyEnd
from study.options import Options
from study.records import recording
from study.records.outbox import RunContent
from study.records.recording import MlflowRecorder, TrialRecording
from study.records.tracking import StudyTracker, finished_trials
from study.schedule.search import points_of
from study.study import Study
from trainables import failures, pipeline, trial
from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.items import DataError
from trainables.execution.loop import Diverged
from trainables.failures import LOSSES, Attempts, Lost, Stopped, StoppedEarly
from trainables.pipeline import TrialRecord
from trainables.schema import STUDY_RUN, TAG_EARLY, TAG_KIND, TAG_REASON, TAG_TRIAL_KEY
from trainables.store import Outcome
from trainables.store.files import Files
from trainables.store.leases import Lease, Leases, Superseded
from trainables.trial import DONE, EARLY, FAILED, STOPPED, TrialJob, TrialState, run_job

RECORD = TrialRecord("key", {"top1": 0.5, "leakage": 0.25}, {}, (), (), (), {}, 10.0, 20.0, {}, {}, {})
FOLDER, COUNT = "trials/study", "trials/study/key.attempts"


@dataclass
class Told:
    """A recorder, and its only recording: what it is told of the end of the trial."""

    ends: list[tuple[str, str]] = field(default_factory=list)
    leases: str = FOLDER

    def open(self, job: TrialJob, lease: Lease) -> Told:
        return self

    def complete(self, record: TrialRecord, anonymizer: bytes | None) -> None:
        self.ends.append(("complete", record.key))

    def fail(self, reason: str) -> None:
        self.ends.append(("fail", reason))

    def interrupt(self, reason: str) -> None:
        self.ends.append(("interrupt", reason))

    def stop_early(self, reason: str) -> None:
        self.ends.append(("early", reason))

    def epoch(self, *_: object) -> None: ...
    def waiting(self, *_: object) -> None: ...
    def finished(self, *_: object) -> None: ...


@dataclass
class Worker:
    """Runs a job whose pipeline is `compute`."""

    storage: Path
    told: Told = field(default_factory=Told)
    states: list[TrialState] = field(default_factory=list)
    calls: int = 0

    def run(self, compute: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch, **values: Any) -> TrialState:
        def run_trial(config: Any, runtime: Any, reporter: Any, *_: Any) -> tuple[TrialRecord, dict[str, Outcome]]:
            self.calls += 1
            compute(reporter)
            return RECORD, {}

        monkeypatch.setattr(pipeline, "run_trial", run_trial)
        runtime = Runtime(data_root="", storage=str(self.storage), device="cpu")
        job = TrialJob("a trial", "key", TrialConfig(method="raw"), runtime, self.told, stop="halt")  # type: ignore[arg-type]
        run_job(replace(job, **values), {}, self.states.append)
        return self.states[-1]

    @property
    def lost(self) -> int:
        """How many losses of the trial are counted in the storage."""
        return int(Files(self.storage).read(COUNT) or b"0")


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path)


def raising(error: BaseException) -> Callable[[Any], None]:
    def compute(reporter: Any) -> None:
        raise error

    return compute


def test_a_trial_that_is_done(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    state = worker.run(lambda reporter: None, monkeypatch, objectives_if_failed={"top1": 0.0})
    assert (state.status, state.progress, state.objectives) == (DONE, 1.0, {"top1": 0.5})
    assert worker.told.ends == [("complete", "key")]
    assert worker.lost == 0


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("no such network"),
        DataError("no such video"),
        Diverged("minimax: loss = nan"),
        ZeroDivisionError("0"),
        ValueError("a mistake in the code"),
        MemoryError(),
        torch.cuda.OutOfMemoryError("its own fault"),
    ],
)
def test_what_would_end_the_same_way_again_is_failed_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    state = worker.run(raising(error), monkeypatch, objectives_if_failed={"top1": 0.0, "leakage": 1.0})
    assert (state.status, state.objectives) == (FAILED, {"top1": 0.0, "leakage": 1.0})
    assert str(error) in state.reason
    assert [kind for kind, _ in worker.told.ends] == ["fail"]
    assert str(error) in worker.told.ends[0][1]
    assert worker.lost == 0, "it ended by itself"


def test_a_trial_that_cannot_win_ends_once_and_a_search_is_told_the_worst(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = worker.run(raising(StoppedEarly("dominated by B")), monkeypatch, objectives_if_failed={"top1": 0.0})
    assert (state.status, state.reason, state.objectives) == (EARLY, "dominated by B", {"top1": 0.0})
    assert worker.told.ends == [("early", "dominated by B")]
    assert worker.lost == 0, "it ended by itself"


@pytest.mark.parametrize("error", [ConfigError("no such helper"), SyntaxError("invalid syntax"), ImportError("rank")])
def test_a_plugin_that_does_not_load_on_the_worker_fails_the_trial_once(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(trial, "load_plugins", raising(error))
    state = worker.run(lambda reporter: None, monkeypatch)
    assert (state.status, worker.calls, worker.lost) == (FAILED, 0, 0)
    assert str(error) in state.reason
    [(kind, reason)] = worker.told.ends
    assert (kind, str(error) in reason) == ("fail", True)


def test_a_point_of_a_search_that_is_refused_fails_once(worker: Worker) -> None:
    runtime = Runtime(data_root="", storage=str(worker.storage), device="cpu")
    template = TrialJob("", "", TrialConfig(), runtime, worker.told, objectives_if_failed={"top1": 0.0})  # type: ignore[arg-type]
    run_job(template, {"minimax.distortion_budget": -1.0}, worker.states.append)
    [state] = worker.states
    assert (state.status, state.objectives) == (FAILED, {"top1": 0.0})
    assert "distortion_budget" in state.reason


def test_a_worker_that_was_paused_for_long_gives_the_trial_back(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Lost, match="paused for long"):
        worker.run(raising(Superseded("minimax: paused for long")), monkeypatch)
    assert worker.states == []


def test_a_lost_worker_is_tried_again_and_counted(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 3):
        with pytest.raises(Lost, match="rank 1 was killed"):
            worker.run(raising(Lost("rank 1 was killed")), monkeypatch)
        assert worker.lost == number
    assert worker.told.ends == [("interrupt", "to be tried again: rank 1 was killed")] * 2
    assert worker.states == []


@pytest.mark.parametrize(
    ("mine", "free", "gpus", "tried_again"),
    [
        (10, 30, 0.5, True),  # of 80 GiB others hold 40
        (10, 30, 1.0, True),
        (10, 68, 0.5, False),  # CUDA itself takes the other two
        (60, 4, 0.5, False),  # more than its half
        (60, 4, 1.0, True),
        (78, 1, 1.0, False),
    ],
)
def test_gpu_memory_that_others_took_is_no_fault_of_the_trial(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, mine: int, free: int, gpus: float, tried_again: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: mine << 30)
    error = torch.cuda.OutOfMemoryError("out of memory")
    if tried_again:
        with pytest.raises(Lost):
            worker.run(raising(error), monkeypatch, gpus=gpus)
    else:
        assert worker.run(raising(error), monkeypatch, gpus=gpus).status == FAILED
    assert [kind for kind, _ in worker.told.ends] == ["interrupt" if tried_again else "fail"]


def test_a_storage_that_stays_away_loses_the_attempt(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(failures, "STORAGE_PATIENCE_SECONDS", 0.05)
    with pytest.raises(Lost, match="the storage is away"):
        worker.run(raising(OSError(errno.ENOSPC, "No space left on device")), monkeypatch)
    assert [kind for kind, _ in worker.told.ends] == ["interrupt"]
    assert worker.calls > 1


def test_a_study_that_is_stopped_leaves_the_trial_to_be_continued(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    state = worker.run(raising(Stopped("minimax: stopped after epoch 3 of 9; saved")), monkeypatch)
    assert state.status == STOPPED
    [(kind, reason)] = worker.told.ends
    assert kind == "interrupt"
    assert "run the same command to continue" in reason
    assert worker.lost == 0


def test_a_worker_that_is_told_to_end_gives_the_trial_back(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(reporter: Any) -> None:
        failures._told.set()
        raise Stopped("saved")

    try:
        with pytest.raises(Lost, match="told to end"):
            worker.run(told, monkeypatch)
    finally:
        failures._told.clear()
    assert [kind for kind, _ in worker.told.ends] == ["interrupt"]
    assert worker.states == []


@pytest.mark.parametrize(("before", "given_up"), [(0, False), (LOSSES - 1, False), (LOSSES, True), (LOSSES + 3, True)])
def test_killed_workers_are_counted_and_the_trial_is_given_up_in_the_end(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, before: int, given_up: bool
) -> None:
    for _ in range(before):  # each was killed without a word
        Attempts(Files(worker.storage), COUNT).begin()
    state = worker.run(lambda reporter: None, monkeypatch)
    assert (state.status, worker.calls) == ((FAILED, 0) if given_up else (DONE, 1))
    if given_up:
        assert worker.told.ends == [
            ("fail", f"its worker was lost {before} times without an epoch in between: killed, or out of memory")
        ]


STAGE: Any = SimpleNamespace(role="minimax", name="minimax")


@pytest.mark.parametrize(
    ("what", "counts"),
    [
        (lambda reporter: reporter.epoch("minimax", [{}], 2), 0),
        (lambda reporter: reporter.finished(STAGE, Outcome({}), False), 0),
        (lambda reporter: reporter.finished(STAGE, Outcome({}), True), 3),  # it was stored before
        (lambda reporter: reporter.waiting("minimax", "another"), 3),
        (lambda reporter: None, 3),
    ],
)
def test_losses_count_from_anew_once_something_is_saved(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, what: Callable[[Any], None], counts: int
) -> None:
    for _ in range(2):
        Attempts(Files(worker.storage), COUNT).begin()

    def compute(reporter: Any) -> None:
        what(reporter)
        raise Lost("killed")

    with pytest.raises(Lost):
        worker.run(compute, monkeypatch)
    assert worker.lost == counts


def test_one_worker_at_a_time_runs_a_trial(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Leases(Files(worker.storage)).take(FOLDER, "key")
    assert other is not None
    waited = []

    def sleep(seconds: float) -> None:
        assert worker.calls == 0
        waited.append(seconds)
        if len(waited) == 3:
            other.__exit__(None, None, None)

    monkeypatch.setattr(trial, "time", SimpleNamespace(sleep=sleep, monotonic=trial.time.monotonic))
    with other:
        assert worker.run(lambda reporter: None, monkeypatch).status == DONE
    assert len(waited) == 3


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
        send_unsent=lambda: 0, runs=lambda: runs, plan=lambda rows: planned.append([row["key"] for row in rows])
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


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (lambda record: record.complete(RECORD, b"weights"), "FINISHED", ""),
        (lambda record: record.fail("a bug"), "FAILED", "a bug"),
        (lambda record: record.interrupt("told to stop"), "KILLED", "told to stop"),
        (lambda record: record.stop_early("dominated"), "KILLED", "dominated"),
    ],
)
def test_what_is_recorded_of_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: Callable[[TrialRecording], bool], status: str, reason: str
) -> None:
    sent: list[RunContent] = []
    monkeypatch.setattr(recording, "Sender", lambda *_: SimpleNamespace(send=sent.append))
    recorder = MlflowRecorder("sqlite:///nowhere", "1")
    runtime = Runtime(data_root="", storage=str(tmp_path))
    record = recorder.open(TrialJob("a trial", "key", TrialConfig(), runtime, recorder))
    own: Any = SimpleNamespace(key="k", name="evaluate_action", role="evaluate_action", control="")
    control: Any = SimpleNamespace(key="c", name="evaluate_action", role="raw_action", control="raw")
    for stage, name in ((own, "own.json"), (control, "control.json")):
        record.finished(stage, Outcome({}, [{"loss": 1.0}], files={name: b""}), reused=False)
    assert end(record)
    last = sent[-1]
    assert (last.status, last.tags[TAG_REASON]) == (status, reason)
    assert last.ended > 0
    assert {"config.yaml", "own.json"} <= last.files.keys()
    assert "control.json" not in last.files
    assert set(last.rows) == {"evaluate_action", "raw_action"}
    finals = {"top1": 0.5, "leakage": 0.25, "seconds": 10.0, "pipeline_seconds": 20.0}
    assert last.final == (finals if status == "FINISHED" else {})
    assert ("record.json" in last.files) is ("anonymizer/anonymizer.pt" in last.files) is (status == "FINISHED")
