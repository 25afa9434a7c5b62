"""The search in a real Ray: seeded with the grid, taken up again from MLflow, nothing computed or recorded twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from study.run import main
from tests.support.plugin_files import loaded

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
SPACE = """
from search_spaces.registry import RAW, SPACES, Range, Search, Space, grid

if "short_search" not in SPACES:
    axes = {"minimax.distortion_budget": Range(0.0, 1.0), "minimax.temperature": Range(0.02, 1.0, log=True)}
    objectives = {"validation_top1": "max", "validation_leakage": "min"}
    settings = (RAW, *grid({"minimax.distortion_budget": (0.0, 0.3)}))
    SPACES.register("short_search")(Space("none", "?", settings, search=Search(axes, 9, objectives, "tpe")))
"""


def _search(data: Path, storage: Path, trials: int, *more: str) -> list[Run]:
    plugin = storage / "short_search_space.py"
    plugin.write_text(SPACE)
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    where = ["--profile", "small", "--data-root", str(data), "--storage", str(storage), "--plugin", str(plugin)]
    where += ["--max-concurrent", "1", "--attacks", "none"]  # one worker, which imports PyTorch once
    with loaded(plugin):
        assert main(["--space", "short_search", "--trials", str(trials), *settings, *where, *more]) == 0
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("short_search.small")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    return [run for run in runs if "trial_key" in run.data.tags]


@pytest.mark.timeout(1200)  # more than a busy machine takes
def test_a_search_goes_on_where_it_stopped(
    tiny_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    runs = _search(tiny_data, tmp_path, 4)
    assert "search with tpe: 4 points, 2 done before" in capsys.readouterr().out  # the grid that it begins with
    assert len(runs) == 5  # and the raw trial
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert all(0 <= run.data.metrics["leakage"] + 1 <= 2 for run in runs)
    before = {run.info.run_id: run.info.end_time for run in runs}

    runs = _search(tiny_data, tmp_path, 5, "--sampler", "random")
    assert "search with random: 5 points, 4 done before" in capsys.readouterr().out
    assert len(runs) == 6
    assert {run.info.run_id: run.info.end_time for run in runs if run.info.run_id in before} == before
    penalty = [run for run in runs if run.data.params["method"] == "penalty"]
    points = {(run.data.params["minimax.temperature"], run.data.params["minimax.distortion_budget"]) for run in penalty}
    assert len(points) >= 2 + 3  # two budgets at the default temperature, and three of the search's own
