"""A user's own space, method, action backbone and data set: one file each, named on the command line, no edit elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from study.options import read_options
from study.study import Study
from tests.support import ROOT
from tests.support.plugin_files import loaded
from tests.support.serial_backend import SerialBackend
from trainables.config import ActionData
from trainables.data.registry import load_videos

EXAMPLES = sorted((ROOT / "tests" / "examples").glob("my_*.py"))

SPACE = """
from search_spaces.registry import SPACES, Space

SPACES.register("mine")(Space("mine", "?", ({"method": "flat", "options.pull": 0.5}, {"method": "flat", "options.pull": 2.0})))
"""
SETTINGS = {
    "data.action.name": "my_cameras",
    "data.evaluate_action.name": "my_cameras",
    "evaluate_action.classifier.name": "mean_and_change",
    "clip.size": 16,
    "clip.decode_size": 16,
    "clip.frames": 4,
    "reconstruct.epochs": 1,
    "minimax.epochs": 1,
    "evaluate_action.epochs": 1,
    "evaluate_privacy.epochs": 1,
}


def _study(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, str(ROOT / "study" / "run.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=6000, env=environment, check=False)


@pytest.fixture
def my_root(tiny_data: Path, tmp_path: Path) -> Path:
    """The generated clips in a layout that no reader of ours knows."""
    root = tmp_path / "data"
    shutil.copytree(tiny_data / "VISPR", root / "VISPR")
    splits = load_videos(ActionData(), tiny_data)
    for split in ("train", "validation", "test"):
        for number, video in enumerate(getattr(splits, split)):
            camera = "test" if split == "test" else f"camera{number % 3}"
            path = root / "mine" / camera / f"{splits.classes[video.label]}-{split}{number}.avi"
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(video.path, path)
    return root


def test_one_of_each_runs_in_a_study(my_root: Path, tmp_path: Path) -> None:
    """In this process; that Ray's workers get the plug-ins with their jobs is shown by `test_early_stopping`."""
    space = tmp_path / "only_here.py"
    space.write_text(SPACE)
    plugins = [word for path in (*EXAMPLES, space) for word in ("--plugin", str(path))]
    settings = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    where = ["--profile", "small", "--data-root", str(my_root), "--storage", str(tmp_path / "results")]
    with loaded(*EXAMPLES, space):
        assert Study(read_options(["--space", "mine", *plugins, *settings, *where]), SerialBackend()).run() == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/results/mlflow.db")
    experiment = client.get_experiment_by_name("mine.small")
    assert experiment is not None
    runs = [run for run in client.search_runs([experiment.experiment_id]) if "trial_key" in run.data.tags]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert {run.data.params["options.pull"] for run in runs} == {"0.5", "2.0"}
    assert {run.data.params["evaluate_action.classifier.name"] for run in runs} == {"mean_and_change"}


def test_the_example_space_is_listed_and_planned(tmp_path: Path) -> None:
    listed = _study("--list", "--plugin", ROOT / "tests" / "examples" / "my_space.py")
    assert "my_batches" in listed.stdout


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nowhere", "line 1: ModuleNotFoundError: No module named 'nowhere'"),
        ("x = (", "line 1: SyntaxError"),
        ("from trainables.methods import METHODS, Method\nMETHODS.register('raw')(Method(''))", "line"),
        (None, "cannot be read"),
    ],
)
def test_a_plugin_that_cannot_be_run_is_one_line(tmp_path: Path, source: str | None, said: str) -> None:
    path = tmp_path / "broken.py"
    if source is not None:
        path.write_text(source)
    ended = _study("--list", "--plugin", path)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_an_installed_package_brings_its_own(tmp_path: Path) -> None:
    (tmp_path / "their_package.py").write_text((ROOT / "tests" / "examples" / "my_space.py").read_text())
    metadata = tmp_path / "their_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[anonymization.plugins]\nmine = their_package\n")
    command = [sys.executable, str(ROOT / "study" / "run.py"), "--list"]
    listed = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=600
    )
    assert "my_batches" in listed.stdout


def test_an_edited_plugin_computes_its_stages_again() -> None:
    script = """
import sys
from trainables.plugins import Plugin, load_plugins, plugin_digests
load_plugins([Plugin("mine", "mine.py", sys.argv[1])])
print(plugin_digests("mine", {}), plugin_digests("other", {"classifier": {"name": "net"}}), plugin_digests("other", {}))
"""
    source = "from trainables.registry import Registry\nRegistry('x').register('net')(1)\n"
    outputs = [
        subprocess.run([sys.executable, "-c", script, text], capture_output=True, text=True, check=True, cwd=ROOT).stdout
        for text in (source, source + "# changed")
    ]
    assert outputs[0] != outputs[1]
    assert outputs[0].count("mine") == 2
    assert outputs[0].rstrip().endswith("{}")
