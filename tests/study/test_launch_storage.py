"""A study whose stages are on an object store: what the driver writes itself still needs a directory."""

from __future__ import annotations

from pathlib import Path

import pytest
from fsspec.registry import known_implementations

from search_spaces.plan import plan_study
from study.schedule.resources import Share
from study.study import Launch
from trainables.config import ConfigError


def where(storage: str, tracking_uri: str | None) -> Launch:
    return Launch.of(plan_study("demo", "generated", (0,), {}), True, None, storage, tracking_uri, 1, 0, None)


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol whose package is there, whatever is installed."""
    monkeypatch.setitem(known_implementations, "bucket", {"class": "fsspec.implementations.memory.MemoryFileSystem"})


def test_a_directory_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for storage in ("here", f"file://{tmp_path}/here"):
        launch = where(storage, None)
        assert launch.storage == tmp_path / "here"
        assert launch.stages == launch.runtime(tmp_path, Share(1, 0)).storage == str(tmp_path / "here")
        assert launch.tracking_uri == f"sqlite:///{tmp_path}/here/mlflow.db"


def test_a_uri_holds_the_stages_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    launch = where("bucket://a/b", "http://mlflow:5000")
    assert launch.storage == tmp_path / "results"
    assert launch.stages == launch.runtime(tmp_path, Share(1, 0)).storage == "bucket://a/b"


@pytest.mark.parametrize(
    ("storage", "tracking_uri", "message"),
    [
        ("bucket://a/b", None, "^--storage bucket://a/b: SQLite cannot live there; give --tracking-uri"),
        ("memory://a", "http://mlflow:5000", "^--storage memory://a: each worker has a memory of its own"),
        ("sss://a/b", "http://mlflow:5000", "^storage sss://a/b: .*give a directory, or a URI"),
    ],
)
def test_a_storage_that_cannot_work_is_one_clear_line(storage: str, tracking_uri: str | None, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        where(storage, tracking_uri)
