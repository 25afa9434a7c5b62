"""How far a command is: a bar or a line at the bottom of a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def bar(name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields what is called with the number of frames done since the last call. total: 0 where it is not known."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task(name, total=total or None)
        yield lambda count: shown.advance(task, count)


@contextmanager
def line(say: Callable[[str], None], every: float = 60.0) -> Iterator[Callable[[str], None]]:
    """Yields what shows a line in place of the one before; where there is no terminal, says one in `every` seconds."""
    if sys.stdout.isatty() and sys.stderr.isatty():
        with Console(stderr=True).status("") as status:
            yield status.update
        return
    last = time.monotonic()

    def log(shown: str) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            say(shown)

    yield log
