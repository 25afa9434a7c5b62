"""Several evaluators of one anonymizer trained in one pass: each batch is loaded and anonymized once for all of them.

Every evaluator runs the ordinary code of its stage in a greenlet, a coroutine that can pause in the middle of any call. It
pauses before each batch it takes, and the loop of `run_together` resumes one evaluator after another. Each has random
generators of its own, so that on a CPU it learns bit for bit what it would learn alone.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import torch
from greenlet import getcurrent, greenlet
from torch import Tensor

from trainables.data.loader import Batch, Loader
from trainables.execution.context import StageContext
from trainables.execution.plain import Execution, random_state, set_random_state
from trainables.failures import Stopped
from trainables.models.base import Anonymizer
from trainables.store import Outcome
from trainables.store.artifacts import Progress

log = logging.getLogger(__name__)

T = TypeVar("T")


def run_together(run: Callable[[StageContext], Outcome], first: StageContext, others: Sequence[StageContext]) -> Outcome:
    """`run(first)`, in one pass with `run` of `others`: the contexts of stages that differ in their classifiers only.

    Returns the outcome of `first`; `run` itself stores those of the others, whose errors are logged. When `first` fails or is
    stopped, the others are stopped as well, with everything saved.
    """
    shared = _Shared()
    names = {greenlet(partial(run, _joined(context, shared))): context.stage for context in (first, *others)}
    leader = next(iter(names))
    failure: Exception | None = None
    while running := [one for one in names if not one.dead]:
        for one in running:
            try:
                result = one.switch()
            except Exception as error:
                if one is leader:
                    failure, shared.given_up = error, True
                elif not isinstance(error, Stopped):  # who needs this stage will compute it alone, and see the error there
                    log.warning("%s, in one pass with another evaluator: %s", names[one], error)
            else:
                if one is leader and one.dead:
                    outcome: Outcome = result
                    state = random_state()
    if failure is not None:
        raise failure
    set_random_state(state)
    return outcome


def _joined(context: StageContext, shared: _Shared) -> StageContext:
    execution = SharedPass(shared, context.work.progress)
    return replace(context, execution=execution, stop=lambda: shared.given_up or context.stop())


class SharedPass(Execution):
    """The stage of one of several evaluators in one pass."""

    def __init__(self, shared: _Shared, progress: Progress) -> None:
        self._shared, self._progress = shared, progress

    def anonymizer(self, source: str, built: Anonymizer) -> Anonymizer:
        """One network for all. Each still builds its own, so that its random generators are in the state of one alone."""
        return self._shared.anonymizers.setdefault(source, built)

    def once(self, what: Hashable, clips: Tensor, compute: Callable[[], T]) -> T:
        kept = self._shared.last.get(what)
        if kept is None or kept[0] is not clips:
            kept = self._shared.last[what] = clips, compute()
        found: T = kept[1]
        return found

    def batches(self, loader: Loader, first: int, count: int) -> Iterator[Batch]:
        """Yields the batches of `loader`, from the pass that another evaluator has begun if there is one."""
        passes = self._shared.passes
        shared = passes.get(loader.key)
        if shared is None or not shared.can_be_joined(first, count):
            shared = passes[loader.key] = _Pass(loader, first, count)
        for number in range(count):
            self._pause()
            batch = shared.take(number)
            if batch is None:  # out of step, as after a resume from another checkpoint: alone from here on
                shared = _Pass(loader, first, count, begin=number)
                batch = shared.take(number)
                assert batch is not None
            yield batch

    def _pause(self) -> None:
        """Lets every other evaluator compute one step."""
        state, start = random_state(), time.monotonic()
        with torch.enable_grad():  # restores the mode of this evaluator afterwards
            getcurrent().parent.switch()  # the loop of `run_together`
        self._progress.leave_out(time.monotonic() - start)
        set_random_state(state)


@dataclass
class _Shared:
    """What the evaluators have in common. last: by `what` of `Execution.once`, the last clips and the result for them."""

    given_up: bool = False
    anonymizers: dict[str, Anonymizer] = field(default_factory=dict)
    passes: dict[Hashable, _Pass] = field(default_factory=dict)
    last: dict[Hashable, tuple[Tensor, Any]] = field(default_factory=dict)


class _Pass:
    """Batches `first` .. `first + count - 1` of a loader; the last one that was taken can be taken again."""

    def __init__(self, loader: Loader, first: int, count: int, begin: int = 0) -> None:
        self._range = first, count
        self._batches = loader.load(first + begin, count - begin)
        self._number = begin - 1
        self._last: Batch | None = None

    def can_be_joined(self, first: int, count: int) -> bool:
        return self._range == (first, count) and self._number <= 0

    def take(self, number: int) -> Batch | None:
        """Batch `number`; None if it is no longer, or not yet, to be had."""
        if number == self._number + 1:
            self._last = next(self._batches, None)
            self._number = number
        return self._last if number == self._number else None
