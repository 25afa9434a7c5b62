"""What can end a trial early, and what a retry can cure: a request to stop, a lost worker, a storage that is away, GPU memory
that others hold.
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

from tenacity import RetryCallState, RetryError, Retrying, before_sleep_log, stop_after_delay, wait_exponential

from trainables.store.files import Files

log = logging.getLogger(__name__)

T = TypeVar("T")

LOSSES = 5  # workers that a trial may lose in a row, without a finished epoch or LONG_SECONDS of work in between
LONG_SECONDS = 900.0  # longer than between two checkpoints within an epoch
STORAGE_PATIENCE_SECONDS = 6 * 3600.0  # how long a trial waits for a storage that is full or away
_PAUSES = (2.0, 60.0)  # between two tries: the first, and the longest
_AWAY = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.EAGAIN, errno.EPIPE}
_AWAY |= {errno.ECONNRESET, errno.ECONNREFUSED, errno.ECONNABORTED, errno.ENOTCONN, errno.ENETDOWN, errno.ENETUNREACH}
_AWAY |= {errno.EHOSTDOWN, errno.EHOSTUNREACH}
_REMOTE = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "urllib3", "requests")
_OTHERS_BYTES = 2 << 30  # CUDA itself takes less of a GPU for a process

_told = threading.Event()  # set by SIGTERM, which a process gets before its spot machine is taken back


class Stopped(RuntimeError):
    """The trial was asked to stop; what it has done is saved."""


class StoppedEarly(RuntimeError):
    """The trial cannot win: others are better in utility and in privacy. What it has done is saved."""


class Lost(RuntimeError):
    """This attempt ended for a reason that may not end the next one: the trial is to be started again."""


def heed_sigterm() -> None:
    """Installs the signal handler by which SIGTERM lets the trial of this process save first. For the main thread."""
    signal.signal(signal.SIGTERM, _on_sigterm)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    _told.set()


class Stop:
    """Says whether a trial is to stop: its process got SIGTERM (`going`), or the file `marker` is in the storage, or that of
    `heed`, so that it is to be skipped (`skipped`).

    A call costs nothing: a thread looks for the files every `every` seconds, by default 1 on a directory and 5 on an object
    store, where each look is a request.
    """

    def __init__(self, files: Files, marker: str, every: float | None = None) -> None:
        self._files, self._marker, self._skip = files, marker, ""
        self._every = every or (1.0 if files.directory is not None else 5.0)
        self._asked, self._skipped, self._left = threading.Event(), threading.Event(), threading.Event()

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

    @property
    def skipped(self) -> bool:
        """Whether this trial alone is to stop, and the others go on."""
        return self._skipped.is_set() and not self._asked.is_set()

    def heed(self, marker: str) -> None:
        """Looks for another file, which tells this trial alone to stop."""
        self._skip = marker
        self._look()

    def __call__(self) -> bool:
        return self._asked.is_set() or self._skipped.is_set() or _told.is_set()

    def _watch(self) -> None:
        while not self._left.wait(self._every) and not self._asked.is_set():
            self._look()

    def _look(self) -> None:
        with contextlib.suppress(Exception):  # a storage that is away does not ask to stop
            if self._files.exists(self._marker):
                self._asked.set()
            if self._skip and self._files.exists(self._skip):
                self._skipped.set()


class Attempts:
    """Counts in the storage how many workers of a trial were lost one after another."""

    def __init__(self, files: Files, path: str) -> None:
        self._files, self._path = files, path
        self._begun = False

    def begin(self) -> int:
        """Counts this attempt as lost until `got_on` is called; returns how many were lost before it."""
        lost = int(self._files.read(self._path) or b"0")
        self._files.replace(self._path, str(lost + 1).encode())
        self._begun = True
        later = threading.Timer(LONG_SECONDS, self._has_lasted)
        later.daemon = True
        later.start()
        return lost

    def got_on(self) -> None:
        """Resets the count: this attempt has saved some work, or has ended by itself."""
        if self._begun:
            self._begun = False
            self._files.remove(self._path)

    def _has_lasted(self) -> None:
        with contextlib.suppress(Exception):  # a storage that is away: the next epoch counts
            self.got_on()


def storage_is_away(error: BaseException) -> bool:
    """Whether an error means that the storage is full or cannot be reached now, rather than that the request was wrong."""
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
    """Returns `compute()`; calls it again and again while the storage is away. It goes on from what it has saved.

    `got_on()` says whether something was done since it was last asked: then patience begins anew. Raises Lost when patience
    has run out, and Stopped when `stop()` says so between two calls.
    """

    def is_worth_waiting(state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome is not None else None
        if error is None or not storage_is_away(error):
            return False
        if got_on():
            state.attempt_number, state.start_time = 1, time.monotonic()
        return True

    def sleep(seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if stop():
                raise Stopped("stopped while the storage is away")
            time.sleep(min(0.5, seconds))

    first, longest = _PAUSES
    retrying = Retrying(
        retry=is_worth_waiting,
        wait=wait_exponential(multiplier=first, max=longest),
        stop=stop_after_delay(STORAGE_PATIENCE_SECONDS),
        before_sleep=before_sleep_log(log, logging.WARNING),
        sleep=sleep,
    )
    try:
        return retrying(compute)
    except RetryError as error:
        away = error.last_attempt.exception()
        raise Lost(f"the storage is away ({away})") from away
