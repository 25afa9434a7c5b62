"""A real study: real Ray, a real MLflow database, real (small) videos; run twice, and with a worker killed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from analysis.deploy.anonymizers import fetch_trial
from study.options import read_options
from study.run import main
from study.study import Study
from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell
from tests.support.serial_backend import SerialBackend
from trainables.schema import TAG_STAGES_REUSED, config_of

pytestmark = pytest.mark.timeout(1200)  # a study that is started, told to end and started again, on a busy machine
SMALL = (
    "clip.size=16", "clip.decode_size=16", "clip.frames=4", "anonymizer.decoder_channels=[8, 4]", "reconstruct.epochs=1",
    "warm_up.epochs=1", "minimax.epochs=2", "evaluate_action.epochs=2", "evaluate_privacy.epochs=2",
)  # fmt: skip
# Two settings of the demo, and one whose loss becomes NaN. With the variable a trial waits in its minimax to be told to stop:
# on a quick machine it would be done before it hears of it.
WAITS = "TEST_WAITS_TO_BE_TOLD"
DIVERGES = f"""
import os

from search_spaces.registry import RAW, SPACES, Space
from trainables.failures import Stop

SETTINGS = RAW, {{"minimax.penalty_weight": 0.0}}, {{"minimax.learning_rate_anonymizer": 1e30}}
if "diverges" not in SPACES:
    SPACES.register("diverges")(Space("none", "?", SETTINGS))
    asked = Stop.__call__

    def waits(self):
        if any(self._files.directory.glob("stages/minimax/*.work/checkpoint*")):
            self._asked.wait(100)
        return asked(self)

    if "{WAITS}" in os.environ:
        Stop.__call__ = waits
"""


def command(storage: Path, data: Path, *arguments: str, space: str = "demo") -> list[str]:
    settings = [part for value in SMALL for part in ("--set", value)]
    where = ["--profile", "small", "--data-root", str(data), "--storage", str(storage), "--attacks", "none"]
    return ["--space", space, *where, *settings, *arguments]


def start(storage: Path, data: Path, *arguments: str, space: str = "demo") -> subprocess.Popen[str]:
    started = [sys.executable, str(ROOT / "study" / "run.py"), *command(storage, data, *arguments, space=space)]
    return subprocess.Popen(
        started, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=storage.parent, env=as_in_a_new_shell()
    )


def finish(process: subprocess.Popen[str]) -> str:
    """Its output; ends it and all that it started if it takes too long."""
    try:
        return process.communicate(timeout=600)[0]
    except subprocess.TimeoutExpired:
        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        raise


def runs_of(storage: Path, experiment: str = "demo.small") -> list[Run]:
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return [run for run in client.search_runs([found.experiment_id]) if "trial_key" in run.data.tags]


@pytest.fixture(scope="module")
def study(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A study during which one worker was killed with signal 9."""
    storage = tmp_path_factory.mktemp("study") / "storage"
    process = start(storage, tiny_data)
    victim = None
    while victim is None and process.poll() is None:
        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):  # gone between two looks
            holders = {int(lease.read_text().split()[1]) for lease in storage.glob("stages/*/*.lease.*")}
            workers = psutil.Process(process.pid).children(recursive=True)
            victim = next((p for p in workers if p.pid in holders and ("run_job" in p.name() or "ray::" in p.name())), None)
        time.sleep(0.05)
    assert victim is not None, finish(process)
    victim.kill()
    output = finish(process)
    assert process.returncode == 0, output
    return storage, output


def test_every_trial_is_recorded_once_though_a_worker_was_killed(study: tuple[Path, str]) -> None:
    storage, output = study
    assert "its worker was lost" in output
    runs = runs_of(storage)
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    assert len({run.data.tags["trial_key"] for run in runs}) == 3
    assert {run.data.tags["setting"] for run in runs} >= {"raw", "lambda=0"}
    for run in runs:
        assert {
            "top1",
            "top5",
            "cmap",
            "macro_f1",
            "chance_cmap",
            "leakage",
            "rms_distortion",
            "seconds",
            "pipeline_seconds",
        } <= run.data.metrics.keys()
        assert run.data.metrics["clip_leakage"] <= 1.0
        assert run.data.params["clip.frames"] == "4"
        assert len(run.data.params) < 25
        assert config_of(run.data.params, run.data.tags)["evaluate_action.batch_size"].isdigit()


def test_no_point_of_a_curve_is_missing_or_doubled(study: tuple[Path, str]) -> None:
    storage, _ = study
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    for run in runs_of(storage):
        expected = {"evaluate_action/loss": 2, "evaluate_privacy/validation_cmap": 2, "evaluate_clip_privacy/loss": 2}
        if run.data.tags["method"] == "penalty":
            expected |= {
                "reconstruct/l1_clips": 1,
                "warm_up/loss_action": 1,
                "minimax/loss_anonymizer": 2,
                "minimax/penalty": 2,
            }
        for name, epochs in expected.items():
            assert [p.step for p in client.get_metric_history(run.info.run_id, name)] == list(range(epochs)), name


