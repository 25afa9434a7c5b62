"""Tables of the paper in one of three forms, printed or written to files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from analysis.paper.as_csv import as_csv
from analysis.paper.as_latex import as_latex
from analysis.paper.as_text import as_text
from analysis.paper.table import PaperTable
from analysis.read.store import AnalysisError

Format = Literal["text", "csv", "latex"]
SUFFIX: Mapping[Format, str] = {"text": "txt", "csv": "csv", "latex": "tex"}


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
