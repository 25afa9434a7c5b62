"""The Ray backend, as far as it needs no Ray that runs."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from ray._private import services
from ray.runtime_env.runtime_env import _merge_runtime_env

from study.backend.ray_tune import ROOT, _apart, runtime_env
from study.environment import DEFAULTS

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


def test_ray_s_processes_are_not_in_the_process_group_of_the_study() -> None:
    """`timeout` and shells signal the group; Ray's processes would be gone before the trials have saved."""
    known: list[subprocess.Popen[bytes]] = []
    with _apart(known):
        started = services.start_ray_process(["sleep", "60"], "gcs_server", fate_share=False)
    try:
        assert os.getpgid(started.process.pid) == started.process.pid != os.getpgrp()
        assert known == [started.process]
    finally:
        started.process.kill()
        started.process.wait()
    assert services.ConsolePopen.__name__ == "ConsolePopen"
