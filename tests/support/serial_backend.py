"""A backend without Ray: what `study.backend.base` asks for, and no more."""

from __future__ import annotations

from collections.abc import Callable

from study.backend.base import Demands, StudyEnd, TrialBatch
from study.schedule.early import Rungs
from study.schedule.order import Queue
from study.schedule.resources import Resources
from study.schedule.usage import Usage
from trainables.store.files import Files
from trainables.trial import DONE, EARLY, FAILED, SKIPPED, STOPPED, TrialJob, TrialState, run_job


class SerialBackend:
    """Runs one trial after another in this process. Knows no GPUs, no other machines and no search."""

    def start(self, demands: Demands) -> Resources:
        return demands.resources

    def run(self, batch: TrialBatch, note: Callable[[Usage], None]) -> StudyEnd:
        assert isinstance(batch.source, Queue), "a search needs an optimiser"
        ended: list[str] = []
        while (number := batch.source.next()) is not None:
            batch.source.started(number)
            ended.append(last_state(batch.jobs[number]).status)
            batch.source.ended(number)
            note(Usage())
        counts = {"early": ended.count(EARLY), "skipped": ended.count(SKIPPED)}
        return StudyEnd(ended.count(DONE), ended.count(FAILED), interrupted=STOPPED in ended, **counts)

    def stop(self) -> None:
        """Holds nothing."""


def last_state(job: TrialJob) -> TrialState:
    """Runs a trial to its end."""
    states: list[TrialState] = []

    def report(state: TrialState) -> None:
        states.append(state)
        if state.watched is not None and job.early is not None:
            Rungs(job.early, Files(job.runtime.storage)).hear(state.watched, job.name)

    run_job(job, {}, report)
    return states[-1]
