"""Records on a real MLflow server that answers late, refuses, or is asked by two launches at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from search_spaces.plan import StudyPlan
from study.backend.preflight import tracking_problems
from study.environment import DEFAULTS
from study.records import calls
from study.records.opening import open_study
from study.records.outbox import EpochMetrics, Outbox, RunContent
from study.records.recording import FINISHED, Sender
from study.records.tracking import StudyTracker
from tests.support.mlflow_server import Disturbed, mlflow_server
from trainables.store.files import Files

FILE = b"0" * 100_000


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disturbed]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def server(serving: Disturbed, monkeypatch: pytest.MonkeyPatch) -> Disturbed:
    """With the time limits that a study sets."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", DEFAULTS["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", DEFAULTS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    serving.late.clear()
    serving.refused.clear()
    return serving


def tracker(server: Disturbed, name: str, folder: Path) -> StudyTracker:
    plan = StudyPlan(name, "small", ())
    return StudyTracker(server.uri, open_study(plan, server.uri, ""), plan.experiment, Files(folder))


def content(key: str, file: str = "anonymizer.pt") -> RunContent:
    rows = {"minimax": {0: EpochMetrics(1000, {"loss": 1.0})}}
    final = {"top1": 0.5, "pipeline_seconds": 9.0}
    return RunContent(key, key, {}, {"seed": "0"}, rows, {file: FILE}, final, FINISHED, 5000)


def test_an_upload_may_take_longer_than_other_calls(server: Disturbed, tmp_path: Path) -> None:
    study = tracker(server, "uploads", tmp_path)
    server.late["mlflow-artifacts"] = 13.0
    Sender(study.tracking_uri, study.experiment_id).send(content("key"))
    [run] = study.runs()
    assert run.info.status == FINISHED
    assert calls.upload_seconds(56 * 2**20) > 200, "that of a line of 256 KiB a second"


def test_a_slow_answer_makes_no_second_run(server: Disturbed, tmp_path: Path) -> None:
    server.late |= {"runs/create": 13.0, "experiments/create": 13.0}
    study = tracker(server, "slow", tmp_path)
    Sender(study.tracking_uri, study.experiment_id).send(content("key"))
    runs = MlflowClient(server.uri).search_runs([study.experiment_id])
    assert sorted(run.info.run_name for run in runs) == ["key", "slow.small"]


def test_a_run_whose_creation_seemed_to_fail_is_found_and_a_ghost_is_deleted(
    server: Disturbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tracker(server, "lost", tmp_path)
    server.late["runs/create"] = 13.0
    monkeypatch.setattr("study.records.opening.CREATE_SECONDS", 5.0)
    sender = Sender(study.tracking_uri, study.experiment_id)
    with pytest.raises(MlflowException):
        sender.send(content("key"))
    server.late.clear()
    [first] = study.runs()
    client = MlflowClient(server.uri)
    client.create_run(study.experiment_id, tags=first.data.tags)  # which MLflow began before the first was there
    sender.send(content("key"))
    assert [(run.info.run_id, run.info.status) for run in study.runs()] == [(first.info.run_id, FINISHED)]
    client.create_run(study.experiment_id, tags=first.data.tags)  # which came to be after all that
    assert study.end_unfinished("its worker was lost") == []
    assert [run.info.run_id for run in study.runs()] == [first.info.run_id]


def test_a_record_that_cannot_be_sent_does_not_hold_up_the_others(server: Disturbed, tmp_path: Path) -> None:
    study = tracker(server, "stuck", tmp_path)
    outbox = Outbox(study.files, study.tracking_uri, study.experiment_id)
    outbox.put(content("a", file="stuck.pt"))
    outbox.put(content("b"))
    outbox.put(content("c"))
    server.refused["stuck.pt"] = "503 Service Unavailable"
    assert study.send_unsent() == 1
    assert list(outbox.keys()) == ["a"]
    server.refused.clear()
    assert study.send_unsent() == 0
    assert {run.info.run_name: run.info.status for run in study.runs()} == dict.fromkeys("abc", FINISHED)


def test_two_first_launches_make_one_experiment(server: Disturbed, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = StudyPlan("at_once", "small", ())
    get, asked = MlflowClient.get_experiment_by_name, []

    def before_the_other(client: MlflowClient, name: str) -> object:
        asked.append(name)
        return None if len(asked) <= 1 else get(client, name)

    first = open_study(plan, server.uri, "")
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", before_the_other)
    assert open_study(plan, server.uri, "") == first


def test_denied_access_is_told_from_no_answer(server: Disturbed) -> None:
    server.refused["experiments/search"] = "401 Unauthorized"
    [problem] = tracking_problems(server.uri.replace("http://", "http://me:secret@"))
    assert "denies access" in problem
    assert "secret" not in problem
