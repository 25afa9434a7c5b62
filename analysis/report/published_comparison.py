"""The section that sets the published numbers beside those of the study."""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis import text
from analysis.measure.settings import of
from analysis.paper import cells
from analysis.paper.published import Printed
from analysis.read.study import RecordedStudy
from analysis.read.trials import RAW
from analysis.report.page import Section, Table
from analysis.report.selection import MOST_NAMED


def section(study: RecordedStudy, blocks: Sequence[cells.Block]) -> Section | None:
    """The table and a note on it; None for a study with no setting that the paper prints."""
    found = table(blocks)
    return Section("Beside the published numbers", tables=[found], notes=[_note(study, blocks)]) if found else None


def table(blocks: Sequence[cells.Block]) -> Table | None:
    """The lines that the paper prints and this study ran, each against the raw line of its own protocol and evaluator."""
    pairs = [(block, line) for block in blocks for line in block.lines if cells.in_both(line)]
    if not pairs:
        return None
    columns, rows = ["setting"], [[_label(line)] for _, line in pairs]
    for metric, what, change in (("top1", "top-1", "top-1"), ("cmap", "cMAP", "leakage")):
        if any(metric in line.cells for _, line in pairs):
            columns += [f"{name}, {whose}" for name in (f"{what} %", f"{change} against raw") for whose in ("paper", "here")]
            for row, (block, line) in zip(rows, pairs, strict=True):
                row.extend(_beside(metric, block, line))
    caption = f"Table {pairs[0][0].table} of the paper beside this study. The paper states neither seeds nor intervals."
    return Table(caption, columns, rows)


def _label(line: cells.Line) -> str:
    return line.name if line.ours is None else str(line.ours["label"])


def _beside(metric: str, block: cells.Block, line: cells.Line) -> list[str]:
    """Four cells: the figure in print and here, and its change against raw in print and here; of cMAP, that of leakage."""
    cell = line.cells.get(metric)
    if cell is None or line.ours is None or (cell.printed is None and not cell.ours.n):
        return [text.DASH] * 4
    name = metric if metric == "top1" else "clip_leakage" if block.protocol.privacy_metric == "clip_cmap" else "leakage"
    theirs = text.DASH if cell.printed is None else text.number(100 * cell.printed.value)
    here = text.mean(cell.ours)
    if metric == "cmap":
        chance = block.chance_of_paper
        theirs += (
            "" if cell.printed is None else f" (prevalence {'not known' if chance is None else text.number(100 * chance)})"
        )
        here += f" (chance {text.number(100 * cell.chance.mean)})" if cell.chance.n else ""
    if line.row.method == RAW:
        return [theirs, here, "baseline", "baseline"]
    raw = next((other.cells[metric].printed for other in block.lines if other.row.method == RAW), None)
    printed, raw_printed = _compared(cell.printed), _compared(raw)
    if cell.printed and raw and cell.printed.classifier.is_other_than(raw.classifier):
        raw_printed = math.nan  # other networks evaluated it: the difference is no change
    change = text.number(100 * (printed - raw_printed), signed=True)
    return [theirs, here, change, text.mean(of(line.ours, f"change_{name}"), signed=True)]


def _compared(printed: Printed | None) -> float:
    """The figure whose change is printed, for cMAP the leakage above chance; NaN where it is not printed."""
    found = None if printed is None else printed.leakage if printed.metric == "cmap" else printed.value
    return math.nan if found is None else found


def _note(study: RecordedStudy, blocks: Sequence[cells.Block]) -> str:
    """Which of the paper's figures are computed or doubtful, and in what the study differs, each said once."""
    lines = [line for block in blocks for line in block.lines if cells.in_both(line)]
    notes = ["Leakage of the paper is computed from its cMAP and the prevalence in its test data, which it does not print."]
    if study.profile != "paper":
        notes.insert(
            0,
            "Other data, other networks: the paper trains I3D and ResNet-50 on real video and photographs,"
            f" this study has profile {study.profile}. Only the direction of a change may be compared, never its size.",
        )
    labels_by_remark: dict[str, list[str]] = {}
    for line in lines:
        shown = [cell for cell in line.cells.values() if cell.difference is not None]
        for remark in dict.fromkeys(remark for cell in shown for remark in (*cell.differs, *cell.notes)):
            labels_by_remark.setdefault(remark, []).append(_label(line))
    for remark, labels in labels_by_remark.items():
        notes.append(f"{'Everywhere' if len(labels) == len(lines) else text.listed(labels, MOST_NAMED)}: {remark}.")
    return " ".join(notes)
