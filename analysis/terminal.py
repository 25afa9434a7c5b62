"""Tables for a terminal. Where the output goes to a file or a pipe, lines are whole and plain, so that a program reads them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

_UNLIMITED = 100_000  # columns of an output that is no terminal


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, right: Iterable[int] = ()) -> str:
    """Rows of texts under the names of their columns, aligned; `right` holds the columns to align at the right.

    On a terminal long cells are wrapped to its width and the heads are bold; elsewhere each row is one line.
    """
    numbers = set(right)
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False)
    for place, name in enumerate(columns):
        made.add_column(Text(name), justify="right" if place in numbers else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    console = Console(file=sys.stdout, markup=False, highlight=False)
    if not console.is_terminal:
        console = Console(file=sys.stdout, markup=False, highlight=False, no_color=True, width=_UNLIMITED)
    with console.capture() as captured:
        console.print(made, crop=False)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())
