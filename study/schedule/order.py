"""The order in which trials start: long ones first, one for each anonymizer before a second, none that could only wait."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from search_spaces.plan import StudyTrial
from trainables.plan import TrialPlan


@dataclass(frozen=True)
class Step:
    """A stage of a trial; `needs` are the keys of its inputs."""

    stage: str
    key: str
    needs: tuple[str, ...]


def steps_of(plan: TrialPlan) -> tuple[Step, ...]:
    keys = {stage.role: stage.key for stage in plan.stages}
    return tuple(Step(stage.name, stage.key, tuple(keys[role] for role in stage.inputs.values())) for stage in plan.stages)


def in_order(
    trials: Sequence[StudyTrial], plans: Sequence[TrialPlan], seconds: Mapping[str, float] | None = None
) -> list[tuple[StudyTrial, TrialPlan]]:
    """First one trial for each anonymizer, and those of different seeds in turn: trials side by side that need the same
    stage would wait for each other. Among them the one that takes longest comes first, and of equally long ones the one for
    whose anonymizer most work waits. `seconds` by stage key, 0 for what is stored; without it the order given counts.

    Of trials that are the same one (equal keys) the first stays; the others are said.
    """
    cost = seconds or {}
    names: dict[str, str] = {}
    different: list[tuple[StudyTrial, TrialPlan]] = []
    for trial, plan in zip(trials, plans, strict=True):
        if plan.key in names:
            print(f"{trial.name}: the same trial as {names[plan.key]}")
            continue
        names[plan.key] = trial.name
        different.append((trial, plan))
    length = {plan.key: sum(cost.get(key, 0.0) for key in {stage.key for stage in plan.stages}) for _, plan in different}
    waiting: dict[str, float] = defaultdict(float)
    for _, plan in different:
        waiting[plan.anonymizer_key] += length[plan.key]
    different.sort(key=lambda pair: (-length[pair[1].key], -waiting[pair[1].anonymizer_key]))
    before: Counter[str] = Counter()
    ranked = []
    for trial, plan in different:
        anonymizer, start = plan.anonymizer_key, f"start {plan.stages[0].key}"
        ranked.append((before[anonymizer], before[start], trial, plan))
        before.update((anonymizer, start))
    return [(trial, plan) for _, _, trial, plan in sorted(ranked, key=lambda rank: rank[:2])]


class Queue:
    """Gives out trials by number, in order, and keeps back those that could only wait for a stage that a running one computes:
    their GPUs would be idle, or need not be rented yet.

    `done`: keys of the stages that are stored; `stored(stage, key)` asks for one more, of those that running trials compute,
    at most every `every` seconds, and so does `first` for the numbers of the trials that are to start before others. `shapes`:
    what resources each trial asks for; at most `pending` of a shape are given out before one of them has started, so that
    those of another shape are not behind them.
    """

    def __init__(
        self,
        trials: Sequence[Sequence[Step]],
        done: Iterable[str],
        stored: Callable[[str, str], bool],
        shapes: Sequence[str] | None = None,
        first: Callable[[], Collection[int]] = tuple,
        pending: int = 64,
        every: float = 1.0,
    ) -> None:
        self._trials, self._stored, self._first, self._every = trials, stored, first, every
        self._shapes = shapes or [""] * len(trials)
        self._most = pending
        self._left = list(range(len(trials)))
        self._running: set[int] = set()
        self._pending: set[int] = set()
        self._done = set(done)
        self._next_look = 0.0

    def __len__(self) -> int:
        """Trials not yet given out."""
        return len(self._left)

    def next(self) -> int | None:
        """The number of the trial to start now; None if each one left would only wait for a stage of a running one."""
        if time.monotonic() >= self._next_look:
            with contextlib.suppress(Exception):  # a storage that is away orders nothing
                first = self._first()
                self._left.sort(key=lambda number: number not in first)
            self._look(self._running)
        busy = {step.key for step in self._all_ready(self._running)}
        waiting = Counter(self._shapes[number] for number in self._pending)
        for number in self._left:
            if waiting[self._shapes[number]] >= self._most:
                continue
            ready = self._ready(number)
            if not self._running or not ready or any(step.key not in busy for step in ready):
                self._left.remove(number)
                self._running.add(number)
                self._pending.add(number)
                return number
        return None

    def started(self, number: int) -> None:
        self._pending.discard(number)

    def ended(self, number: int) -> None:
        """The trial is done or has failed: others may compute the stages that it has not stored."""
        self._look([number])
        self._running.discard(number)
        self._pending.discard(number)

    def _ready(self, number: int) -> list[Step]:
        """The stages of a trial that are not stored and whose inputs are."""
        return [step for step in self._trials[number] if step.key not in self._done and self._done.issuperset(step.needs)]

    def _look(self, numbers: Iterable[int]) -> None:
        start = time.monotonic()
        while new := {step.key for step in self._all_ready(numbers) if self._stored(step.stage, step.key)}:
            self._done |= new
        took = time.monotonic() - start  # a slow store must not take the driver's time
        self._next_look = start + took + max(self._every, min(10 * took, 60 * self._every))

    def _all_ready(self, numbers: Iterable[int]) -> set[Step]:
        return {step for number in numbers for step in self._ready(number)}
