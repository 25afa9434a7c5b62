"""The command line of a study, up to where Ray would start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from study.dry_run import dry_run
from study.options import Options, read_options
from study.run import main
from study.study import Study
from tests.support import ROOT
from trainables.data.items import DataError


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs the command in this process, in the directory `cwd`, with no more of our variables than are named."""
    for name in [name for name in os.environ if name.startswith(("ANONYMIZATION", "MLFLOW_TRACKING"))]:
        monkeypatch.delenv(name)

    def call(*arguments: str, cwd: Path, **environment: str) -> Ended:
        monkeypatch.chdir(cwd)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        code = main(arguments)
        for name in environment:
            monkeypatch.delenv(name)
        return Ended(code, *capsys.readouterr())

    return call


def test_list_names_every_space_with_its_source_from_anywhere(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "study" / "run.py"), "--list"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert found.returncode == 0
    assert "ablation_B" in found.stdout
    assert "Figure 3" in found.stdout
    assert "--profile generated" in found.stdout


def test_the_cluster_s_data_root_is_not_for_generated_data(run: Callable[..., Ended], tmp_path: Path) -> None:
    found = run("--space", "demo", "--profile", "generated", "--dry-run", cwd=tmp_path, ANONYMIZATION_DATA_ROOT="/shared/data")
    assert found.returncode == 0, found.stderr
    given = run("--space", "demo", "--profile", "generated", "--data-root", "/shared/data", "--dry-run", cwd=tmp_path)
    assert "leave out --data-root /shared/data" in given.stderr


def test_dry_run_shows_trials_resources_and_shared_stages(
    run: Callable[..., Ended], tmp_path: Path, tiny_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = run(
        *("--space", "ablation_B", "--profile", "small", "--attacks", "none", "--dry-run"),
        cwd=tmp_path,
        ANONYMIZATION_DATA_ROOT=str(tiny_data),
    )
    assert found.returncode == 0, found.stderr
    assert "8 trials, each on 1 CPUs and 0 GPUs" in found.stdout
    assert "minimax.distortion_budget=0.3  minimax.penalty_weight=1.0" in found.stdout
    # 7 x 6 + 3 stages; reconstruction and warm-up are the same for all seven budgets
    assert "stages: 45 needed, 12 of them shared, 0 stored, 33 to compute" in found.stdout
    assert list(tmp_path.iterdir()) == [], "a dry run leaves nothing behind"
    part = Study(
        read_options(
            [
                *("--space", "ablation_B", "--profile", "small", "--attacks", "none", "--data-root", str(tiny_data)),
                "--only",
                "raw",
            ]
        )
    )
    assert dry_run(part) == 0
    assert "1 trials, each on 1 CPUs" in (said := capsys.readouterr().out)
    assert "stages: 3 needed, 0 of them shared, 0 stored, 3 to compute" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--space: give the name of a space"),
        (["--space", "nothing"], "no space named 'nothing'"),
        (["--space", "demo"], "--profile paper needs data: give --data-root DIR"),
        (["--space", "demo", "--profile", "generated", "--data-root", "."], "makes its own data"),
        (["--space", "demo", "--data-root", "nowhere"], "--data-root nowhere: no such directory"),
        (["--space", "demo", "--profile", "small", "--data-root", "."], "UCF"),
        (
            ["--space", "demo", "--profile", "small", "--data-root", ".", "--gpus-per-trial", "1.5"],
            "a fraction or a whole number",
        ),
        (["--space", "demo", "--profile", "small", "--data-root", ".", "--max-concurrent", "0"], "give at least 1"),
        (["--space", "demo", "--set", "minimax.lr=1"], "unknown setting 'minimax.lr'"),
        (["--space", "demo", "--profile", "generated", "--storage", "/proc/x"], "storage /proc/x: cannot be written"),
    ],
)
def test_what_cannot_run_ends_in_one_clear_line(
    run: Callable[..., Ended], tmp_path: Path, arguments: list[str], message: str
) -> None:
    found = run(*arguments, cwd=tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert found.stderr.startswith("error: ")
    assert found.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_pretrained_weights_that_are_not_there_are_said_before_anything_starts(
    run: Callable[..., Ended], tmp_path: Path, tiny_data: Path
) -> None:
    found = run(
        "--space", "demo", "--profile", "small", "--data-root", str(tiny_data), "--storage", "s",
        "--set", "evaluate_action.classifier.weights=nowhere.pt", cwd=tmp_path,
    )  # fmt: skip
    assert found.returncode == 2
    assert "nowhere.pt" in found.stderr
    assert not (tmp_path / "s").exists()


def test_a_broken_file_of_the_test_list_is_named_before_anything_starts(tmp_path: Path, tiny_data: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_data, root)
    options = Options(space="demo", profile="small", data_root=str(root), storage=str(tmp_path / "s"))
    image = next(iter(Study(options).data.values())).privacy_evaluation.test[-1].path
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    with pytest.raises(DataError, match=f"{image.name}: not a readable image"):
        Study(options).check()
    assert not (tmp_path / "s").exists()
    Study(options.model_copy(update={"verify": "none"})).check()


def test_pytorch_is_imported_only_to_look_at_what_is_named(tmp_path: Path, tiny_data: Path) -> None:
    """Seconds, before the first line of a study whose networks start from scratch."""
    code = (
        "import sys; from study.options import read_options; from study.study import Study;"
        " Study(read_options(sys.argv[1:])).check(); sys.exit('torch' in sys.modules)"
    )
    arguments = ["--space", "demo", "--profile", "small", "--data-root", str(tiny_data), "--storage", str(tmp_path / "s")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'm.db'}"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, timeout=600, check=False)
    assert done.returncode == 0
