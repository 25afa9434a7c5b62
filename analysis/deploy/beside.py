"""Work beside the caller: a thread that reads ahead and one that writes behind, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
_LOOK = 0.1  # seconds after which a full queue is looked at for whether anybody still wants it


class _Beside:
    """A thread that runs `_run` from the beginning of a `with` block to its end.

    An interrupt that comes while the thread is started leaves none behind: one that has not begun never will.
    """

    def __init__(self) -> None:
        self._over, self._ended, self._began = threading.Event(), threading.Event(), False
        self._lock = threading.Lock()  # of `_began`, and of setting `_over`

    def _run(self) -> None:
        raise NotImplementedError

    def _begin(self) -> None:
        with self._lock:
            if self._over.is_set():
                return
            self._began = True
        try:
            self._run()
        finally:
            self._ended.set()

    def __enter__(self) -> Self:
        try:
            threading.Thread(target=self._begin, daemon=True).start()
        except BaseException:
            self._stop()
            raise
        return self

    def _stop(self) -> None:
        """Ends what the thread does as soon as it looks, and waits for that."""
        with self._lock:
            self._over.set()
        while self._began and not self._ended.is_set():
            self._wake()
            self._ended.wait(_LOOK)

    def _wake(self) -> None:
        """Called until a thread that is to stop has ended."""


class Ahead(_Beside, Generic[Item]):
    """Iterates over what a thread takes from `items`, at most `most` ahead of the caller; errors come out in the caller."""

    def __init__(self, items: Iterable[Item], most: int) -> None:
        super().__init__()
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(most)
        self._items = items

    def _run(self) -> None:
        try:
            for item in self._items:
                self._put((item, None))
                if self._over.is_set():
                    return
            self._put((None, StopIteration()))
        except BaseException as error:  # also an interrupt: it is the caller's
            self._put((None, error))

    def _put(self, entry: tuple[Item | None, BaseException | None]) -> None:
        while not self._over.is_set():
            try:
                return self._queue.put(entry, timeout=_LOOK)
            except queue.Full:
                continue

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, error = self._queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]

    def __exit__(self, *_: object) -> None:
        self._stop()


class Behind(_Beside, Generic[Item]):
    """Hands items in their order to `work` in a thread, at most `most` waiting; an error of `work` comes out in the caller.

    Leaving the `with` block waits for all of them, or, with an error, drops those that wait.
    """

    def __init__(self, work: Callable[[Item], None], most: int) -> None:
        super().__init__()
        self._queue: queue.Queue[Item | None] = queue.Queue(most)
        self._work, self._error = work, list[BaseException]()

    def put(self, item: Item) -> None:
        self._put(item)

    def _put(self, item: Item | None) -> None:
        while True:
            if self._error:
                raise self._error[0]
            try:
                return self._queue.put(item, timeout=_LOOK)
            except queue.Full:
                continue

    def _run(self) -> None:
        while (item := self._queue.get()) is not None and not self._over.is_set():
            try:
                self._work(item)
            except BaseException as error:  # also an interrupt: it is the caller's
                self._error.append(error)
                return

    def _wake(self) -> None:
        with suppress(queue.Full):
            self._queue.put_nowait(None)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._stop()
            return
        self._put(None)
        self._ended.wait()
        if self._error:
            raise self._error[0]
