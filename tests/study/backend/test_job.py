"""Where a submitted job leaves its results."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from study.backend.job import joins_cluster, require_cluster, results_directory
from study.options import Options
from tests.support import ROOT
from trainables.cluster import has_uploaded_code
from trainables.config import ConfigError

UPLOADED = {"runtime_env": {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {}}, "metadata": {}}


@pytest.mark.parametrize("job", [None, {}, {"runtime_env": {}}, {"metadata": {}}])
def test_without_uploaded_code_results_are_in_the_working_directory(
    job: dict[str, object] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_JOB_CONFIG_JSON_ENV_VAR", raising=False)
    if job is not None:
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(job))
    assert not has_uploaded_code()
    assert results_directory() == tmp_path


def test_with_uploaded_code_results_are_where_ray_was_started(tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    raylet = tmp_path / "raylet"
    shutil.copy(shutil.which("bash") or "/bin/bash", raylet)
    script = "from study.backend.job import results_directory; print(results_directory())"
    (tmp_path / "job.sh").write_text(f"cd copy\n{sys.executable} -c '{script}'\ntrue\n")  # with nothing after it, sh becomes it
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps(UPLOADED)}
    command = [raylet, "-c", "sh job.sh; true"]
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(tmp_path), said.stderr


def test_relative_storages_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.options.results_directory", lambda: tmp_path)
    for storage, expected in (("results", tmp_path / "results"), ("/elsewhere", Path("/elsewhere"))):
        places = Options(storage=storage).places
        assert (places.driver_directory, places.stages_at) == (expected, str(expected))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("http://head:8265", "that address is the dashboard's"),
        ("ray://head:10001", "that address is the client's"),
        ("127.0.0.1:1", "no Ray answers there"),
        ("head-that-is-not:6379", "no Ray answers there"),
        ("head", "no Ray answers there"),
    ],
)
def test_an_address_at_which_no_ray_answers_is_one_line(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ConfigError, match=message) as error:
        require_cluster()
    assert str(error.value).startswith(f"RAY_ADDRESS={address}: ")
    assert "give HOST:6379" in str(error.value)


@pytest.mark.parametrize(("address", "joins"), [("", False), ("local", False), ("auto", True), ("{here}", True)])
def test_which_ray_an_address_means(address: str, joins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as here:
        monkeypatch.setenv("RAY_ADDRESS", address.format(here=f"127.0.0.1:{here.getsockname()[1]}"))
        require_cluster()
        assert joins_cluster() is joins
