"""Tables of the paper as tidy CSV: a row per cell."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator

from analysis.measure.settings import of
from analysis.paper.cells import Block, Line, approximate, measured_on
from analysis.paper.published import Printed
from analysis.paper.table import PaperTable
from trainables.statistics import Estimate

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
            "judge_here": cell.classifier.text if cell.ours.n else "",
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
            "judge_here": cmap.classifier.text,
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
