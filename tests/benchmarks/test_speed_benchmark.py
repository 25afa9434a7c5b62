"""The benchmark of speed runs through, in small, where there is neither Ray nor MLflow."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks import speed
from tests.benchmarks.speed_setup import Row

ROOT = Path(__file__).resolve().parents[2]
ABSENT = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "mlflow", "optuna"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from tests.benchmarks.speed import main
sys.exit(main(sys.argv[1:]))
"""


def test_it_runs_with_pytorch_and_what_the_stages_import(tmp_path: Path) -> None:
    out = tmp_path / "speed.json"
    what = ["--small", "--rows", "step,roofline", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-c", ABSENT, *what], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    [step] = found["rows"]
    assert step["value"] > 0
    assert step["notes"]["losses of steps 1 to 4 apart by"][0] < 1e-5
    assert found["roofline"]["TFLOP a step"] > 0
    assert found["machine"]["torch"]
    assert "| minimax step" in done.stdout


def test_a_row_that_fails_is_named_and_the_rest_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(size: object, folder: Path) -> Iterator[Row]:
        raise ValueError("0.14 from PyTorch")
        yield

    def runs(size: object, folder: Path) -> Iterator[Row]:
        yield Row("what runs", "something", "frames/s", 2.0, 1.0, 2.0, 1.0, notes={})

    monkeypatch.setattr(speed, "ROWS", {"export": fails, "step": runs})
    out = tmp_path / "speed.json"
    assert speed.main(["--small", "--rows", "export,step", "--out", str(out)]) == 1
    printed = capsys.readouterr().out
    assert "FAILED export: ValueError: 0.14 from PyTorch" in printed
    assert "what runs" in printed
    found = json.loads(out.read_text())
    assert found["failed"] == {"export": "ValueError: 0.14 from PyTorch"}
    assert [row["what"] for row in found["rows"]] == ["what runs"]
