"""What can end a trial, and what is done about it: asked to stop, worker lost, storage away, memory taken by others, or a fault
of its own.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TypeVar

from trainables.store.files import Files

log = logging.getLogger(__name__)

T = TypeVar("T")

LOSSES = 5  # of a trial's workers, one after another without a finished epoch in between, or LONG_SECONDS of work
LONG_SECONDS = 900.0  # longer than between two checkpoints within an epoch
STORAGE_PATIENCE_SECONDS = 6 * 3600.0  # for a storage that is full or away, with nothing done in between
_PAUSES = (2.0, 60.0)  # between two tries: the first, and the longest
_AWAY = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN, errno.EPIPE}
_AWAY |= {errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENOTCONN, errno.ENETDOWN, errno.ENETUNREACH}
_AWAY |= {errno.EHOSTDOWN, errno.EHOSTUNREACH}
_REMOTE = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "urllib3", "requests")
_OTHERS_BYTES = 2 << 30  # more than what CUDA itself takes of a GPU for a process

_told = threading.Event()  # this process has been told to end: SIGTERM, as before a spot machine goes


class Stopped(RuntimeError):
    """The trial was asked to stop; what it has done is saved."""


class Lost(RuntimeError):
    """What ended this attempt may not end the next one: Ray Tune starts the trial again, from its last checkpoint."""


def heed_sigterm() -> None:
    """From now on SIGTERM lets the trial of this process save before it ends. For the main thread."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _told.set()


class Stop:
    """Whether a trial is to stop: its process was told to end (`going`), or `marker` has come about in the storage.

    Asking costs nothing; a thread looks for the marker every `every` seconds, by default seldom on an object store, where
    looking costs.
    """

    def __init__(self, files: Files, marker: str, every: float | None = None) -> None:
        self._files, self._marker = files, marker
        self._every = every or (1.0 if files.directory is not None else 5.0)
        self._asked, self._left = threading.Event(), threading.Event()

    def __enter__(self) -> Stop:
        if self._marker:
            self._look()
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._left.set()

    @property
    def going(self) -> bool:
        return _told.is_set()

    def __call__(self) -> bool:
        return self._asked.is_set() or _told.is_set()

    def _watch(self) -> None:
        while not self._left.wait(self._every) and not self._asked.is_set():
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(Exception):  # a storage that is away does not ask to stop
            if self._files.exists(self._marker):
                self._asked.set()


class Attempts:
    """How many workers of a trial were lost one after another; kept in the storage, for it is not they who can count."""

    def __init__(self, files: Files, path: str) -> None:
        self._files, self._path = files, path
        self._begun = False

    def begin(self) -> int:
        """Counts this attempt as lost until it says otherwise; returns how many were lost before."""
        lost = int(self._files.read(self._path) or b"0")
        self._files.replace(self._path, str(lost + 1).encode())
        self._begun = True
        later = threading.Timer(LONG_SECONDS, self._has_lasted)
        later.daemon = True
        later.start()
        return lost

    def got_on(self) -> None:
        """Something was finished that the next attempt need not do again, or this one has come to an end of its own."""
        if self._begun:
            self._begun = False
            self._files.remove(self._path)

    def _has_lasted(self) -> None:
        with contextlib.suppress(Exception):  # a storage that is away: the next epoch counts
            self.got_on()


def storage_is_away(error: BaseException) -> bool:
    """Whether an error is one of a storage that is full or cannot be reached now, rather than of what was asked of it."""
    if isinstance(error, OSError) and error.errno in _AWAY:
        return True
    if isinstance(error, (ConnectionError, TimeoutError)):
        return True
    return type(error).__module__.partition(".")[0] in _REMOTE


def memory_was_taken(error: BaseException, gpus: float) -> bool:
    """Whether others on the GPU are to blame for an out-of-memory error of a trial that was given `gpus` of it.

    They are if they hold more than 2 GiB and this process no more than its share. Otherwise the trial itself needs too much:
    it would end the same way anywhere.
    """
    import torch

    if not isinstance(error, torch.cuda.OutOfMemoryError) or not torch.cuda.is_available():
        return False
    free, total = torch.cuda.mem_get_info()
    mine = torch.cuda.memory_reserved()
    return total - free - mine > _OTHERS_BYTES and (gpus >= 1 or mine <= gpus * total)


def patiently(compute: Callable[[], T], stop: Callable[[], bool], got_on: Callable[[], bool]) -> T:
    """`compute()`, again and again while the storage is away; it goes on from what it has saved.

    `got_on()` says whether something was done since it was last asked: then patience begins anew.
    Raises Lost when patience has run out, and Stopped.
    """
    pause, since = _PAUSES[0], time.monotonic()
    while True:
        try:
            return compute()
        except Exception as error:
            if not storage_is_away(error):
                raise
            if got_on():
                pause, since = _PAUSES[0], time.monotonic()
            if time.monotonic() - since > STORAGE_PATIENCE_SECONDS:
                raise Lost(f"the storage is away ({error})") from error
            log.warning("the storage is away (%s); tried again in %.0f s", error, pause)
            end = time.monotonic() + pause
            while time.monotonic() < end:
                if stop():
                    raise Stopped("stopped while the storage is away") from error
                time.sleep(min(0.5, pause))
            pause = min(2 * pause, _PAUSES[1])
