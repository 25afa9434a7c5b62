"""The search in a real Ray: seeded with the grid, taken up again from MLflow, nothing computed or recorded twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tests.support import ROOT

SETTINGS = {
    "clip.size": 16,
    "clip.decode_size": 16,
    "clip.frames": 4,
    "anonymizer.decoder_channels": "[8, 4]",
    "reconstruct.epochs": 1,
    "warm_up.epochs": 1,
    "minimax.epochs": 1,
    "evaluate_action.epochs": 1,
    "evaluate_privacy.epochs": 1,
    "evaluate_privacy.clips": "false",
}


def _search(data: Path, storage: Path, trials: int, *more: str) -> tuple[str, list[Run]]:
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    where = ["--profile", "small", "--data-root", str(data), "--storage", str(storage)]
    command = [sys.executable, str(ROOT / "study" / "run.py"), "--space", "pareto_search", "--trials", str(trials)]
    ended = subprocess.run(
        [*command, *settings, *where, *more], capture_output=True, text=True, timeout=280, env=dict(os.environ), check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("pareto_search.small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return ended.stdout, [run for run in runs if "trial_key" in run.data.tags]


def test_a_search_goes_on_where_it_stopped(tiny_data: Path, tmp_path: Path) -> None:
    said, runs = _search(tiny_data, tmp_path, 8)
    assert "search with tpe: 8 points, 6 done before" in said  # the grid that it begins with
    assert len(runs) == 9  # and the raw trial
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(0 <= run.data.metrics["leakage"] + 1 <= 2 for run in runs)
    before = {run.info.run_id: run.info.end_time for run in runs}

    said, runs = _search(tiny_data, tmp_path, 9, "--sampler", "random")
    assert "search with random: 9 points, 8 done before" in said
    assert len(runs) == 10
    assert {run.info.run_id: run.info.end_time for run in runs if run.info.run_id in before} == before
    points = {(run.data.params["minimax.temperature"], run.data.params["minimax.distortion_budget"]) for run in runs}
    assert len(points) >= 3 + 3  # three budgets at the default temperature, and three of the search's own
