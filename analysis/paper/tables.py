"""The paper's tables with our numbers beside the printed ones: as text, as tidy CSV, as LaTeX."""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from analysis.measure.settings import of, settings_table
from analysis.paper.cells import ROLE_OF, SYMBOL, Block, Cell, Line, approximate, blocks_of, measured_on, spaces_of
from analysis.paper.published import CHANCE_CMAP, TABLES, Printed
from analysis.read.artifacts import StageSeconds, stage_seconds
from analysis.read.store import AnalysisError, shown_uri
from analysis.read.study import RecordedStudy, list_studies, read_study
from trainables.statistics import Estimate

Format = Literal["text", "csv", "latex"]
SUFFIX: Mapping[Format, str] = {"text": "txt", "csv": "csv", "latex": "tex"}

_NAMES = {"top1": "top-1 %", "cmap": "cMAP %", "f1": "macro F1"}
_WIDTH = 128
CSV_COLUMNS = (
    "table",
    "space",
    "profile",
    "protocol",
    "setting",
    "method",
    "approximate",
    "B",
    "penalty_weight",
    "trained_on",
    "evaluated_on",
    "metric",
    "here",
    "half_width",
    "n",
    "paper",
    "difference",
    "chance_here",
    "chance_paper",
    "judge_here",
    "judge_paper",
    "differs",
    "notes",
)


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper: its blocks, and what the store holds for it."""

    number: int
    profile: str | None
    store: str
    spaces: tuple[str, ...]
    blocks: tuple[Block, ...]
    unfinished: tuple[str, ...]
    seconds: StageSeconds

    @property
    def title(self) -> str:
        return f"Table {self.number}: {TABLES[self.number]}"


def table_numbers(text: str) -> list[int]:
    """`3` -> 3, `all` -> every table. Raises AnalysisError for a table that the paper does not have, or not with numbers."""
    if text == "all":
        return list(TABLES)
    if text not in map(str, TABLES):
        raise AnalysisError(f"no table {text!r}; give one of {', '.join(map(str, TABLES))} or all")
    return [int(text)]


def read_tables(numbers: Sequence[int], profile: str | None, tracking_uri: str | None) -> list[PaperTable]:
    """Reads the studies of every space that makes one of the tables.

    `profile` None stands for the only one they were run with. A table without a study has empty cells. Raises
    AnalysisError when the store cannot be read or the profile is ambiguous.
    """
    there = list_studies(tracking_uri)
    spaces = {number: spaces_of(number) for number in numbers}
    profiles = sorted({found for group in spaces.values() for name in group for found in there.get(name, [])})
    if profile is None and len(profiles) > 1:
        raise AnalysisError(
            f"the studies of these tables have several profiles; give --profile as one of {', '.join(profiles)}"
        )
    chosen = profile or next(iter(profiles), None)
    return [_read_table(number, chosen, tracking_uri, there) for number in numbers]


def _read_table(number: int, profile: str | None, uri: str | None, there: Mapping[str, Sequence[str]]) -> PaperTable:
    blocks: list[Block] = []
    unfinished: list[str] = []
    seconds = StageSeconds()
    for name, space in spaces_of(number).items():
        settings = settings_table(pd.DataFrame(columns=["setting"]))
        if profile is not None and profile in there.get(name, []):
            study = read_study(name, profile, uri)
            settings = settings_table(study.trials)
            unfinished += _without_result(study)
            seconds += stage_seconds(study)
        blocks += blocks_of(number, name, space, profile, settings)
    store = shown_uri(uri or os.environ.get("MLFLOW_TRACKING_URI", ""))
    return PaperTable(number, profile, store, tuple(spaces_of(number)), tuple(blocks), tuple(unfinished), seconds)


def _without_result(study: RecordedStudy) -> list[str]:
    rows = study.unfinished[study.unfinished["state"] != "superseded"]
    return [f"{study.space}: {row['name']} ({row['state']}: {row['reason']})" for _, row in rows.iterrows()]


def not_run(table: PaperTable) -> list[str]:
    """Cells without a number of ours, printed or planned, named block by block; a block without any is said as a whole."""
    found = []
    for block in table.blocks:
        for planned in (True, False):
            lacking = [line for line in block.lines if line.lacking and line.planned == planned]
            if lacking:
                whole = len(lacking) == len(block.lines) and all(_whole(block, line) for line in lacking)
                names = [line.name if _whole(block, line) else f"{line.name} ({_names(line.lacking)})" for line in lacking]
                said = "every cell" if whole else ", ".join(names)
                found.append(f"{_heading(block)}: {said}" + ("" if planned else f" (not in profile {table.profile})"))
    return found


def _whole(block: Block, line: Line) -> bool:
    return set(line.lacking) == set(block.metrics)


def _heading(block: Block) -> str:
    return block.protocol.name + (f", {SYMBOL[_role(block)]} {block.judge.text}" if block.judge else "")


def _role(block: Block) -> Literal["action", "privacy"]:
    return ROLE_OF[block.metrics[0]]


def _names(metrics: Iterable[str]) -> str:
    return ", ".join(_NAMES[metric].removesuffix(" %") for metric in metrics)


def commands(table: PaperTable) -> list[str]:
    """How to run what is missing. Cells that the profile does not have, such as large backbones, are the paper profile's."""
    lacking = dict.fromkeys(
        (block.space, (table.profile or "PROFILE") if line.planned else "paper")
        for block in table.blocks
        for line in block.lines
        if line.lacking
    )
    return [f"python study/run.py --space {space} --profile {profile} --seeds 3 ..." for space, profile in lacking]


