"""Several judges of one anonymizer, trained side by side: each clip is loaded and anonymized once for all of them.

The code of a judge knows nothing of it. Each runs in a thread of its own, and one of them moves at a time: who asks for its
next batch lets every other one take the last. Each has random numbers of its own, so that on a CPU it learns, bit for bit,
what it would learn alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from trainables.data.loader import Batch, Loader
from trainables.execution.context import StageContext, Stopped
from trainables.execution.loop import _random_state, _set_random_state
from trainables.models.base import Anonymizer
from trainables.store import Outcome

log = logging.getLogger(__name__)

T = TypeVar("T")


def run_together(run: Callable[[StageContext], Outcome], first: StageContext, others: Sequence[StageContext]) -> Outcome:
    """The outcome of `first`, while `others`, which differ in their classifiers only, run beside it.

    What `run` does for one of the others is its own business: it stores the outcome, or lets the error be logged here. When
    `first` fails or is stopped, the others are stopped as well, with all saved.
    """
    company = _Company(1 + len(others))
    threads = [
        threading.Thread(target=company.run, args=(run, context, number), name=context.stage, daemon=True)
        for number, context in enumerate(others, start=1)
    ]
    for thread in threads:
        thread.start()
    try:
        with company.member(0, first) as context:
            outcome = run(context)
            state = _random_state()
    except BaseException:
        company.given_up = True
        raise
    finally:
        for thread in threads:
            thread.join()
    _set_random_state(state)
    return outcome


class _Company:
    """Who is there and whose turn it is, and what they have in common."""

    def __init__(self, members: int) -> None:
        self._there = list(range(members))
        self._turn = 0
        self._changed = threading.Condition()
        self.given_up = False
        self.anonymizers: dict[str, Anonymizer] = {}
        self.passes: dict[Hashable, _Pass] = {}
        self.last: dict[Hashable, tuple[Tensor, Any]] = {}

    def run(self, run: Callable[[StageContext], Outcome], context: StageContext, number: int) -> None:
        torch.set_num_threads(context.runtime.threads)  # a setting of the thread
        try:
            with self.member(number, context) as joined:
                run(joined)
        except Stopped:
            pass
        except Exception as error:  # whoever needs this judge will compute it alone, and meet the error there
            log.warning("%s: beside another one of its kind: %s", context.stage, error)

    def member(self, number: int, context: StageContext) -> Member:
        return Member(self, number, context)

    def wait_for_turn(self, number: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._turn == number)

    def pass_on(self, number: int, leaves: bool = False) -> None:
        with self._changed:
            place = self._there.index(number)
            if leaves:
                self._there.remove(number)
            else:
                place += 1
            if self._there and self._turn == number:  # not so for one that is interrupted while it waits
                self._turn = self._there[place % len(self._there)]
            self._changed.notify_all()


class Member:
    """One judge, as the context and the loaders of its stage see it."""

    def __init__(self, company: _Company, number: int, context: StageContext) -> None:
        self._company, self._number, self._context = company, number, context

    def __enter__(self) -> StageContext:
        self._company.wait_for_turn(self._number)
        return replace(self._context, together=self, stop=lambda: self._company.given_up or self._context.stop())

    def __exit__(self, *error: object) -> None:
        self._company.pass_on(self._number, leaves=True)

    def anonymizer(self, source: str, built: Anonymizer) -> Anonymizer:
        """The one network for all; each has built it, so that the random numbers that follow are those of a judge alone."""
        return self._company.anonymizers.setdefault(source, built)

    def once(self, what: Hashable, clips: Tensor, compute: Callable[[], T]) -> T:
        """What `compute` makes of a batch's clips, computed by whoever is the first to ask."""
        kept = self._company.last.get(what)
        if kept is None or kept[0] is not clips:
            kept = self._company.last[what] = clips, compute()
        found: T = kept[1]
        return found

    def batches(self, loader: Loader, first: int, count: int) -> Iterator[Batch]:
        """What `loader` loads, from the pass that another member has begun where there is one."""
        passes = self._company.passes
        shared = passes.get(loader.key)
        if shared is None or not shared.can_be_joined(first, count):
            shared = passes[loader.key] = _Pass(loader, first, count)
        for number in range(count):
            self._others_first()
            batch = shared.take(number)
            if batch is None:  # out of step: alone from here on
                shared = _Pass(loader, first, count, begin=number)
                batch = shared.take(number)
                assert batch is not None
            yield batch

    def _others_first(self) -> None:
        state, start = _random_state(), time.monotonic()
        self._company.pass_on(self._number)
        self._company.wait_for_turn(self._number)
        self._context.work.progress.leave_out(time.monotonic() - start)
        _set_random_state(state)


class _Pass:
    """Batches `first` .. `first + count - 1` of a loader, of which the last one that was taken can be had again."""

    def __init__(self, loader: Loader, first: int, count: int, begin: int = 0) -> None:
        self._what = first, count
        self._batches = loader.load(first + begin, count - begin)
        self._number = begin - 1
        self._last: Batch | None = None

    def can_be_joined(self, first: int, count: int) -> bool:
        return self._what == (first, count) and self._number <= 0

    def take(self, number: int) -> Batch | None:
        """Batch `number`; None if it is over, or not yet its turn."""
        if number == self._number + 1:
            self._last = next(self._batches, None)
            self._number = number
        return self._last if number == self._number else None