def test_the_artifacts_of_a_trial(study: tuple[Path, str], tmp_path: Path) -> None:
    import torch

    storage, _ = study
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    for run in runs_of(storage):
        names = {item.path for item in client.list_artifacts(run.info.run_id)}
        wanted = {"config.yaml", "frames.png", "record.json"} | (
            {"anonymizer"} if run.data.tags["method"] == "penalty" else set()
        )
        assert wanted <= names
    path = client.download_artifacts(run.info.run_id, "config.yaml", str(tmp_path))
    assert "distortion_budget" in Path(path).read_text()
    learned = next(run for run in runs_of(storage) if run.data.tags["method"] == "penalty")
    [place] = client.list_artifacts(learned.info.run_id, "anonymizer")
    assert (place.path, place.file_size < 10_000) == ("anonymizer/anonymizer.json", True), "the weights lie in the storage"
    content = torch.load(fetch_trial(learned.info.run_id, f"sqlite:///{storage}/mlflow.db", tmp_path), weights_only=True)
    keys = dict(pair.split("=") for pair in learned.data.tags["stage_keys"].split())
    outcome = storage / "stages" / "minimax" / keys["minimax"]
    weights = torch.load(outcome / "state.pt", weights_only=True)["anonymizer"]
    assert content["state_dict"].keys() == weights.keys()
    assert all(torch.equal(content["state_dict"][name], weights[name]) for name in weights)


def test_shared_stages_were_computed_once(study: tuple[Path, str]) -> None:
    storage, _ = study
    count = {stage.name: len([p for p in stage.iterdir() if p.is_dir()]) for stage in (storage / "stages").iterdir()}
    assert count == {
        "reconstruct": 1, "warm_up": 1, "minimax": 2, "evaluate_action": 3, "evaluate_privacy": 3, "evaluate_clip_privacy": 3,
    }  # fmt: skip


def test_the_report_is_there(study: tuple[Path, str]) -> None:
    storage, output = study
    page = storage / "reports" / "demo.small" / "report.html"
    assert str(page) in output
    assert "lambda=0" in page.read_text()


def test_the_same_command_finds_everything_done(
    study: tuple[Path, str], tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, _ = study
    assert main(command(storage, tiny_data)) == 0
    assert "3 trials, 3 done before, 0 to run" in capsys.readouterr().out
    assert len(runs_of(storage)) == 3


def test_a_backend_without_ray_records_the_same(study: tuple[Path, str], tiny_data: Path, tmp_path: Path) -> None:
    """Status, parameters, figures and curves, but for times."""
    storage = tmp_path / "serial"
    assert Study(read_options(command(storage, tiny_data)), SerialBackend()).run() == 0
    assert (storage / "reports" / "demo.small" / "report.html").is_file()
    by_ray, by_serial = (recorded(where) for where in (study[0], storage))
    assert by_serial == by_ray


def recorded(
    storage: Path, experiment: str = "demo.small"
) -> dict[str, tuple[str, dict[str, str], dict[str, list[tuple[int, float]]]]]:
    """Status, parameters and all points of the metrics of each trial, by its key."""
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    found = {}
    for run in runs_of(storage, experiment):
        assert TAG_STAGES_REUSED in run.data.tags
        names = [name for name in run.data.metrics if "seconds" not in name]
        points = {name: sorted((p.step, p.value) for p in client.get_metric_history(run.info.run_id, name)) for name in names}
        found[run.data.tags["trial_key"]] = run.info.status, run.data.params, points
    return found


def test_told_to_stop_it_goes_on_to_the_same_numbers_and_a_trial_that_diverges_fails_once(
    study: tuple[Path, str], tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, plugin = tmp_path / "storage", tmp_path / "diverges_space.py"
    plugin.write_text(DIVERGES)
    given = storage, tiny_data, "--plugin", str(plugin), "--max-concurrent", "1"  # one worker, which imports PyTorch once
    monkeypatch.setenv(WAITS, "1")
    process = start(*given, space="diverges")
    monkeypatch.delenv(WAITS)
    while not list(storage.glob("stages/minimax/*.work/checkpoint*")):
        assert process.poll() is None, finish(process)
        time.sleep(0.05)
    process.terminate()
    output = finish(process)
    assert process.returncode == 1
    assert "told to stop: running trials save at their next step" in output
    left = [run for run in runs_of(storage, "diverges.small") if run.info.status not in ("FINISHED", "FAILED")]
    assert left
    assert {run.info.status for run in left} == {"KILLED"}
    assert any("saved); run the same command to continue" in run.data.tags["reason"] for run in left)

    output = finish(process := start(*given, space="diverges"))
    assert process.returncode == 1, output
    assert " 1 failed, 0 lost" in output
    runs = runs_of(storage, "diverges.small")
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED", "FINISHED"]
    whole = {run.data.tags["trial_key"]: run.data.metrics for run in runs_of(study[0])}
    for run in runs:
        if run.info.status == "FAILED":
            assert "minimax: " in run.data.tags["reason"]
            assert "at step" in run.data.tags["reason"]
            continue
        for name in ("top1", "cmap", "leakage", "clip_leakage", "rms_distortion"):
            assert run.data.metrics[name] == whole[run.data.tags["trial_key"]][name], (run.data.tags["setting"], name)


def test_the_study_has_a_run_of_its_own_with_plan_and_report(study: tuple[Path, str]) -> None:
    storage, _ = study
    client = MlflowClient(f"sqlite:///{storage}/mlflow.db")
    experiment = client.get_experiment_by_name("demo.small")
    assert experiment is not None
    [own] = client.search_runs([experiment.experiment_id], "tags.kind = 'study'")
    assert own.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in runs_of(storage)} == {own.info.run_id}
    assert "report/report.html" in {item.path for item in client.list_artifacts(own.info.run_id, "report")}
    plan = client.download_artifacts(own.info.run_id, "plan.json")
    assert len(json.loads(Path(plan).read_text())["trials"]) == 3