# Text and LaTeX share what a line says; only the setting of it differs.


class Marks:
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


def _everywhere(table: PaperTable) -> list[str]:
    """The differences that all cells of ours have: said once, not on every line."""
    sets = [set(cell.differs) for cell in _cells(table) if cell.ours.n]
    first = next((cell.differs for cell in _cells(table) if cell.ours.n), ())
    return [text for text in first if all(text in others for others in sets)]


def _cells(table: PaperTable) -> Iterator[Cell]:
    return (cell for block in table.blocks for line in block.lines for cell in line.cells.values())


def _columns(block: Block) -> list[tuple[str, list[str]]]:
    """Groups of columns: the metric with the data it is measured on, and the heads of its columns."""
    groups = []
    for metric in block.metrics:
        data = measured_on(block.protocol, metric)
        heads = ["here", "paper", "diff."] + (["chance"] if metric != "f1" else [])
        groups.append((f"{_NAMES[metric]}, {data}", heads))
    return groups


def _line_cells(line: Line) -> list[list[str]]:
    return [_texts(cell) for cell in line.cells.values()]


def _texts(cell: Cell) -> list[str]:
    percent, digits = (False, 3) if cell.metric == "f1" else (True, 1)
    scale = 100 if percent else 1
    here = cell.ours.text(percent, digits=digits).removesuffix(" (n = 1)") if cell.ours.n else ""
    paper = f"{cell.printed.value * scale:.{3 if cell.metric == 'f1' else 2}f}" if cell.printed else ""  # as printed
    difference = "" if cell.difference is None else Estimate(cell.difference, 0.0, 1).text(percent, True, digits)
    found = [here, paper, difference.removesuffix(" (n = 1)")]
    return found if cell.metric == "f1" else [*found, f"{cell.chance.mean * scale:.{digits}f}" if cell.chance.n else ""]


def _n(line: Line) -> str:
    counts = sorted({cell.ours.n for cell in line.cells.values() if cell.ours.n})
    return "" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def _marks(line: Line, everywhere: Sequence[str], marks: Marks) -> str:
    texts = [text for cell in line.cells.values() for text in (*cell.differs, *cell.notes) if text not in everywhere]
    return marks.of(texts + [f"{line.row.method}: {approximate(line.row.method)}"] * bool(approximate(line.row.method)))


def _chance_line(block: Block) -> str:
    if "cmap" not in block.metrics:
        return ""
    data = measured_on(block.protocol, "cmap")
    chance = CHANCE_CMAP.get(data)
    return f"chance cMAP of the paper's {data}: " + ("not known" if chance is None else f"{100 * chance:.1f} %")


def _remarks(table: PaperTable) -> list[str]:
    """Everything below the lines of a table but the footnotes."""
    counts = sorted({cell.ours.n for cell in _cells(table) if cell.ours.n})
    n = "no cell was run" if not counts else f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " seeds"
    found = [
        f"here: mean over seeds ± half of the 95 % t interval, none where n = 1; {n}. The paper states neither.",
        "diff.: here minus paper. chance: what a random scorer gets on the data of ours. Empty: not run, or not printed.",
    ]
    everywhere = _everywhere(table)
    if everywhere:
        found += [f"differs in every cell: {text}" for text in everywhere]
        if table.profile != "paper":
            found.append("On other data and networks only the direction of a change may be compared, never its size.")
    lacking = not_run(table)
    found += [f"not run: {text}" for text in lacking] or ["not run: nothing, every cell is there"]
    found += [f"to run: {text}" for text in commands(table)]
    found += [f"without a usable result: {text}" for text in table.unfinished]
    return [*found, table.seconds.text()]


