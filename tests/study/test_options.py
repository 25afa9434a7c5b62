"""What the command line and the environment come to: one place for the stages, one for the driver, each with its default."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.registry import known_implementations

from study.environment import DEFAULTS, without_passwords
from study.options import Options, Places, read_options
from study.schedule.resources import ResourceOverride, Resources, Share
from tests.support import ROOT
from trainables import cluster
from trainables.config import ConfigError


def places(storage: str, tracking_uri: str | None) -> Places:
    return Options(profile="generated", storage=storage, tracking_uri=tracking_uri).places


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A protocol whose package is there, whatever is installed."""
    monkeypatch.setitem(known_implementations, "bucket", {"class": "fsspec.implementations.memory.MemoryFileSystem"})


def test_a_directory_holds_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for storage in ("here", f"file://{tmp_path}/here"):
        found = places(storage, None)
        assert found.driver_directory == tmp_path / "here"
        assert found.stages_at == str(tmp_path / "here")
        assert found.tracking_uri == f"sqlite:///{tmp_path}/here/mlflow.db"


def test_a_uri_holds_the_stages_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = places("bucket://a/b", "http://mlflow:5000")
    assert found.driver_directory == tmp_path / "results"
    assert found.stages_at == "bucket://a/b"


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
        places(storage, tracking_uri)


def test_the_size_of_use_is_one_side_of_a_square() -> None:
    for given in ("128", "128x128", "128X128"):
        assert read_options(["--space", "demo", "--at-size", given]).overrides == {"evaluate_at": 128}
    for wrong in ("128x96", "native", "0x", "x", "-8", "8x8x8", "1.5"):
        with pytest.raises(ConfigError, match=rf"--at-size '{wrong}': clips are square; give one side in pixels"):
            read_options(["--space", "demo", f"--at-size={wrong}"])


def test_a_worker_keeps_its_stages_where_the_study_says() -> None:
    runtime = Share(8.0, 2.0).runtime("/data", "bucket://a/b")
    assert (runtime.data_root, runtime.storage, runtime.device) == ("/data", "bucket://a/b", "cuda")
    assert (runtime.ranks, runtime.threads, runtime.workers) == (2, 4, 3), "of eight cores, shared by two processes"
    assert Share(3.0, 0.0).runtime("/data", "s").threads == 3


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ANONYMIZATION_STORAGE", "shared")
    monkeypatch.setenv("ANONYMIZATION_DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("ANONYMIZATION_NODES_COME_LATER", "")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    found = read_options(["--space", "demo", "--profile", "small"])
    assert (found.storage, found.tracking_uri, found.nodes_come_later) == ("shared", "http://mlflow:5000", False)
    assert found.existing_data_root == tmp_path
    assert read_options(["--profile", "generated"]).existing_data_root is None, "it is not for generated data"
    given = read_options(["--storage", "mine", "--tracking-uri", "sqlite:///a.db", "--data-root", str(ROOT)])
    assert (given.storage, given.tracking_uri, given.existing_data_root) == ("mine", "sqlite:///a.db", ROOT)
    monkeypatch.setenv("ANONYMIZATION_NODES_COME_LATER", "1")
    assert read_options([]).nodes_come_later
    monkeypatch.delenv("ANONYMIZATION_STORAGE")
    assert read_options([]).storage == "results"


def test_options_are_typed_and_frozen() -> None:
    words = ["--seeds", "0,3", "--set", "minimax.epochs=3", "--attacks", "linkage,retrained", "--gpus-for", "method=raw:0.5:T4"]
    found = read_options([*words, "--gpus-per-trial", "auto", "--max-concurrent", "4", "--cpus-per-trial", "2"])
    assert found.seeds == (0, 3)
    assert found.overrides == {"minimax.epochs": 3, "attacks.names": "linkage,retrained"}
    override = ResourceOverride("method", "raw", 0.5, "T4")
    assert found.resources == Resources(2.0, 1.0, 4, (override,), 2.0)
    assert found.pack
    with pytest.raises(ValueError, match="frozen"):
        found.space = "demo"
    with pytest.raises(ConfigError, match="--gpu-memory -1: give the GiB that a trial needs"):
        read_options(["--gpu-memory", "-1"])


@pytest.mark.parametrize("modules", ["study.backend.ray_tune, study.records.tracking", "study.records.tracking, study.run"])
def test_what_ray_and_mlflow_read_does_not_depend_on_who_is_imported_first(modules: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "RAY", "TUNE"))}
    environment |= {"MLFLOW_HTTP_REQUEST_TIMEOUT": "99", "PYTHONPATH": str(ROOT)}
    wanted = {**cluster.DEFAULTS, **DEFAULTS, "MLFLOW_HTTP_REQUEST_TIMEOUT": "99", "RAY_AUTH_MODE": "disabled"}
    code = f"import os, {modules}; print({{name: os.environ.get(name) for name in {[*wanted]}}})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment).stdout
    assert said.strip() == str(wanted), "and what the user has set wins"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpus-per-trial", "abc"], "^--gpus-per-trial: 'abc': give a number, such as 0.5 or 2, or auto"),
        (["--max-concurrent", "two"], "^--max-concurrent: invalid int value: 'two'"),
        (["--sede", "1"], "^unrecognized arguments: --sede 1"),
        (["--price-per-gpu-hour", "nan"], "^--price-per-gpu-hour nan: give a price"),
        (["--price-per-gpu-hour", "inf"], "^--price-per-gpu-hour inf: give a price"),
        (["--gpu-memory", "nan"], "^--gpu-memory nan: give the GiB that a trial needs"),
        (["--gpu-memory", "inf"], "^--gpu-memory inf: give the GiB that a trial needs"),
        (["--cpus-per-trial", "nan"], "^nan CPUs and 0 GPUs a trial: give some CPU"),
        (["--cpus-per-trial", "inf"], "^inf CPUs and 0 GPUs a trial: give some CPU"),
        (["--gpus-per-trial", "nan"], "nan GPUs a trial: give some CPU, and a fraction or a whole number of GPUs"),
        (["--share-of-peak", "nan"], "^--share-of-peak nan: give a share above 0"),
        (["--gpus-for", "method=raw:nan"], "^--gpus-for 'method=raw:nan': write KEY=VALUE:GPUS"),
        (["--seconds-per-step", "minimax=nan"], "^--seconds-per-step 'minimax=nan': write STAGE=SECONDS"),
        (["--seconds-per-step", "minimax=inf"], "^--seconds-per-step 'minimax=inf': write STAGE=SECONDS"),
    ],
)
def test_what_is_no_number_is_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        print(read_options(["--profile", "generated", *arguments]).resources)


@pytest.mark.parametrize("name", ["a?b", "a#b", "a%b"])
def test_a_storage_whose_name_sqlite_cannot_take_is_said(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no place for SQLite; rename it"):
        places(str(tmp_path / name), None)
    assert places(str(tmp_path / name), "http://mlflow:5000").stages_at == str(tmp_path / name)


def test_passwords_are_not_shown() -> None:
    assert without_passwords("at postgresql+psycopg://me:s3/c:ret@host/db or http://h:5000") == (
        "at postgresql+psycopg://me:***@host/db or http://h:5000"
    )
    assert without_passwords("postgresql://me@host:5432/db") == "postgresql://me@host:5432/db"
