"""Names that MLflow's keys cannot hold, and what MLflow refuses: recorded by another key, or failed once with the reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.entities import Metric, Run
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from analysis.read.runs import read_runs
from search_spaces.plan import StudyPlan
from study.records import recording
from study.records.opening import open_study
from study.records.outbox import EpochMetrics, Outbox, RunContent
from study.records.recording import FAILED, FINISHED, MlflowRecorder, Sender, TrialRecording
from study.records.refusal import TRIES, Refused, refusal, trouble
from study.records.tracking import StudyTracker
from trainables.config import Runtime, TrialConfig
from trainables.pipeline import TrialRecord
from trainables.schema import key_of, name_of
from trainables.store.files import Files
from trainables.trial import TrialJob

ODD = ("age (<30)", "a, b", "x=y&z", "Café", "Cafe\u0301", "a/b", "..", "a:28b", "100 %", 'say "no"', "日本", "#?")


@pytest.fixture
def study(tmp_path: Path) -> StudyTracker:
    plan, uri = StudyPlan("refused", "small", ()), f"sqlite:///{tmp_path}/mlflow.db"
    return StudyTracker(uri, open_study(plan, uri, (tmp_path / "artifacts").as_uri()), plan.experiment, Files(tmp_path))


def content(key: str = "key", **values: Any) -> RunContent:
    rows = {"minimax": {0: EpochMetrics(1000, {"loss": 0.5})}}
    return RunContent(key, f"trial {key}", {"method": "penalty"}, {"seed": "0"}, rows, **values)


def whole(key: str, figures: dict[str, float]) -> RunContent:
    return content(key, final={**figures, "pipeline_seconds": 9.0}, status=FINISHED, ended=5000)


def runs(study: StudyTracker) -> dict[str, Run]:
    return {str(run.info.run_name): run for run in study.runs()}


@pytest.mark.parametrize("name", ["cmap", "ap.a4_gender", "x y", *ODD])
def test_every_name_has_a_key_of_its_own_that_gives_it_back(name: str) -> None:
    assert name_of(key_of(name)) == name
    assert set(key_of(name)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. :")
    assert key_of("ap.a4_gender") == "ap.a4_gender"
    assert key_of("age (<30)") == "age :28:3C30:29"
    assert name_of(key_of("caf\udce9")) == r"caf\xe9", "a Latin-1 name of a file, as Python has it"


def test_attributes_of_any_name_are_recorded_and_read_by_their_own(study: StudyTracker) -> None:
    figures = {f"ap.{name}": number / 100 for number, name in enumerate(ODD)}
    Sender(study.tracking_uri, study.experiment_id).send(whole("key", figures))
    client = MlflowClient(study.tracking_uri)
    read = read_runs(client, study.experiment_id)
    of_trial = read.metrics.loc[read.tags["trial_key"] == "key"].dropna(axis="columns").iloc[0]
    assert {name: value for name, value in of_trial.items() if str(name).startswith("ap.")} == figures
    assert read.curve_names == ("minimax/loss",), "a name with a slash is no curve"


def invalid(*_: Any, **__: Any) -> None:
    raise MlflowException("Invalid value for parameter 'metrics'", error_code=1000)  # INVALID_PARAMETER_VALUE


def test_what_is_refused_is_told_from_no_answer() -> None:
    gone = RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "No Experiment with id=7 exists"})
    assert "No Experiment with id=7 exists" in refusal(gone)
    assert trouble(gone).startswith("refuses it (RestException: ")
    for code in ("TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED"):
        assert trouble(RestException({"error_code": code, "message": "later"})).startswith("does not answer (")
    assert trouble(ConnectionError("refused")).startswith("does not answer (")
    denied = RestException({"error_code": "PERMISSION_DENIED", "message": "who are you"})
    assert (refusal(denied), trouble(denied)) == (
        "",
        "denies access (RestException: PERMISSION_DENIED: who are you); check user and password",
    )


def test_a_refused_record_fails_once_and_does_not_hold_up_the_others(
    study: StudyTracker, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = Outbox(study.files, study.tracking_uri, study.experiment_id)
    outbox.put(whole("a", {"attack." + "x" * 300: 0.5}))  # longer than a key may be
    outbox.put(whole("b", {"top1": 0.5}))
    assert study.send_unsent() == 0
    assert list(outbox.keys()) == []
    found = runs(study)
    assert (found["trial a"].info.status, found["trial b"].info.status) == (FAILED, FINISHED)
    assert found["trial a"].data.tags["reason"].startswith("MLflow refuses it (MlflowException: ")
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert line.startswith("trial a: MLflow refuses it (")


def recording_of(study: StudyTracker) -> TrialRecording:
    runtime = Runtime(data_root="/data", storage=study.files.storage)
    recorder = MlflowRecorder(study.tracking_uri, study.experiment_id)
    return TrialRecording(recorder, TrialJob("trial key", "key", TrialConfig(), runtime, recorder))


def eventually(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_trial_whose_points_are_refused_ends_with_the_reason(study: StudyTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_RETRY_SECONDS", (0.01, 0.01))
    log_batch, refused = MlflowClient.log_batch, []

    def no_metrics(client: MlflowClient, run_id: str, metrics: list[Metric] | tuple[()] = (), **named: Any) -> Any:
        if metrics:
            refused.append(metrics)
            invalid()
        return log_batch(client, run_id, metrics=metrics, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", no_metrics)
    run = recording_of(study)
    run.epoch("minimax", [{"loss": 1.0}], 9)
    eventually(lambda: run._refused is not None)
    with pytest.raises(Refused, match=r"^MLflow refuses it .*Invalid value for parameter 'metrics'"):
        run.epoch("minimax", [{"loss": 1.0}, {"loss": 0.5}], 9)
    with pytest.raises(Refused):
        run.complete(TrialRecord("key", {"top1": 0.5}, {}, (), (), (), {}, 10.0, 20.0, {}, {}, {}), None)
    assert run.fail("MLflow refuses it"), "who asked for the record to fail is told that it has"
    assert len(refused) == TRIES
    found = runs(study)["trial key"]
    assert (found.info.status, found.data.tags["reason"][:17]) == (FAILED, "MLflow refuses it")
    assert list(Outbox(study.files, study.tracking_uri, study.experiment_id).keys()) == []


def test_a_run_that_somebody_deletes_is_made_anew(study: StudyTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "_RETRY_SECONDS", (0.01, 0.01))
    run = recording_of(study)
    eventually(lambda: "trial key" in runs(study))
    eventually(lambda: not run._changed.is_set())
    MlflowClient(study.tracking_uri).delete_run(runs(study)["trial key"].info.run_id)
    run.epoch("minimax", [{"loss": 1.0}], 1)
    assert run.complete(TrialRecord("key", {"top1": 0.5}, {}, (), (), (), {}, 10.0, 20.0, {}, {}, {}), None)
    found = runs(study)["trial key"]
    assert (found.info.status, found.data.metrics["top1"]) == (FINISHED, 0.5)
