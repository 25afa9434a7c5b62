"""The wheel: it builds, it holds every module and every file that they read, and its console command runs from nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from tests.support import ROOT
from trainables.versions import NAME, project_version

PACKAGES = ("study", "analysis", "search_spaces", "trainables")
FOR_READERS = (".md", ".png", ".svg", ".ipynb", "Containerfile")  # of the files in the packages: no code reads them
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel holds, as `pip install --no-deps --target` leaves it."""
    source, out, target = (tmp_path_factory.mktemp(name) for name in ("source", "out", "target"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, capture_output=True)
    [wheel] = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_it_holds_every_module_and_every_file_that_they_read(installed: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {name for name in tracked.split() if not name.endswith(FOR_READERS)}
    assert "analysis/paper/published_results.csv" in wanted
    assert "analysis/report/report.html.j2" in wanted
    assert {name for name in wanted if (ROOT / name).is_file() and not (installed / name).is_file()} == set()
    assert not (installed / "tests").exists()


def test_its_console_command_runs_without_the_checkout(installed: Path, tiny_data: Path, tmp_path: Path) -> None:
    [about] = installed.glob("*.dist-info")
    distribution = PathDistribution(about)
    assert (distribution.metadata["Name"], distribution.version) == (NAME, project_version())
    [command] = distribution.entry_points
    assert (command.group, command.name) == ("console_scripts", "anonymization")

    def run(*arguments: str) -> str:
        code = (
            "import sys; from importlib.metadata import EntryPoint\n"
            f"sys.exit(EntryPoint({command.name!r}, {command.value!r}, {command.group!r}).load()(sys.argv[1:]))"
        )
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("ANONYMIZATION", "MLFLOW"))}
        found = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**environment, "PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    assert run("--version") == f"{project_version()}\n"
    small = ("--space", "ablation_B", "--profile", "small", "--attacks", "none", "--data-root", str(tiny_data))
    assert "stages: 45 needed" in run("study", *small, "--dry-run")
