"""Inputs as people have them, each with what happens: the list that the tests run and that a README shows as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

REFUSED = "refused: "


@dataclass(frozen=True)
class Input:
    """`what` and `happens` are a row of the table. `try_it` makes the input in an empty folder, uses it, and returns `happens`.

    Where `happens` begins with "refused: ", `try_it` has to raise an error in one line with the words that follow.
    """

    what: str
    happens: str
    try_it: Callable[[Path], str]

    @property
    def row(self) -> str:
        return f"| {self.what} | {self.happens} |"


def check(entry: Input, folder: Path, error: type[Exception]) -> None:
    """Tries an input in an empty folder. error: what it raises where it is refused, in one line that names a file."""
    if not entry.happens.startswith(REFUSED):
        assert entry.try_it(folder) == entry.happens
        return
    with pytest.raises(error) as raised:
        entry.try_it(folder)
    assert entry.happens.removeprefix(REFUSED) in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(folder) in str(raised.value), "it names the file"


def table(inputs: Sequence[Input]) -> str:
    return "\n".join(["| input | what happens |", "|---|---|", *(entry.row for entry in inputs)])


def in_readme(text: str, name: str, inputs: Sequence[Input]) -> str:
    """`text` with the table `name` between its two marks made anew."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"no marks of {name}")
    return f"{before}{begin}{table(inputs)}\n{end}{after}"


def with_tables(text: str, lists: Mapping[str, Sequence[Input]]) -> str:
    """A README with the table of each list made anew."""
    for name, inputs in lists.items():
        text = in_readme(text, name, inputs)
    return text
