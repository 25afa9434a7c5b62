"""A Ray that is joined or started, as far as that needs no Ray that runs."""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import ray
from ray._private import services
from ray.runtime_env.runtime_env import _merge_runtime_env

from trainables import cluster
from trainables.cluster import DEFAULTS, ROOT, apart, join_or_start, runtime_env
from trainables.config import ConfigError

JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


def test_workers_find_the_checkout_and_the_user_s_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(JOB, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["mine", str(ROOT), "/theirs", ""]))
    paths = runtime_env()["env_vars"]["PYTHONPATH"].split(os.pathsep)
    assert paths == [str(ROOT), str(tmp_path / "mine"), "/theirs"]
    monkeypatch.delenv("PYTHONPATH")
    assert runtime_env() == {"env_vars": {"PYTHONPATH": str(ROOT)}}


def test_a_job_may_be_submitted_with_a_pythonpath(monkeypatch: pytest.MonkeyPatch) -> None:
    """`ray job submit --runtime-env-json '{"env_vars": {"PYTHONPATH": "/mine"}}'`: Ray gives it to the driver, and merges."""
    submitted = {"env_vars": {"PYTHONPATH": "/mine", "OTHER": "1"}}
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": submitted}))
    monkeypatch.setenv("PYTHONPATH", "/mine")
    merged = _merge_runtime_env(submitted, runtime_env(), override=DEFAULTS["RAY_OVERRIDE_JOB_RUNTIME_ENV"] == "1")
    assert merged == {"env_vars": {"PYTHONPATH": f"{ROOT}{os.pathsep}/mine", "OTHER": "1"}}
    uploaded = {**submitted, "working_dir": "gcs://_ray_pkg_1.zip"}
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": uploaded}))
    assert runtime_env() == {}


def test_ray_s_processes_are_not_in_the_process_group_of_the_driver() -> None:
    """`timeout` and shells signal the group; Ray's processes would be gone before the trials have saved."""
    known: list[subprocess.Popen[bytes]] = []
    with apart(known):
        started = services.start_ray_process(["sleep", "60"], "gcs_server", fate_share=False)
    try:
        assert os.getpgid(started.process.pid) == started.process.pid != os.getpgrp()
        assert known == [started.process]
    finally:
        started.process.kill()
        started.process.wait()
    assert services.ConsolePopen.__name__ == "ConsolePopen"


def test_auto_where_no_ray_runs_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another Ray of this machine is not to be found."""
    monkeypatch.setattr(services, "find_gcs_addresses", cache(set))
    monkeypatch.setattr(services, "find_bootstrap_address", lambda temp_dir: None)
    with pytest.raises(ConfigError, match=r"^RAY_ADDRESS=auto: no Ray to join \(.*\); give HOST:6379, or auto") as error:
        join_or_start("auto", "RAY_ADDRESS=auto")
    assert "\n" not in str(error.value)


def test_a_busy_machine_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray asks its head for the node that it starts, for 30 s: by then a busy machine may not have started it."""
    now, asked = [0.0], []

    def get_node(*given: object) -> str:
        asked.append(now[0])
        if now[0] < 100.0:
            raise RuntimeError("the node is not there yet")
        return "node"

    def sleep(seconds: float) -> None:
        now[0] += 10.0

    monkeypatch.setattr(services, "get_node", get_node)
    monkeypatch.setattr(cluster, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    with apart([]):
        assert services.get_node("address", "node") == "node"
    assert services.get_node is get_node
    assert len(asked) == 11
    for begin, started in ((-10000.0, []), (0.0, [SimpleNamespace(poll=lambda: 1)])):
        now[0] = begin
        with apart(started), pytest.raises(OSError, match="too busy, or a process of Ray ended"):
            services.get_node("address", "node")
    assert now[0] == 0.0, "nobody waits for what has ended"


@pytest.mark.parametrize("failures", [2, 3])
def test_a_ray_that_does_not_come_up_is_started_again(
    failures: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it has started is ended before the next try; the third failure is one line."""
    tries: list[subprocess.Popen[bytes]] = []

    def init(**options: object) -> None:
        tries.append(services.ConsolePopen(["sleep", "600"]))
        if len(tries) <= failures:
            raise OSError("a process of Ray ended\nwhile it started")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(cluster, "running_here", lambda: "")
    if failures == 3:
        with pytest.raises(ConfigError, match=r"^Ray does not start on this machine \(a process of Ray ended while"):
            join_or_start(None)
    else:
        join_or_start(None)
        assert capsys.readouterr().out == "Ray: one of its own on this machine\n"
        assert tries[-1].poll() is None
        tries[-1].kill()
    assert len(tries) == 3
    assert [process.wait() for process in tries] == [-9] * 3