def as_text(table: PaperTable) -> str:
    """The table for a terminal of 130 columns."""
    marks, everywhere = Marks(), _everywhere(table)
    lines = [table.title, f"{f'profile {table.profile}' if table.profile else 'no study of its spaces'} in {table.store}"]
    rows = [(block, line, _line_cells(line), _marks(line, everywhere, marks)) for block in table.blocks for line in block.lines]
    name_width = max([len(line.name) for _, line, _, _ in rows] + [len("setting")])
    last: str | None = None
    for block in table.blocks:
        here = [row for row in rows if row[0] is block]
        if block.protocol.name != last:
            lines += ["", *_wrapped(f"{block.protocol.says} [{block.protocol.name}; space {block.space}]")]
            notes = (_chance_line(block), *(f"note: {note}" for note in block.protocol.notes))
            lines += [line for text in notes if text for line in _wrapped(text)]
            last = block.protocol.name
        if block.judge:
            lines += [
                "",
                f"{SYMBOL[_role(block)]} {block.judge.text}" + ("" if block.is_printed else ", which the paper has not"),
            ]
        lines += _text_block(block, [(line.name, cells, _n(line), letters) for _, line, cells, letters in here], name_width)
    lines.append("")
    for text in _remarks(table):
        lines += _wrapped(text)
    for text, letter in marks.letters.items():
        lines += _wrapped(f"{letter}: {text}")
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _text_block(block: Block, rows: Sequence[tuple[str, list[list[str]], str, str]], name_width: int) -> list[str]:
    groups = _columns(block)
    widths = [
        [max(len(head), *(len(cells[g][i]) for _, cells, _, _ in rows)) for i, head in enumerate(heads)]
        for g, (_, heads) in enumerate(groups)
    ]
    spans = [max(sum(width) + len(width) - 1, len(title)) for (title, _), width in zip(groups, widths, strict=True)]

    def line(name: str, parts: Iterable[str], n: str, letters: str) -> str:
        middle = " | ".join(part.ljust(span) for part, span in zip(parts, spans, strict=True))
        return f"{name.ljust(name_width)} | {middle} | {n:>3} {letters}"

    def joined(texts: Sequence[str], width: Sequence[int]) -> str:
        return " ".join(text.rjust(size) for text, size in zip(texts, width, strict=True))

    head = [
        line("", [title for title, _ in groups], "", ""),
        line("setting", [joined(heads, width) for (_, heads), width in zip(groups, widths, strict=True)], "n", "notes"),
    ]
    body = [
        line(name, [joined(texts, width) for texts, width in zip(cells, widths, strict=True)], n, letters)
        for name, cells, n, letters in rows
    ]
    return [*head, "-" * max(len(text.rstrip()) for text in (*head, *body)), *body]


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(word) > _WIDTH:
            lines.append("   " + word)
        else:
            lines[-1] += (" " if lines[-1] else "") + word
    return lines


def as_latex(table: PaperTable) -> str:
    """A `tabular` for each block, for the packages booktabs and inputenc; below them the notes as a list."""
    marks, everywhere = Marks(), _everywhere(table)
    parts = [f"% {table.title}; needs \\usepackage{{booktabs}}"]
    for block in table.blocks:
        groups = _columns(block)
        parts += [
            r"\begin{table}\footnotesize",
            rf"\caption{{{escaped(f'{table.title}. {block.protocol.says}')}"
            + (rf"; {escaped(f'{SYMBOL[_role(block)]} {block.judge.text}')}" if block.judge else "")
            + (rf". {escaped(_chance_line(block))}" if _chance_line(block) else "")
            + "}",
            rf"\begin{{tabular}}{{l{'r' * sum(len(heads) for _, heads in groups)}r}}",
            r"\toprule",
            "".join(rf" & \multicolumn{{{len(heads)}}}{{c}}{{{escaped(title)}}}" for title, heads in groups) + r" & \\",
            "setting" + "".join(f" & {escaped(head)}" for _, heads in groups for head in heads) + r" & $n$ \\",
            r"\midrule",
        ]
        for line in block.lines:
            letters = _marks(line, everywhere, marks)
            name = escaped(line.name) + (rf"\textsuperscript{{{letters}}}" if letters else "")
            cells = [escaped(text) for texts in _line_cells(line) for text in texts]
            parts.append(" & ".join([name, *cells, _n(line)]) + r" \\")
        parts += [r"\bottomrule", r"\end{tabular}", r"\end{table}", ""]
    notes = [f"{note}" for note in dict.fromkeys(note for block in table.blocks for note in block.protocol.notes)]
    items = [*_remarks(table), *notes, *(f"{letter}: {text}" for text, letter in marks.letters.items())]
    parts += [r"\begin{itemize}", *(rf"\item {escaped(text)}" for text in items), r"\end{itemize}", ""]
    return "\n".join(parts)


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    special = {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
    }
    special |= {char: f"\\{char}" for char in "&%$#_{}"}
    return "".join(special.get(char, char) for char in text)


