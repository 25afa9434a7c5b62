"""What the forms of a table share: its columns, the texts of its cells, footnotes and remarks."""

from __future__ import annotations

import itertools
import string
from collections.abc import Iterable, Sequence

from analysis.paper.cells import Block, Cell, Line, approximate, measured_on
from analysis.paper.published import CHANCE_CMAP
from analysis.paper.table import METRIC_NAMES, PaperTable, commands, not_run
from analysis.read.artifacts import StageSeconds
from analysis.text import mean, n_range, number, percent


class Footnotes:
    """Letters for footnotes, in the order in which they come up."""

    def __init__(self) -> None:
        self.letters: dict[str, str] = {}
        self._fresh = ("".join(word) for size in (1, 2) for word in itertools.product(string.ascii_lowercase, repeat=size))

    def of(self, texts: Iterable[str]) -> str:
        found = []
        for text in dict.fromkeys(texts):
            if text not in self.letters:
                self.letters[text] = next(self._fresh)
            found.append(self.letters[text])
        return ",".join(sorted(found, key=lambda letter: (len(letter), letter)))


def common_differences(table: PaperTable) -> list[str]:
    """The differences that all cells of ours share; remarks name them once instead of footnotes on every line."""
    sets = [set(cell.differs) for cell in table.cells if cell.ours.n]
    first = next((cell.differs for cell in table.cells if cell.ours.n), ())
    return [text for text in first if all(text in others for others in sets)]


def column_groups(block: Block) -> list[tuple[str, list[str]]]:
    """One group of columns per metric: its title with the data it is measured on, and the heads of its columns."""
    groups = []
    for metric in block.metrics:
        data = measured_on(block.protocol, metric)
        heads = ["here", "paper", "diff."] + (["chance"] if metric != "f1" else [])
        groups.append((f"{METRIC_NAMES[metric]}, {data}", heads))
    return groups


def line_cells(line: Line) -> list[list[str]]:
    """The texts of a line, a list per metric."""
    return [_cell_texts(cell) for cell in line.cells.values()]


def _cell_texts(cell: Cell) -> list[str]:
    """Ours, the paper's, their difference and, but for F1, our chance level; empty where there is none."""
    share, digits, printed_digits = (False, 3, 3) if cell.metric == "f1" else (True, 1, 2)
    scale = 100 if share else 1
    found = [
        mean(cell.ours, share=share, digits=digits, count=False) if cell.ours.n else "",
        number(cell.printed.value * scale, printed_digits) if cell.printed else "",
        "" if cell.difference is None else number(cell.difference * scale, digits, signed=True),
    ]
    return [*found, number(cell.chance.mean * scale, digits) if cell.chance.n else ""] if share else found


def seeds_of(line: Line) -> str:
    """The number of seeds of a line, or its range over the cells."""
    return n_range((cell.ours.n for cell in line.cells.values() if cell.ours.n), to="-")


def footnotes_of(line: Line, everywhere: Sequence[str], marks: Footnotes) -> str:
    texts = [text for cell in line.cells.values() for text in (*cell.differs, *cell.notes) if text not in everywhere]
    return marks.of(texts + [f"{line.row.method}: {approximate(line.row.method)}"] * bool(approximate(line.row.method)))


def chance_line(block: Block) -> str:
    if "cmap" not in block.metrics:
        return ""
    data = measured_on(block.protocol, "cmap")
    chance = CHANCE_CMAP.get(data)
    return f"prevalence in the paper's {data}, of which its leakage is computed: " + (
        "not known" if chance is None else f"{100 * chance:.1f} %"
    )


def remarks(table: PaperTable) -> list[str]:
    """The lines below a table, without the footnotes."""
    counts = n_range(cell.ours.n for cell in table.cells if cell.ours.n)
    n = f"n = {counts} seeds" if counts else "no cell was run"
    found = [
        f"here: mean over seeds ± half of the 95 % t interval, none where n = 1; {n}. The paper states neither.",
        "diff.: here minus paper. chance: what a guesser is expected to have on ours. Empty: not run, or not printed.",
    ]
    everywhere = common_differences(table)
    if everywhere:
        found += [f"differs in every cell: {text}" for text in everywhere]
        if table.profile != "paper":
            found.append("On other data and networks only the direction of a change may be compared, never its size.")
    lacking = not_run(table)
    found += [f"not run: {text}" for text in lacking] or ["not run: nothing, every cell is there"]
    found += [f"to run: {text}" for text in commands(table)]
    found += [f"without a usable result: {text}" for text in table.unfinished]
    return [*found, stage_seconds_line(table.seconds)]


def stage_seconds_line(total: StageSeconds) -> str:
    """What sharing stages between trials saved, as one line."""
    if not total.known:
        return "stage-seconds: not recorded" if total.runs else "stage-seconds: none, nothing was run"
    share = f" ({percent(total.computed / total.whole, 0, space=' ')})" if total.whole else ""
    lacking = f"; not recorded for {total.runs - total.known} of {total.runs} runs" if total.known < total.runs else ""
    return (
        f"stage-seconds: computed {total.computed:,.0f} of {total.whole:,.0f}{share} that one full pipeline per cell"
        f" would take{lacking}"
    )
