"""What the last plan does not have is said: finished runs of an older plan, and seeds beyond it that count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.__main__ import main
from analysis.read.study import RecordedStudy
from analysis.report import drawing
from tests.support.fake_studies import FakeTrial, metrics


def test_a_finished_run_of_an_older_plan_and_a_seed_beyond_the_plan_are_named(
    make_study: Callable[..., RecordedStudy],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Raw and one setting are planned with seed 0; there is an older run of it, one of seed 1, and a trial that failed."""
    monkeypatch.setattr(drawing, "save", lambda *given: None)
    trials = [
        FakeTrial("raw", "raw", metrics=metrics(0.9, 0.8), trial_key="raw"),
        FakeTrial("a", metrics=metrics(0.8, 0.4), trial_key="older", start=1000),
        FakeTrial("a", metrics=metrics(0.7, 0.3), trial_key="now", start=2000),
        FakeTrial("a", metrics=metrics(0.7, 0.3), trial_key="of seed 1", seed=1),
        FakeTrial("b", status="FAILED", reason="no GPU", trial_key="failed"),
    ]
    plan = [
        {"key": key, "name": f"{setting} seed=0", "setting": setting, "seed": 0}
        for key, setting in (("raw", "raw"), ("now", "a"), ("failed", "b"))
    ]
    study = make_study(trials, plan=plan)
    assert main(["report", "--space", "toy", "--tracking-uri", study.tracking_uri, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "1 trial without a usable result; the report says why" in said
    assert "1 older run replaced or planned anew, which do not count; the report lists them" in said
    beyond = (
        "The last plan of the study has no seed 1: trials of earlier plans, which count all the same (--fresh starts over)."
    )
    assert beyond in said
    page = (tmp_path / "out" / "report.html").read_text()
    assert beyond in page
    assert "Runs that do not count: without a usable result, or replaced." in page
