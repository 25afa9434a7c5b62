"""Every end that a trial can have: what is tried again, what counts as done, how losses are counted, what is recorded."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from study.records import recording
from study.records.outbox import RunContent
from study.records.recording import MlflowRecorder, TrialRecording
from trainables import failures, pipeline, trial
from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.items import DataError
from trainables.execution.loop import Diverged
from trainables.failures import LOSSES, Attempts, Lost, Stopped, StoppedEarly
from trainables.pipeline import TrialRecord
from trainables.schema import TAG_REASON
from trainables.store import Outcome
from trainables.store.files import Files
from trainables.store.leases import Lease, Leases, Superseded
from trainables.stored_anonymizer import StoredAnonymizer
from trainables.trial import DONE, EARLY, FAILED, SKIPPED, STOPPED, TrialJob, TrialState, run_job

RECORD = TrialRecord("key", {"top1": 0.5, "leakage": 0.25}, {}, (), (), (), {}, 10.0, 20.0, {}, {}, {})
STORED = StoredAnonymizer("/somewhere", "minimax", "k", "abc", {})
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


@pytest.mark.parametrize("begun", [False, True])
def test_a_trial_that_is_skipped_ends_and_goes_on_another_time(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    files, stops = Files(worker.storage), list[failures.Stop]()
    heed = failures.Stop.heed
    monkeypatch.setattr(failures.Stop, "heed", lambda stop, marker: (stops.append(stop), heed(stop, marker)))

    def told(reporter: Any) -> None:
        assert not stops[0]()
        files.replace(f"{FOLDER}/key.skip", b"")
        stops[0]._look()
        assert stops[0]()
        raise Stopped("minimax: stopped after epoch 3 of 9; saved")

    if not begun:
        files.replace(f"{FOLDER}/key.skip", b"")
    assert worker.run(told, monkeypatch).status == SKIPPED
    saved = ("interrupt", "skipped (minimax: stopped after epoch 3 of 9; saved); run the same command to continue")
    assert worker.told.ends == ([saved] if begun else []), "what has not begun has no record"
    assert worker.lost == 0


def test_where_all_are_to_stop_none_is_skipped(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    for order in ("halt", f"{FOLDER}/key.skip"):
        Files(worker.storage).replace(order, b"")
    assert worker.run(raising(Stopped("saved")), monkeypatch).status == STOPPED


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


@pytest.mark.parametrize(
    ("end", "status", "reason"),
    [
        (lambda record: record.complete(RECORD, STORED), "FINISHED", ""),
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
    assert ("record.json" in last.files) is ("anonymizer/anonymizer.json" in last.files) is (status == "FINISHED")