def as_csv(tables: Iterable[PaperTable]) -> str:
    """One cell a row, F1 as a fraction and everything else in percent; after the paper's metrics those it has not.

    `leakage` stands beside what the printed cMAP amounts to; `clip_leakage` is measured on the action clips.
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables:
        for block in table.blocks:
            for line in block.lines:
                writer.writerows(_csv_rows(table, block, line))
    return out.getvalue()


def _csv_rows(table: PaperTable, block: Block, line: Line) -> Iterator[dict[str, object]]:
    shared = {
        "table": table.number,
        "space": block.space,
        "profile": table.profile or "",
        "protocol": block.protocol.name,
        "setting": line.name,
        "method": line.row.method,
        "approximate": approximate(line.row.method),
        "B": "" if line.row.budget is None else f"{line.row.budget:g}",
        "penalty_weight": "" if line.row.weight is None else f"{line.row.weight:g}",
    }
    for metric, cell in line.cells.items():
        scale = 1 if metric == "f1" else 100
        printed = cell.printed
        yield shared | {
            "trained_on": printed.trained_on if printed else block.protocol.trained_on,
            "evaluated_on": measured_on(block.protocol, metric),
            "metric": metric,
            **_csv_numbers(cell.ours, printed.value if printed else None, scale),
            "chance_here": _rounded(cell.chance.mean * scale) if cell.chance.n else "",
            "chance_paper": _rounded(block.chance_of_paper * scale) if metric == "cmap" and block.chance_of_paper else "",
            "judge_here": cell.judge.text if cell.ours.n else "",
            "judge_paper": printed.classifier.text if printed else "",
            "differs": " | ".join(cell.differs),
            "notes": " | ".join(cell.notes if printed else ("not printed", *cell.notes)),
        }
    cmap = line.cells.get("cmap")
    if cmap is None or line.ours is None:
        return
    leaks = "leakage" if block.protocol.privacy_metric == "cmap" else "clip_leakage"
    for metric in dict.fromkeys((leaks, "clip_leakage")):
        value = of(line.ours, metric)
        if value.n == 0:
            continue
        beside: Printed | None = cmap.printed if metric == leaks else None
        yield shared | {
            "trained_on": block.protocol.trained_on,
            "evaluated_on": measured_on(block.protocol, "cmap") if metric == leaks else "the action clips",
            "metric": metric,
            **_csv_numbers(value, beside.leakage if beside else None, 100),
            "chance_here": 0,
            "chance_paper": 0 if beside and beside.leakage is not None else "",
            "judge_here": cmap.judge.text,
            "judge_paper": beside.classifier.text if beside else "",
            "differs": " | ".join(cmap.differs),
            "notes": "computed from the printed cMAP and chance" if beside and beside.leakage is not None else "not printed",
        }


def _csv_numbers(ours: Estimate, paper: float | None, scale: int) -> dict[str, object]:
    return {
        "here": _rounded(ours.mean * scale) if ours.n else "",
        "half_width": _rounded(ours.half_width * scale) if ours.n > 1 else "",
        "n": ours.n,
        "paper": "" if paper is None else _rounded(paper * scale),
        "difference": "" if paper is None or not ours.n else _rounded((ours.mean - paper) * scale),
    }


def _rounded(value: float) -> float | str:
    return "" if math.isnan(value) else round(value, 4)


def total_seconds(tables: Iterable[PaperTable]) -> StageSeconds:
    """Over all tables; a space makes one table at most, so that no run counts twice."""
    return sum((table.seconds for table in tables), StageSeconds())


def rendered(tables: Sequence[PaperTable], form: Format) -> str:
    """Tables one below the other; as CSV with one head."""
    if form == "csv":
        return as_csv(tables)
    return "\n".join((as_text if form == "text" else as_latex)(table) for table in tables)


def write(tables: Sequence[PaperTable], form: Format, out: str | Path) -> list[Path]:
    """A file for each table. Raises AnalysisError when the directory cannot be written."""
    paths = []
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        for table in tables:
            paths.append((Path(out) / f"table{table.number}.{SUFFIX[form]}").absolute())
            paths[-1].write_text(rendered([table], form), encoding="utf-8")
    except OSError as error:
        raise AnalysisError(f"the tables cannot be written to {out} ({error.strerror or error}); give another --out") from None
    return paths
