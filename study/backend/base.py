"""The interface of a backend: whatever has machines, and runs the trials of a study on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from study.schedule.order import Queue
from study.schedule.resources import Resources, Share
from study.schedule.search import Proposals
from study.schedule.time_left import DueStage, TimeLeft
from study.schedule.usage import Usage
from trainables.early import EarlyStopping
from trainables.plan import TrialPlan
from trainables.plugins import Plugin
from trainables.trial import TrialJob


@dataclass(frozen=True)
class Demands:
    """What a study asks of a backend before its trials start.

    `data_root` and `stages_at` must mean the same place on every node. `gpu_memory` is in GiB; None: whatever a trial's part
    of a GPU has. With `pack` trials share a GPU by what the backend measures. With `nodes_come_later` it is no error that no
    node can hold a trial yet.
    """

    plans: Sequence[TrialPlan]
    data_root: Path
    stages_at: str
    tracking_uri: str
    resources: Resources
    plugins: tuple[Plugin, ...] = ()
    gpu_memory: float | None = None
    pack: bool = False
    nodes_come_later: bool = False


@dataclass(frozen=True)
class TrialBatch:
    """Trials to run: `jobs[n]` on `shares[n]`, in the order in which `source` gives out the numbers n.

    Where `source` proposes the points of a search there is one job, the template of all of its trials. `directory` is the
    backend's own, for files of the driver. `works[n]`: the stages that job n has to compute. `early`: where the backend
    decides, with `study.schedule.early.Rungs`, on each `watched` that a trial reports, before the report returns.
    """

    name: str
    jobs: Sequence[TrialJob]
    shares: Sequence[Share]
    source: Queue | Proposals
    directory: Path
    max_concurrent: int | None = None
    works: Sequence[Sequence[DueStage]] = ()
    early: EarlyStopping | None = None

    @property
    def count(self) -> int:
        """The number of trials."""
        return self.source.count if isinstance(self.source, Proposals) else len(self.jobs)

    @property
    def time_left(self) -> TimeLeft:
        """How long the batch takes, to be told of its trials."""
        if isinstance(self.source, Proposals):
            return TimeLeft({}, self.works[0] if self.works else (), self.count)
        return TimeLeft({job.name: works for job, works in zip(self.jobs, self.works, strict=False)})


@dataclass(frozen=True)
class StudyEnd:
    """How many trials of a batch ended how. `lost` are those whose worker died too often, `early` those that could not win,
    `skipped` those that the user has told to end while the others went on.
    """

    done: int = 0
    failed: int = 0
    lost: int = 0
    interrupted: bool = False
    usage: Usage = field(default_factory=Usage)
    early: int = 0
    skipped: int = 0

    @property
    def all_done(self) -> bool:
        """Whether each trial is done, or could not win."""
        return not (self.failed or self.lost or self.skipped or self.interrupted)

    @property
    def counts(self) -> str:
        """In words: `2 done, 1 failed, 0 lost`, and what else there is."""
        said = f"{self.done} done, {self.failed} failed, {self.lost} lost"
        more = ((self.early, "stopped early"), (self.skipped, "skipped"))
        return said + "".join(f", {count} {what}" for count, what in more if count)

    def __add__(self, other: StudyEnd) -> StudyEnd:
        interrupted = self.interrupted or other.interrupted
        usage = self.usage + other.usage
        failed, lost, early = self.failed + other.failed, self.lost + other.lost, self.early + other.early
        return StudyEnd(self.done + other.done, failed, lost, interrupted, usage, early, self.skipped + other.skipped)


class Backend(Protocol):
    """Machines that run trials. A study calls `start` once, then `run` for each batch, and `stop` whatever happens."""

    def start(self, demands: Demands) -> Resources:
        """Joins or starts the workers and checks that every node can do what is demanded.

        Returns the demanded resources matched to the nodes. Raises ConfigError if a node cannot run the study, or none could
        hold a trial; then there is nothing to stop.
        """

    def run(self, batch: TrialBatch, note: Callable[[Usage], None]) -> StudyEnd:
        """Runs every trial of the batch with `trainables.trial.run_job`; returns when each is done, failed or lost, or when
        the user has stopped them. `note` is told now and then what they have used so far.
        """

    def stop(self) -> None:
        """Gives back what `start` took."""
