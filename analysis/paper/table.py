"""One table of the paper with our numbers beside the printed ones: read from the store, and what of it is not run."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.measure.settings import settings_table
from analysis.paper.cells import ROLE_OF, SYMBOL, Block, Cell, Line, blocks_of, spaces_of
from analysis.paper.published import TABLES, Role
from analysis.read.artifacts import StageSeconds, stage_seconds
from analysis.read.store import AnalysisError, shown_uri
from analysis.read.study import RecordedStudy, list_studies, read_study
from analysis.read.trials import REPLACED

METRIC_NAMES = {"top1": "top-1 %", "cmap": "cMAP %", "f1": "macro F1"}


@dataclass(frozen=True)
class PaperTable:
    """One table of the paper. `unfinished`: runs without a usable result, a line each."""

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

    @property
    def cells(self) -> Iterator[Cell]:
        return (cell for block in self.blocks for line in block.lines for cell in line.cells.values())


def table_numbers(text: str) -> list[int]:
    """The table numbers of `3` or `all`. Raises AnalysisError for a table that the paper lacks, or that has no numbers."""
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
    rows = study.unfinished[~study.unfinished["state"].isin(REPLACED)]
    return [f"{study.space}: {row['name']} ({row['state']}: {row['reason']})" for _, row in rows.iterrows()]


def total_seconds(tables: Iterable[PaperTable]) -> StageSeconds:
    """Stage-seconds of all tables; a space belongs to one table at most, so that no run counts twice."""
    return sum((table.seconds for table in tables), StageSeconds())


def not_run(table: PaperTable) -> list[str]:
    """The cells that were not run, a line per block; a block of which nothing was run is named as a whole."""
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


def commands(table: PaperTable) -> list[str]:
    """The commands that run what is missing. Cells that the profile lacks, such as large backbones, need profile `paper`."""
    lacking = dict.fromkeys(
        (block.space, (table.profile or "PROFILE") if line.planned else "paper")
        for block in table.blocks
        for line in block.lines
        if line.lacking
    )
    return [f"python study/run.py --space {space} --profile {profile} --seeds 3 ..." for space, profile in lacking]


def role_of(block: Block) -> Role:
    """The branch that the first metric of a block belongs to."""
    return ROLE_OF[block.metrics[0]]


def _whole(block: Block, line: Line) -> bool:
    return set(line.lacking) == set(block.metrics)


def _heading(block: Block) -> str:
    return block.protocol.name + (f", {SYMBOL[role_of(block)]} {block.classifier.text}" if block.classifier else "")


def _names(metrics: Iterable[str]) -> str:
    return ", ".join(METRIC_NAMES[metric].removesuffix(" %") for metric in metrics)
