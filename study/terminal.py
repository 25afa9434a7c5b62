"""What a study says on a terminal, through rich. Elsewhere each line comes out whole and plain, for a log or `grep`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_UNWRAPPED = 10_000  # columns of what is no terminal


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[str] = (), indent: int = 0) -> None:
    """Prints a table without borders. The columns named in `right` are aligned there."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else _UNWRAPPED, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        console.print(table)
    for line in captured.get().splitlines():
        print(f"{' ' * indent}{line}".rstrip())


def show_error(message: str) -> None:
    """Prints one line on standard error that begins with `error: `, in red on a terminal."""
    console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print("error: ", style="bold red", end="")
    console.print(message)
