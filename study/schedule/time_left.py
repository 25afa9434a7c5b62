"""How long a study still takes, from how long its stages have taken so far."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from study.schedule.costs import Costs
from trainables.plan import TrialPlan


@dataclass(frozen=True)
class DueStage:
    """A stage that is to be computed: the name of its kind, its role in the trial, its key, and the seconds it is guessed to
    take.
    """

    stage: str
    role: str
    key: str
    guess: float


def work_of(plan: TrialPlan, costs: Costs, stored: Collection[str] = ()) -> tuple[DueStage, ...]:
    """The stages of a trial, in order, without those that are stored."""
    todo = (stage for stage in plan.stages if stage.key not in stored)
    return tuple(DueStage(stage.name, stage.role, stage.key, costs.guessed(stage)) for stage in todo)


@dataclass
class _Seen:
    """What stages of one kind took, and what the same work was guessed to take; both in seconds."""

    took: float = 0.0
    guess: float = 0.0


class TimeLeft:
    """Corrects the guesses by what stages of the same kind took in this study, those of kinds that have not run yet by what all
    took, and deals what is left out to as many trials at once as run now. A stage that trials share counts once. The time in
    which workers start and wait is no time of a stage.

    `trials` is the work of each trial, by its name, in the order in which they start. The trials of a search have names that
    nobody knows beforehand: `proposed` is the work of each, `count` their number.
    """

    def __init__(self, trials: Mapping[str, Sequence[DueStage]], proposed: Sequence[DueStage] = (), count: int = 0) -> None:
        self._left, self._proposed, self._count = dict(trials), tuple(proposed), count
        self._running: dict[str, float] = {}  # name -> seconds that its worker had computed at its last report
        self._share: dict[str, float] = {}  # key -> the part of a stage that is done
        self._of: dict[str, str] = {}  # key -> the trial that computes it
        self._seen: dict[str, _Seen] = defaultdict(_Seen)

    def start(self, trial: str) -> None:
        """A worker takes up the trial, for the first time or again."""
        if trial not in self._left and self._count:
            self._count -= 1
            own = (DueStage(work.stage, work.role, f"{trial} {work.key}", work.guess) for work in self._proposed)
            self._left[trial] = tuple(own)
        self._running[trial] = -1.0  # its first report counts from when the worker was ready, with imports and reading of data

    def report(self, trial: str, role: str, share: float, computed: float) -> None:
        """`share` of a stage is done, after `computed` seconds of its worker in which it did not wait."""
        works = self._left.get(trial, ())
        at = next((number for number, work in enumerate(works) if work.role == role), None)
        if at is None:  # it was stored before, or the trial waits
            return
        work, before = works[at], self._running.get(trial, -1.0)
        self._running[trial] = computed
        for earlier in works[:at]:
            self._share[earlier.key] = 1.0
        own = self._of.setdefault(work.key, trial) == trial
        progress = share - self._share.get(work.key, 0.0)
        self._share[work.key] = max(share, self._share.get(work.key, 0.0))
        if own and before >= 0.0 and progress > 0.0 and computed > before:
            self._seen[work.stage].took += computed - before
            self._seen[work.stage].guess += progress * work.guess

    def end(self, trial: str, done: bool) -> None:
        """The trial has ended; if it is `done`, all of its stages are stored."""
        self._running.pop(trial, None)
        for work in self._left.pop(trial, ()):
            if done:
                self._share[work.key] = 1.0
            elif self._of.get(work.key) == trial:
                del self._of[work.key]

    def seconds(self, at_once: int) -> float | None:
        """Until the last trial has ended, with so many `at_once`; None as long as nothing is known."""
        took, guess = (sum(getattr(seen, name) for seen in self._seen.values()) for name in ("took", "guess"))
        if not guess:
            return None
        factors = {name: seen.took / seen.guess for name, seen in self._seen.items() if seen.guess}

        def of(works: Sequence[DueStage], counted: set[str]) -> float:
            new = [work for work in works if work.key not in counted]
            counted.update(work.key for work in new)
            return sum(
                work.guess * factors.get(work.stage, took / guess) * (1.0 - self._share.get(work.key, 0.0)) for work in new
            )

        counted: set[str] = set()
        running = [name for name in self._left if name in self._running]
        waiting = [name for name in self._left if name not in self._running]
        lengths = [of(self._left[name], counted) for name in (*running, *waiting)]
        lengths += [of(self._proposed, set())] * self._count
        lanes = [0.0] * max(1, at_once)
        for length in lengths:
            heapq.heapreplace(lanes, lanes[0] + length)
        return max(lanes)
