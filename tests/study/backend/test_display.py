"""What a person sees of a running study: a table that fits the terminal, lines above it, and nothing but lines in a pipe."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.backend import display as display_module
from study.backend import progress as progress_module
from study.backend.display import Display, View, drawn
from study.backend.progress import StudyProgress
from tests.study.backend.test_progress import TuneTrial
from trainables.trial import DONE, FAILED, RUNNING, TrialState

FIGURES = {"loss_anonymizer": 1.23456, "loss_action": 0.5}
NAMES = [f"B=0.{number} lambda=10 f_T'=r2plus1d_18 seed=1" for number in range(7)]


def lines(view: View, width: int, height: int = 40) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(drawn(view, width, height))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [100, 80])
def test_the_table_fits_and_says_all_but_the_end_of_long_names(width: int) -> None:
    state = TrialState(RUNNING, "evaluate_clip_privacy", 3, 20, 0.55, figures=FIGURES)
    view = View(75.0, 3700.0, ended=3, failed=1, total=12, running=dict.fromkeys(NAMES, (state, 3725.0)))
    found = lines(view, width)
    assert max(map(len, found)) <= width
    assert found[0] == "01:15  3 ended (1 failed), 7 running, of 12, about 1:01:40 to go"
    assert found[1].split()[:5] == ["trial", "stage", "epoch", "done", "since"]
    assert len(found) == 2 + 7
    for name, line in zip(NAMES, found[2:], strict=True):
        assert line.startswith(name[:15])
        assert " ".join(line.split()).count("evaluate_clip_privacy 3/20 55% 1:02:05") == 1
        assert ("loss_anonymizer" in line) is (width == 100)
    short = lines(view, width, height=10)
    assert len(short) <= 10
    assert short[-1] == "and 3 more that run"


def test_a_study_that_starts_says_so() -> None:
    assert lines(View(5.0, None, 0, 0, 4), 80) == [
        "00:05  0 ended, 0 running, of 4",
        "nothing runs yet: no node has room for a trial, or workers start",
    ]
    starting = lines(View(9.0, None, 0, 0, 4, {"raw seed=0": (TrialState(RUNNING), 3.0)}), 80)
    assert starting[2].split() == ["raw", "seed=0", "starting", "0%", "00:03"]


@pytest.mark.parametrize("terminal", [True, False])
def test_in_a_terminal_there_is_a_table_and_in_a_pipe_only_lines(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    for module in (progress_module, display_module):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(progress_module, "ray", SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=100, height=30, highlight=False, markup=False)
    progress = StudyProgress(2, lambda usage: None, "CPU", display=Display(console))
    first, second = TuneTrial("raw seed=0"), TuneTrial("spact seed=0")
    for trial in (first, second):
        progress.on_trial_start(0, [], trial)
    result = {"status": RUNNING, "stage": "minimax", "epoch": 2, "epochs": 9, "progress": 0.25, "figures": {"top1": 0.5}}
    progress.on_trial_result(0, [], first, result)
    clock.now = 65.0
    progress.on_step_begin(0, [])
    progress.on_trial_result(0, [], first, {"status": DONE})
    progress.on_trial_result(0, [], second, {"status": FAILED, "reason": "the loss is NaN\nTraceback"})
    progress.close()
    shown, said = screen.getvalue(), capsys.readouterr().out
    if terminal:
        assert "minimax" in shown
        assert "2/9" in shown
        assert "top1 0.5" in shown
        assert said == ""
        assert "[01:05] 2 of 2 | spact seed=0 failed: the loss is NaN" in shown
    else:
        assert shown == ""
        assert said.splitlines() == [
            "[01:05] 0 ended, 2 running, of 2 | raw seed=0 minimax 2/9 | spact seed=0 starting",
            "[01:05] 1 ended, 1 running, of 2 | raw seed=0 done",
            "[01:05] 2 ended (1 failed), 0 running, of 2 | spact seed=0 failed: the loss is NaN",
        ]
