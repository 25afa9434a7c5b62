"""`python -m analysis report`: what it prints, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.report import drawing
from tests.analysis.report.test_report import Structure


@pytest.fixture(autouse=True)
def _no_files_of_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take as long as the page."""
    monkeypatch.setattr(drawing, "save", lambda *given: None)


def test_command(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--space", "ablation_B", "--tracking-uri", store, "--out", str(tmp_path / "new" / "out")]) == 0
    said = capsys.readouterr().out
    assert said.startswith("B=0.3 lambda=1 keeps top-1 accuracy")
    assert (
        "front (top-1 accuracy against leakage above chance): 4 of 5 settings on the front, chosen on validation data" in said
    )
    assert "; on test data 1 of 5 settings dominated, 1 of them in 95 % of resamples" in said
    assert "; knee B=0.3 lambda=1; hypervolume 56.9 % from top-1 accuracy at chance (10.0" in said
    assert said.endswith(f"report: {tmp_path / 'new' / 'out' / 'report.html'}\n")


def test_command_says_what_is_wrong_in_one_line(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--space", "nope", "--tracking-uri", store, "--out", str(tmp_path)]) == 2
    (tmp_path / "file").write_text("")
    assert main(["report", "--space", "ablation_B", "--tracking-uri", store, "--out", str(tmp_path / "file" / "x")]) == 2
    wrong = ["--utility", "top_1"], ["--privacy", "penalty_active"]
    for axes in wrong:
        assert main(["report", "--space", "ablation_B", "--tracking-uri", store, "--out", str(tmp_path), *axes]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in lines] == [True] * 4
    assert "give another --out" in lines[1]
    assert "the nearest that can be an axis is top1" in lines[2]
    assert "penalty_active has no direction" in lines[3]


def test_command_lays_studies_over_one_another(paper_store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spaces = ["--space", "ablation_lambda", "table6_raw_attacker"]
    assert main(["report", *spaces, "--tracking-uri", paper_store, "--out", str(tmp_path / "out")]) == 0
    page = Structure((tmp_path / "out" / "report.html").read_text())
    assert "ablation_lambda.generated" in page.text
    assert "table6_raw_attacker.generated" in page.text
    capsys.readouterr()
    for profile, wrong in (("nope", "no study ablation_lambda.nope"), ("paper", "no study ablation_lambda.paper")):
        command = ["report", *spaces, "--profile", profile, "--tracking-uri", paper_store, "--out", str(tmp_path / "none")]
        assert main(command) == 2
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {wrong}")
    assert not (tmp_path / "none").exists()


def test_command_in_other_axes(store: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    axes = ["--utility", "top5", "--privacy", "clip_leakage"]
    assert main(["report", "--space", "ablation_B", "--tracking-uri", store, "--out", str(tmp_path), *axes]) == 0
    said = capsys.readouterr().out
    assert "top-5 accuracy %" in said
    assert "front (top-5 accuracy against leakage on clips): " in said
