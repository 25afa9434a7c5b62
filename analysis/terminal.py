"""What a command prints, through rich. In a file or a pipe each line comes out whole and plain, for a log or `grep`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_UNLIMITED = 10_000  # columns of an output that is no terminal


def table_text(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = ()) -> str:
    """A table without borders, one row a line; the columns named in `right` are aligned there. A terminal wraps long cells."""
    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", overflow="fold", no_wrap=not terminal)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if terminal else _UNLIMITED, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), indent: int = 0) -> None:
    """Prints a table of `table_text`, each line indented."""
    for line in table_text(columns, rows, right).splitlines():
        print(f"{' ' * indent}{line}")


def show_error(message: str) -> None:
    """Prints one line on standard error that begins with `error: `, in red on a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print("error: ", style="bold red", end="")
    console.print(message)
