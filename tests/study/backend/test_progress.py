"""What the driver counts and prints of trials, as Ray Tune tells it."""

from __future__ import annotations

from types import SimpleNamespace

from study.backend.progress import StudyProgress
from study.schedule.usage import Usage
from trainables.trial import DONE, FAILED, RUNNING, STOPPED


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
    progress = StudyProgress(6, noted.append, "CPU")
    trials = {name: TuneTrial(name) for name in ("done", "failed", "stopped", "lost", "again")}
    for each in trials.values():
        progress.on_trial_start(0, [], each)

    def reports(name: str, status: str) -> None:
        progress.on_trial_result(0, [], trials[name], {"status": status, "reason": "why"})

    for name in trials:
        reports(name, RUNNING)
    reports("done", DONE)
    reports("failed", FAILED)
    reports("stopped", STOPPED)
    progress.on_trial_error(0, [], trials["lost"])
    progress.on_trial_recover(0, [], trials["again"])
    end = progress.end()
    assert (end.done, end.failed, end.lost, end.interrupted) == (1, 1, 1, True)
    assert progress.running.keys() == {"again"}
    assert len(noted) == 1
    reports("again", DONE)
    whole = StudyProgress(1, noted.append, "CPU")
    whole.on_trial_result(0, [], trials["done"], {"status": DONE})
    assert (whole.end().done, whole.end().interrupted) == (1, False)
