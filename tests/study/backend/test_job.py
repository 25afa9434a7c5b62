"""Where a submitted job leaves its results."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

from study.backend.job import has_uploaded_code, joins_cluster, require_cluster, results_directory
from study.options import Options
from tests.support import ROOT
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


def test_auto_where_no_ray_runs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Ray of this machine is not to be found."""
    from ray._private import services

    from study.backend.ray_tune import _init_ray

    monkeypatch.setattr(services, "find_gcs_addresses", cache(set))
    monkeypatch.setattr(services, "find_bootstrap_address", lambda temp_dir: None)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(ConfigError, match=r"^RAY_ADDRESS=auto: no Ray to join \(.*\); give HOST:6379, or auto") as error:
        _init_ray()
    assert "\n" not in str(error.value)


def test_a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray asks its head for the node that it starts, for 30 s: by then a busy machine may not have started it."""
    from ray._private import services

    from study.backend import ray_tune

    now, asked = [0.0], []

    def get_node(*given: object) -> str:
        asked.append(now[0])
        if now[0] < 100.0:
            raise RuntimeError("the node is not there yet")
        return "node"

    def sleep(seconds: float) -> None:
        now[0] += 10.0

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(ray_tune, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with ray_tune._apart([]):
        assert services.get_node("address", "node") == "node"
    assert services.get_node is get_node
    assert len(asked) == 11
    for begin, started in ((-10000.0, []), (0.0, [SimpleNamespace(poll=lambda: 1)])):
        now[0] = begin
        with ray_tune._apart(started), pytest.raises(OSError, match="too busy, or a process of Ray ended"):
            services.get_node("address", "node")
    assert now[0] == 0.0, "nobody waits for what has ended"


@pytest.mark.parametrize("failures", [2, 3])
def test_a_ray_that_does_not_come_up_is_started_again(
    failures: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it has started is ended before the next try; the third failure is one line."""
    from study.backend import ray_tune

    tries: list[subprocess.Popen[bytes]] = []

    def init(**options: object) -> None:
        tries.append(ray_tune.services.ConsolePopen(["sleep", "600"]))
        if len(tries) <= failures:
            raise OSError("a process of Ray ended\nwhile it started")

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray_tune.ray, "init", init)
    monkeypatch.setattr(ray_tune, "running_here", lambda: "")
    if failures == 3:
        with pytest.raises(ConfigError, match=r"^Ray does not start on this machine \(a process of Ray ended while"):
            ray_tune._init_ray()
    else:
        ray_tune._init_ray()
        assert capsys.readouterr().out == "Ray: one of its own on this machine\n"
        assert tries[-1].poll() is None
        tries[-1].kill()
    assert len(tries) == 3
    assert [process.wait() for process in tries] == [-9] * 3
