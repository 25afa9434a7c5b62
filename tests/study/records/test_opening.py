"""Where MLflow's records and artifacts are: a new database, a database that several launches open, one that was moved."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from search_spaces.plan import StudyPlan
from study.options import Options, Places
from study.records import opening
from study.records.opening import alone, open_study
from study.records.outbox import EpochMetrics, RunContent
from study.records.recording import FINISHED, Sender
from study.records.tracking import StudyTracker
from tests.support.postgresql import postgresql_server
from trainables.config import ConfigError
from trainables.store.files import Files

PLAN = StudyPlan("demo", "small", ())
ROWS = {"minimax": {0: EpochMetrics(1000, {"loss": 1.0})}}
RECORD = RunContent("key", "name", {}, {}, ROWS, {"a/b.txt": b"b"}, {"pipeline_seconds": 9.0}, FINISHED, 5000)


def opened(places: Places) -> StudyTracker:
    files = Files(places.stages_at)
    with alone(files, places.tracking_uri):
        identity = open_study(PLAN, places.tracking_uri, places.artifacts_at)
        return StudyTracker(places.tracking_uri, identity, PLAN.experiment, files)


def places(storage: Path, **options: str) -> Places:
    storage.mkdir(exist_ok=True)
    return Options(storage=str(storage), **options).places


def artifact(study: StudyTracker) -> str:
    [run] = study.runs()
    client = MlflowClient(study.tracking_uri)
    assert client.list_artifacts(run.info.run_id, "a")[0].path == "a/b.txt"
    return str(run.info.artifact_uri)


def _launch(storage: Path, said: multiprocessing.Queue[tuple[str, str]]) -> None:
    study = opened(places(storage))
    said.put((study.experiment_id, study.run_id))


def test_two_first_launches_share_a_new_database(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")  # quick: nothing is imported again
    said = context.Queue()
    launches = [context.Process(target=_launch, args=(tmp_path, said)) for _ in range(2)]
    for launch in launches:
        launch.start()
    first, second = said.get(timeout=120), said.get(timeout=120)
    for launch in launches:
        launch.join(60)
        assert launch.exitcode == 0
    assert first == second


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database: to make one takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


def test_a_storage_that_was_moved_keeps_its_records_together(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    now = tmp_path / "first"
    now.mkdir()
    shutil.copy(database, now)
    first = opened(places(now))
    Sender(first.tracking_uri, first.experiment_id).send(RECORD)
    for how, name in ((shutil.copytree, "copy"), (shutil.move, "moved")):
        assert artifact(opened(places(now))).startswith((now / "mlflow-artifacts" / "demo.small").as_uri())
        before, now = now, tmp_path / name
        how(before, now)
        assert opened(places(now)).run_id == first.run_id
        assert f"demo.small: its artifacts were moved from {before}" in capsys.readouterr().out
    opened(places(now)).plan([])
    assert artifact(opened(places(now))).startswith((now / "mlflow-artifacts" / "demo.small").as_uri())
    assert capsys.readouterr().out == "", "said once"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first", "moved"]


def test_artifacts_that_are_gone_are_said(database: Path, tmp_path: Path) -> None:
    shutil.copy(database, tmp_path / "elsewhere.db")
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    opened(places(tmp_path / "old", tracking_uri=uri))
    shutil.rmtree(tmp_path / "old")
    with pytest.raises(ConfigError, match=r"demo.small has its artifacts in .*old.*, which is not there; move them.*--fresh"):
        opened(places(tmp_path / "new", tracking_uri=uri))


def test_a_relative_database_is_absolute_for_every_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("sqlite:///results/mlflow.db", "sqlite:///./results/mlflow.db"):
        assert places(tmp_path, tracking_uri=given).tracking_uri == f"sqlite:///{tmp_path}/results/mlflow.db"
    for same in ("sqlite:////a/mlflow.db", "postgresql://me@host/records", "http://host:5000"):
        assert places(tmp_path, tracking_uri=same).tracking_uri == same


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The URI of a database of a server that was made for the test."""
    with postgresql_server("me") as server:
        yield f"postgresql://me:secret@127.0.0.1:{server.port}/postgres"


def test_the_artifacts_of_a_postgresql_are_in_the_storage(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "driver").mkdir()
    monkeypatch.chdir(tmp_path / "driver")
    study = opened(places(tmp_path / "results", tracking_uri=postgresql))
    Sender(study.tracking_uri, study.experiment_id).send(RECORD)
    assert artifact(study).startswith((tmp_path / "results" / "mlflow-artifacts").as_uri())
    assert list((tmp_path / "driver").iterdir()) == []
    shutil.move(tmp_path / "results", tmp_path / "moved")
    assert artifact(opened(places(tmp_path / "moved", tracking_uri=postgresql))).startswith((tmp_path / "moved").as_uri())
    monkeypatch.setattr(opening, "joins_cluster", lambda: True)
    with pytest.raises(ConfigError, match="workers on other machines may not see") as error:
        opened(places(tmp_path / "another", tracking_uri=postgresql))
    assert "secret" not in str(error.value)


def test_a_database_whose_package_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"needs a package \(ModuleNotFoundError: .*'\w+'\); install it on every node"
    ) as error:
        opened(places(tmp_path, tracking_uri="mssql+pymssql://me:secret@host/db"))
    assert "secret" not in str(error.value)
