"""Where a submitted job leaves its results."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from study.backend.job import has_uploaded_code, results_directory
from study.options import Options
from tests.support import ROOT

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
