"""A study in a terminal: a table of the trials that run, kept up to date, below the lines that say what has happened."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trainables.trial import TrialState

_EVERY = 1.0  # seconds between two looks
_ROOM_FOR_FIGURES = 90  # columns of a terminal
_LEAST = 18  # columns of what is cut where a terminal is narrow
_GAP = 2  # columns between two
_AROUND = 6  # lines of a terminal that are not for trials


@dataclass(frozen=True)
class View:
    """What is shown: seconds so far and to go (None: nobody knows yet), trials ended, failed, and in all, and those that run,
    by name, with the seconds since each began.
    """

    elapsed: float
    left: float | None
    ended: int
    failed: int
    total: int
    running: Mapping[str, tuple[TrialState, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Column:
    name: str
    cells: list[str]
    right: bool = False
    shrinks: bool = False

    @property
    def width(self) -> int:
        return max(map(len, (self.name, *self.cells)))


def duration(seconds: float) -> str:
    """`04:31`, or `2:04:31` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"


def stage_of(state: TrialState) -> str:
    """`minimax 3/5`, the stage and its epoch; `starting` before the first."""
    return f"{state.stage} {state.epoch}/{state.epochs}" if state.stage else "starting"


def counts_of(view: View) -> str:
    """How many trials ended and run, of how many, and the time to go, in a line."""
    failed = f" ({view.failed} failed)" if view.failed else ""
    left = "" if view.left is None else f", about {duration(view.left)} to go"
    return f"{view.ended} ended{failed}, {len(view.running)} running, of {view.total}{left}"


def drawn(view: View, width: int, height: int) -> RenderableType:
    """The view for a terminal of so many columns and lines; figures are left out where it is narrow."""
    head = Text(f"{duration(view.elapsed)}  {counts_of(view)}", style="bold", no_wrap=True, overflow="ellipsis")
    if not view.running:
        return Group(head, Text("nothing runs yet: no node has room for a trial, or workers start"))
    wide = width >= _ROOM_FOR_FIGURES
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="dim")
    shown = list(view.running.items())[: max(1, height - _AROUND)]
    columns = [_Column("trial", [name for name, _ in shown], shrinks=True)]
    columns.append(_Column("stage", [state.stage or "starting" for _, (state, _) in shown]))
    columns.append(_Column("epoch", [f"{state.epoch}/{state.epochs}" if state.epochs else "" for _, (state, _) in shown], True))
    columns.append(_Column("done", [f"{state.progress:.0%}" for _, (state, _) in shown], True))
    columns.append(_Column("since", [duration(since) for _, (_, since) in shown], True))
    if wide:
        columns.append(_Column("last epoch", [_figures(state.figures) for _, (state, _) in shown], shrinks=True))
    room = width - sum(column.width + _GAP for column in columns if not column.shrinks)
    for column in columns:
        others = (_LEAST + _GAP) * sum(other.shrinks for other in columns[columns.index(column) + 1 :])
        wanted = max(1, min(column.width, room - others - _GAP)) if column.shrinks else column.width
        room -= wanted + _GAP if column.shrinks else 0
        justify: JustifyMethod = "right" if column.right else "left"
        table.add_column(column.name, justify=justify, no_wrap=True, overflow="ellipsis", width=wanted)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*map(Text, row))
    more = len(view.running) - len(shown)
    return Group(head, table, *([Text(f"and {more} more that run")] if more else []))


def _figures(figures: Mapping[str, float]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in figures.items())


class Display:
    """Shows events and views on standard output: a live table in a terminal, otherwise only the lines it is told to say."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._live: Live | None = None
        self._shown = 0.0

    @property
    def live(self) -> bool:
        """Whether there is a terminal to show a table in."""
        return self._console.is_terminal and not self._console.is_dumb_terminal

    def say(self, lines: Iterable[str]) -> None:
        """Prints what has happened, above the table."""
        for line in lines:
            if self._live is None:
                print(line, flush=True)
            else:
                self._console.print(line, soft_wrap=True)

    def show(self, view: View) -> None:
        """Brings the table up to date, at most once a second; the first call begins it."""
        if not self.live or time.monotonic() - self._shown < _EVERY:
            return
        self._shown = time.monotonic()
        width, height = self._console.size
        if self._live is None:
            self._live = Live(console=self._console, auto_refresh=False, transient=True, redirect_stderr=False)
            self._live.start()
        self._live.update(drawn(view, width, height), refresh=True)

    def close(self) -> None:
        """Takes the table away, and leaves the lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            sys.stdout.flush()
