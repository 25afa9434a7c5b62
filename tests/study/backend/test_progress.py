"""What the driver counts and prints of trials, as Ray Tune tells it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ray import cloudpickle
from ray.tune import Callback

from study.backend import progress as progress_module
from study.backend.progress import StudyProgress
from study.schedule.usage import Usage
from trainables.trial import DONE, FAILED, RUNNING, SKIPPED, STOPPED


class TuneTrial:
    """A trial as Ray Tune's callbacks are told of it."""

    placement_group_factory = SimpleNamespace(required_resources={"CPU": 1.0})
    error_file = ""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name


def test_the_driver_counts_each_end() -> None:
    noted: list[Usage] = []
    progress = StudyProgress(7, noted.append, "CPU")
    trials = {name: TuneTrial(name) for name in ("done", "failed", "stopped", "skipped", "lost", "again")}
    for each in trials.values():
        progress.on_trial_start(0, [], each)

    def reports(name: str, status: str) -> None:
        progress.on_trial_result(0, [], trials[name], {"status": status, "reason": "why"})

    for name in trials:
        reports(name, RUNNING)
    reports("done", DONE)
    reports("failed", FAILED)
    reports("stopped", STOPPED)
    reports("skipped", SKIPPED)
    progress.on_trial_error(0, [], trials["lost"])
    progress.on_trial_recover(0, [], trials["again"])
    end = progress.end()
    assert (end.done, end.failed, end.lost, end.skipped, end.interrupted) == (1, 1, 1, 1, True)
    assert end.counts == "1 done, 1 failed, 1 lost, 1 skipped"
    assert progress.running.keys() == {"again"}
    assert len(noted) == 1
    reports("again", DONE)
    whole = StudyProgress(1, noted.append, "CPU")
    whole.on_trial_result(0, [], trials["done"], {"status": DONE})
    assert (whole.end().done, whole.end().interrupted) == (1, False)


def test_a_worker_s_warnings_and_signs_of_life_are_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk stops all reports but that it is full: the driver used to say nothing for hours."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(progress_module, "time", clock)
    monkeypatch.setattr(progress_module, "ray", SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0}))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    progress = StudyProgress(2, lambda usage: None, "CPU")
    for clock.now in range(0, 130, 10):
        progress.on_step_begin(0, [])
    said = capsys.readouterr().out.splitlines()
    assert [line[:7] for line in said] == ["[01:00]", "[02:00]"]
    assert said[0].endswith("0 ended, 0 running, of 2 | nothing runs yet: no node has room for a trial, or workers start")
    trial = TuneTrial("B=0.3")
    progress.on_trial_start(0, [], trial)
    result = {
        "status": RUNNING,
        "stage": "minimax",
        "epoch": 1,
        "epochs": 9,
        "warnings": ("[Errno 28] No space left on device",),
    }
    progress.on_trial_result(0, [], trial, result)
    assert capsys.readouterr().out.endswith("| B=0.3 warns: [Errno 28] No space left on device\n")
    for clock.now in range(130, 200, 10):
        progress.on_step_begin(0, [])
    assert capsys.readouterr().out.endswith("1 running, of 2 | B=0.3 minimax 1/9\n")


def test_tune_can_write_it_down() -> None:
    """As it does with every callback before a study starts: a table in a terminal has locks, which cannot be pickled."""
    progress = StudyProgress(1, lambda usage: None, "CPU")
    assert type(cloudpickle.loads(cloudpickle.dumps([progress]))[0]) is Callback
