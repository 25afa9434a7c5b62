"""Work beside the caller: a thread that reads ahead and one that writes behind, with bounded queues between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
_LOOK = 0.1  # seconds after which a full queue is looked at for whether anybody still wants it


class Ahead(Generic[Item]):
    """Iterates over what a thread takes from `items`, at most `most` ahead of the caller; errors come out in the caller."""

    def __init__(self, items: Iterable[Item], most: int) -> None:
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(most)
        self._over = threading.Event()
        self._items = items
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

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

    def __enter__(self) -> Ahead[Item]:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


class Behind(Generic[Item]):
    """Hands items in their order to `work` in a thread, at most `most` waiting; an error of `work` comes out in the caller.

    Leaving the `with` block waits for all of them, or, with an error, drops those that wait.
    """

    def __init__(self, work: Callable[[Item], None], most: int) -> None:
        self._queue: queue.Queue[Item | None] = queue.Queue(most)
        self._over = threading.Event()
        self._work, self._error = work, list[BaseException]()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

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

    def __enter__(self) -> Behind[Item]:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._over.set()
            while self._thread.is_alive():
                try:
                    self._queue.put(None, timeout=_LOOK)
                    break
                except queue.Full:
                    continue
            self._thread.join()
            return
        self._put(None)
        self._thread.join()
        if self._error:
            raise self._error[0]
