"""A trial's MLflow run, whatever becomes of MLflow and of its workers: everything once, nothing twice."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from search_spaces.plan import StudyPlan
from study.records import recording
from study.records.opening import open_study
from study.records.outbox import EpochMetrics, Outbox, RunContent, trials_folder
from study.records.recording import FINISHED, KILLED, MlflowRecorder, Sender, TrialRecording
from study.records.tracking import StudyTracker, early_trials, finished_trials
from trainables.config import Runtime, TrialConfig
from trainables.pipeline import TrialRecord
from trainables.schema import TAG_EARLY, TAG_REASON
from trainables.store import Outcome
from trainables.store.files import Files
from trainables.store.leases import Lease, Leases, Superseded
from trainables.stored_anonymizer import StoredAnonymizer
from trainables.trial import TrialJob
from trainables.versions import project_version

RECORD = TrialRecord("key", {"top1": 0.5}, {}, (), (), (), {}, 10.0, 20.0, {}, {}, {})
STORED = StoredAnonymizer("/somewhere", "minimax", "k", "abc", {})


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    return f"sqlite:///{folder}/mlflow.db", folder


@pytest.fixture
def study(database: tuple[str, Path], tmp_path: Path, request: pytest.FixtureRequest) -> StudyTracker:
    uri, folder = database
    plan = StudyPlan(request.node.name, "small", ())
    return StudyTracker(uri, open_study(plan, uri, (folder / "artifacts").as_uri()), plan.experiment, Files(tmp_path))


def run_of(study: StudyTracker) -> Run:
    [run] = study.runs()
    return run


def points(study: StudyTracker, metric: str) -> list[tuple[int, float]]:
    client = MlflowClient(study.tracking_uri)
    return [(point.step, point.value) for point in client.get_metric_history(run_of(study).info.run_id, metric)]


def content(epochs: int, **values: Any) -> RunContent:
    rows = {"minimax": {epoch: EpochMetrics(1000 + epoch, {"loss": float(epoch), "rms": 0.1}) for epoch in range(epochs)}}
    return RunContent("key", "B=0.3 seed=0", {"method": "penalty"}, {"seed": "0"}, rows, **values)


class Away:
    """Lets a method of the MLflow client fail, from call `first` on, `times` times; before or after it has done its work."""

    def __init__(self, method: Callable[..., Any], first: int = 1, times: int = 10**6, after: bool = False) -> None:
        self._method, self._bad, self._after, self.calls = method, range(first, first + times), after, 0

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        if self.calls not in self._bad:
            return self._method(*arguments, **named)
        if self._after:
            self._method(*arguments, **named)
        raise ConnectionError("no answer")


@pytest.mark.parametrize("method", ["create_run", "log_batch", "log_artifact", "set_terminated"])
@pytest.mark.parametrize("after", [False, True])
def test_what_was_sent_without_an_answer_is_not_sent_again(study: StudyTracker, method: str, after: bool) -> None:
    whole = content(3, files={"a/b.txt": b"b"}, final={"top1": 0.5, "pipeline_seconds": 9.0}, status=FINISHED, ended=5000)
    sender = Sender(study.tracking_uri, study.experiment_id)
    client = sender._mlflow
    setattr(client, method, Away(getattr(client, method), times=1, after=after))
    with pytest.raises(ConnectionError):
        sender.send(whole)
    sender.send(whole)
    assert points(study, "minimax/loss") == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert points(study, "top1") == [(0, 0.5)]
    run = run_of(study)
    assert (run.info.status, run.data.params, run.data.tags["method"]) == (FINISHED, {"seed": "0"}, "penalty")
    assert MlflowClient(study.tracking_uri).list_artifacts(run.info.run_id, "a")[0].path == "a/b.txt"


def test_the_next_worker_goes_on_with_the_run_of_the_last(study: StudyTracker) -> None:
    """The first one died within an epoch; the second between the final figures and the end."""
    Sender(study.tracking_uri, study.experiment_id).send(content(2))
    final = content(4, final={"top1": 0.5, "pipeline_seconds": 9.0})
    Sender(study.tracking_uri, study.experiment_id).send(final)
    again = replace(final, final={"top1": 0.5, "pipeline_seconds": 1.0}, status=FINISHED, ended=5000)
    Sender(study.tracking_uri, study.experiment_id).send(again)
    assert [step for step, _ in points(study, "minimax/loss")] == [0, 1, 2, 3]
    assert points(study, "pipeline_seconds") == [(0, 9.0)]
    assert finished_trials(study.runs()) == {"key"}


@pytest.mark.parametrize("before", ["nothing", "interrupted"])
def test_a_trial_that_was_stopped_early_counts_as_such_once_all_of_it_is_there(study: StudyTracker, before: str) -> None:
    """The worker that finds it so dies between any two calls: the next one still has what is missing to tell."""
    if before == "interrupted":
        Sender(study.tracking_uri, study.experiment_id).send(content(1, status=KILLED, ended=2000))
    early = content(2, status=KILLED, ended=5000)
    early.tags |= {TAG_EARLY: "true", TAG_REASON: "dominated"}
    for method, number in (("log_batch", 1), ("log_batch", 2), ("log_batch", 3), ("log_batch", 4), ("set_terminated", 1)):
        sender = Sender(study.tracking_uri, study.experiment_id)
        setattr(sender._mlflow, method, Away(getattr(sender._mlflow, method), first=number))
        with contextlib.suppress(ConnectionError):
            sender.send(early)
        study.end_unfinished("the study ended before it")
        if early_trials(study.runs()):
            break
    assert points(study, "minimax/loss") == [(0, 0.0), (1, 1.0)]
    run = run_of(study)
    assert (run.info.status, run.data.tags[TAG_REASON]) == (KILLED, "dominated")


def losses(epochs: int) -> list[dict[str, float]]:
    return [{"loss": float(epoch)} for epoch in range(epochs)]


def recording_of(study: StudyTracker, lease: Lease | None = None) -> TrialRecording:
    recorder, runtime = (
        MlflowRecorder(study.tracking_uri, study.experiment_id),
        Runtime(data_root="", storage=study.files.storage),
    )
    return recorder.open(TrialJob("a trial", "key", TrialConfig(), runtime, recorder, study.tags), lease)


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_outage_in_the_middle_costs_nothing(study: StudyTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_RETRY_SECONDS", (0.01, 0.01))
    away = Away(MlflowClient.log_batch, first=2, times=5)
    monkeypatch.setattr(MlflowClient, "log_batch", lambda *arguments, **named: away(*arguments, **named))  # noqa: PLW0108
    run = recording_of(study)
    for epoch in range(20):
        run.epoch("minimax", losses(epoch + 1), 20)
        time.sleep(0.01)
    run.complete(RECORD, STORED)
    assert away.calls > 7
    assert points(study, "minimax/loss") == [(epoch, float(epoch)) for epoch in range(20)]
    found = run_of(study)
    assert found.info.status == FINISHED
    assert found.data.tags["mlflow.parentRunId"] == study.run_id
    assert study.send_unsent() == 0


def test_what_a_worker_that_died_did_not_tell_is_told_before_what_follows(study: StudyTracker) -> None:
    first = recording_of(study)
    first.epoch("minimax", losses(1), 4)
    first.interrupt("told to stop")
    second = recording_of(study)
    second.epoch("minimax", losses(3), 4)  # the second was saved, and its worker died
    second.interrupt("told to stop")
    third = recording_of(study)
    stage = SimpleNamespace(key="k", name="minimax", role="minimax", control="")
    third.finished(stage, Outcome({}, losses(4)), reused=False)  # type: ignore[arg-type]
    third.complete(RECORD, None)
    found = MlflowClient(study.tracking_uri).get_metric_history(run_of(study).info.run_id, "minimax/loss")
    assert [point.step for point in found] == [0, 1, 2, 3], "in the order in which they came"
    assert [point.timestamp for point in found] == sorted(point.timestamp for point in found)


def test_what_cannot_be_sent_in_the_end_waits_in_the_storage(study: StudyTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "PATIENCE_SECONDS", 0.1)
    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "search_runs", Away(MlflowClient.search_runs))
        run = recording_of(study)
        run.epoch("minimax", [{"loss": 1.0}], 1)
        assert not run.complete(RECORD, STORED)
        assert study.send_unsent() == 1
    assert study.runs() == []
    with Leases(study.files).take(trials_folder(study.tracking_uri, study.experiment_id), "key"):  # type: ignore[union-attr]
        assert study.send_unsent() == 0, "a worker has taken the trial up again: it has all of it"
        assert study.runs() == []
    assert study.send_unsent() == 0
    assert points(study, "minimax/loss") == [(0, 1.0)]
    found = run_of(study)
    assert (found.info.status, found.data.metrics["pipeline_seconds"]) == (FINISHED, 20.0)
    names = {item.path for item in MlflowClient(study.tracking_uri).list_artifacts(found.info.run_id)}
    assert names == {"anonymizer", "config.yaml", "record.json"}
    assert list(Outbox(study.files, study.tracking_uri, study.experiment_id).keys()) == []


def test_runs_are_ended_only_where_no_worker_is_left(study: StudyTracker) -> None:
    Sender(study.tracking_uri, study.experiment_id).send(content(1))
    Sender(study.tracking_uri, study.experiment_id).send(replace(content(1), key="other", name="other"))
    lease = Leases(study.files).take(trials_folder(study.tracking_uri, study.experiment_id), "other")
    assert lease is not None
    with lease:
        assert study.end_unfinished("its worker was lost") == ["B=0.3 seed=0"]
    assert {run.info.run_name: run.info.status for run in study.runs()} == {"B=0.3 seed=0": KILLED, "other": "RUNNING"}


def test_a_worker_that_was_paused_records_nothing_beside_its_successor(study: StudyTracker) -> None:
    folder = trials_folder(study.tracking_uri, study.experiment_id)
    lease = Leases(study.files).take(folder, "key")
    assert lease is not None
    with lease:
        record = recording_of(study, lease)
        record.epoch("minimax", [{"loss": 1.0}], 9)
        eventually(lambda: bool(study.runs()) and points(study, "minimax/loss") == [(0, 1.0)])
        study.files.create(f"{folder}/key.lease.2", b"another-host 1 abc 0")  # after a pause
        record.epoch("minimax", [{"loss": 1.0}, {"loss": 0.5}], 9)
        eventually(lambda: record._refused is not None)
        with pytest.raises(Superseded):
            record.epoch("minimax", [{"loss": 1.0}, {"loss": 0.5}, {"loss": 0.25}], 9)
        record.interrupt("to be tried again")
    assert points(study, "minimax/loss") == [(0, 1.0)]
    assert run_of(study).info.status == "RUNNING", "as its successor has it"
    assert study.files.exists(f"{folder}/key.lease.2")
    assert list(Outbox(study.files, study.tracking_uri, study.experiment_id).keys()) == []


def test_a_fresh_study_leaves_the_records_of_the_old_one(study: StudyTracker, database: tuple[str, Path]) -> None:
    uri, folder = database
    Sender(uri, study.experiment_id).send(content(1))
    plan = StudyPlan("test_a_fresh_study_leaves_the_records_of_the_old_one", "small", ())
    assert open_study(plan, uri, (folder / "artifacts").as_uri()) == study.experiment_id
    fresh = open_study(plan, uri, (folder / "artifacts").as_uri(), fresh=True)
    assert fresh != study.experiment_id
    assert open_study(plan, uri, (folder / "artifacts").as_uri()) == fresh
    assert StudyTracker(uri, fresh, plan.experiment, study.files).runs() == []
    old = MlflowClient(uri).get_experiment(study.experiment_id)
    assert old.name.startswith(f"{plan.space} until 2")
    assert len(study.runs()) == 1


def test_the_runs_of_a_study_and_its_trials_say_which_version_they_are_of(study: StudyTracker) -> None:
    assert MlflowClient(study.tracking_uri).get_run(study.run_id).data.tags["project_version"] == project_version()
    assert study.tags["project_version"] == project_version()


def test_what_launches_used_is_one_curve(study: StudyTracker) -> None:
    for used in (1.0, 2.0):
        study.usage = {"cpu_hours.busy": used}
        study.send_usage()
    again = StudyTracker(study.tracking_uri, study.experiment_id, "again", study.files)
    again.send_usage()  # nothing has run yet
    again.usage = {"cpu_hours.busy": 0.5}
    again.send_usage()
    found = MlflowClient(study.tracking_uri).get_metric_history(study.run_id, "cpu_hours.busy")
    assert [(point.step, point.value) for point in found] == [(0, 1.0), (1, 2.0), (2, 2.5)]
