"""The signals that ask a process to end: SIGTERM, SIGINT (Ctrl-C) and SIGHUP (its terminal is gone, as when ssh is lost)."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable, Iterator
from types import FrameType

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextlib.contextmanager
def heeding(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Calls `handler` for each of ENDING that comes meanwhile. Those that are ignored, as by `nohup`, stay so."""
    before = {number: signal.getsignal(number) for number in ENDING}
    for number, had in before.items():
        if had != signal.SIG_IGN:
            signal.signal(number, handler)
    try:
        yield
    finally:
        for number, had in before.items():
            signal.signal(number, had)


def interrupt(number: int, frame: FrameType | None = None) -> None:
    """A handler that ends whatever is going on as Ctrl-C does."""
    leave_terminal(number)
    raise KeyboardInterrupt


def leave_terminal(number: int) -> None:
    """After SIGHUP: lets what is still printed go nowhere, instead of failing because the terminal is gone."""
    if number != signal.SIGHUP:
        return
    for output in (1, 2):
        if stat.S_ISCHR(os.fstat(output).st_mode):
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), output)
