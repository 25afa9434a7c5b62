"""A backend of plain processes on this machine: what `study.backend.base` asks for, and no more."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

from study.backend.base import Demands, StudyEnd, TrialBatch
from study.schedule.early import Rungs
from study.schedule.order import Queue
from study.schedule.resources import Resources
from study.schedule.usage import Usage
from trainables.store.files import Files
from trainables.trial import DONE, EARLY, FAILED, SKIPPED, STOPPED, TrialJob, TrialState, run_job

_SLOW_IMPORTS = "torch._dynamo", "torchvision", "segmentation_models_pytorch", "mlflow"  # once, for all pools of this process


class PoolBackend:
    """Runs trials in `processes` worker processes. Knows no GPUs, no other machines and no search."""

    def __init__(self, processes: int) -> None:
        self._processes = processes

    def start(self, demands: Demands) -> Resources:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(_SLOW_IMPORTS))
        self._pool = ProcessPoolExecutor(self._processes, context)
        return demands.resources

    def run(self, batch: TrialBatch, note: Callable[[Usage], None]) -> StudyEnd:
        assert isinstance(batch.source, Queue), "a search needs an optimiser"
        running: dict[Future[TrialState], int] = {}
        ended: list[str] = []
        while True:
            while len(running) < self._processes and (number := batch.source.next()) is not None:
                batch.source.started(number)
                running[self._pool.submit(last_state, batch.jobs[number])] = number
            if not running:
                counts = {"early": ended.count(EARLY), "skipped": ended.count(SKIPPED)}
                return StudyEnd(ended.count(DONE), ended.count(FAILED), interrupted=STOPPED in ended, **counts)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                batch.source.ended(running.pop(future))
                ended.append(future.result().status)
            note(Usage())

    def stop(self) -> None:
        self._pool.shutdown()


def last_state(job: TrialJob) -> TrialState:
    """Runs a trial to its end in a worker process."""
    states: list[TrialState] = []

    def report(state: TrialState) -> None:
        states.append(state)
        if state.watched is not None and job.early is not None:
            Rungs(job.early, Files(job.runtime.storage)).hear(state.watched, job.name)

    run_job(job, {}, report)
    return states[-1]
