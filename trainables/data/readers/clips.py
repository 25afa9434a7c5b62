"""A data set of one's own in one file, `clips.csv`, which `python -m trainables.data init` makes:

    path,label,split[,group][,start,end][,attribute,...]

one row a clip. `path` is a video, or a folder of frames, below the root. `label` is its class, `split` train, validation or
test (without validation rows, validation is cut from the training clips). `group` names its person or source; without it
every file is its own. `start` and `end` are seconds: several rows may show stretches of one file. Every other column is a
private attribute: 0 and 1, or words, which become one attribute a word (`hair:brown`; a column of two words becomes one
attribute, the rarer word).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from trainables.config import ActionData
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.readers.common import (
    DataNotThereError,
    ListEntry,
    find_groups,
    read_table,
    refuse,
    refuse_attributes,
    refuse_spellings,
    refuse_unknown,
    refuse_unusable,
)
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation

FILE = "clips.csv"
SPLITS = ("train", "validation", "test")
COLUMNS = ("path", "label", "split", "group", "start", "end")


@dataclass(frozen=True)
class ClipRow:
    """One clip of the file; `others` are the values of its further columns."""

    path: str
    label: str
    split: str
    group: str
    span: tuple[float, float | None] | None
    others: dict[str, str] = field(default_factory=dict)
    where: str = ""

    @property
    def name(self) -> str:
        if self.span is None:
            return self.path
        start, end = self.span
        return f"{self.path}@{start:g}-{'' if end is None else f'{end:g}'}"


@VIDEO_SETS.register("clips")
def clips(config: ActionData, root: Path) -> VideoSplits:
    """The clips of `clips.csv`."""
    path = root / FILE
    if not path.is_file():
        raise DataNotThereError(f"{root}: no {FILE}; python -m trainables.data init {root} makes it")
    rows = read_clips(path)
    refuse([f"{r.where}: split {r.split!r}" for r in rows if r.split not in SPLITS], f"write {', '.join(SPLITS)}")
    refuse_rows(rows, path)
    files = {row.path: row.where for row in reversed(rows)}
    paths = refuse_unusable(root, [ListEntry(name, where) for name, where in files.items()])
    attributes, values = attributes_of(rows, path)
    if attributes and config.attributes is not None:
        refuse_unknown(config.attributes, attributes, str(path))
        columns = [attributes.index(name) for name in config.attributes]
        attributes, values = config.attributes, [tuple(row[column] for column in columns) for row in values]
    elif not attributes:
        refuse_attributes(config.attributes, config.name)
    found = find_groups(config.group_pattern, [ListEntry(row.path, row.where) for row in rows])
    classes = tuple(sorted({row.label for row in rows}))
    parts: dict[str, list[Video]] = {split: [] for split in SPLITS}
    for row, own, labels in zip(rows, found, values, strict=True):
        group = own if config.group_pattern else row.group or own
        video = Video(row.name, paths[row.path], classes.index(row.label), group, labels or None, row.span)
        parts[row.split].append(video)
    train, validation, test = (tuple(parts[split]) for split in SPLITS)
    splits = VideoSplits(config.name, classes, attributes, train, validation, test)
    return hold_out_validation(splits, config.validation_fraction)


def refuse_rows(rows: Sequence[ClipRow], source: Path) -> None:
    """Raises DataError for clips without a label or listed twice, and for names in two spellings."""
    refuse([f"{row.where}: no label" for row in rows if not row.label], "give every clip its class")
    refuse_spellings("column 'label'", [row.label for row in rows], source)
    refuse_spellings("column 'group'", [row.group for row in rows if row.group != row.path], source)
    names = Counter(row.name for row in rows)
    refuse([f"{source}: {name!r} is listed {n} times" for name, n in names.items() if n > 1], "list each clip once")


def read_clips(path: Path, aliases: Mapping[str, Sequence[str]] | None = None) -> list[ClipRow]:
    """The rows of a CSV with the columns `path` and `label`, and any of the others. Raises DataError for anything else.

    `aliases`: other names of these columns. A table of Kinetics (`youtube_id`) is one too: the id is the file and the source.
    """
    rows = read_table(path)
    given = rows[0][1] if rows else []
    header = _renamed(given, aliases or {})
    if not {"path", "label"} <= set(header) or len(set(header)) < len(header) or "" in header:
        raise DataError(f"{path}:1: the header is {','.join(given)!r}; write path,label,split and one name per further column")
    refuse(
        [f"{path}:{line}: {len(row)} values under {len(header)} columns" for line, row in rows[1:] if len(row) != len(header)],
        "give every row one value per column",
    )
    return [_row(dict(zip(header, row, strict=True)), f"{path}:{line}") for line, row in rows[1:]]


def _renamed(header: list[str], aliases: Mapping[str, Sequence[str]]) -> list[str]:
    lower = [name.lower() for name in header]
    if aliases and "youtube_id" in lower and "path" not in lower:
        header = ["path" if name == "youtube_id" else own for name, own in zip(lower, header, strict=True)]
    for column, others in aliases.items():
        if column not in header:
            there = next((name for name in header if name.lower() in (column, *others)), None)
            header = [column if name == there else name for name in header]
    return header


def _row(values: dict[str, str], where: str) -> ClipRow:
    times = [_seconds(values.get(name, ""), where) for name in ("start", "end")]
    start, end = times[0] or 0.0, times[1]
    if end is not None and end <= start:
        raise DataError(f"{where}: the clip ends at {end:g} s and starts at {start:g} s; correct its times")
    others = {name: value for name, value in values.items() if name not in COLUMNS}
    span = None if times == [None, None] else (start, end)
    path = PurePosixPath(values["path"].replace("\\", "/")).as_posix()  # one name for a/b.avi and ./a//b.avi
    return ClipRow(path, values["label"], values.get("split", ""), values.get("group", ""), span, others, where)


def _seconds(text: str, where: str) -> float | None:
    """`12.5` or `1:02:03.5`; None for nothing."""
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(":")]
    except ValueError:
        parts = [-1.0]
    seconds = sum(part * 60**power for power, part in enumerate(reversed(parts)))
    if not math.isfinite(seconds) or min(parts) < 0:
        raise DataError(f"{where}: {text!r} is no time; write seconds, or hours:minutes:seconds")
    return seconds


def attributes_of(rows: Sequence[ClipRow], path: Path) -> tuple[tuple[str, ...], list[tuple[float, ...]]]:
    """The names of the private attributes, and their 0/1 values for every row. Raises DataError for a cell without a value."""
    names: list[str] = []
    values: list[list[float]] = []
    for column in rows[0].others if rows else ():
        cells = [row.others[column] for row in rows]
        refuse(
            [f"{row.where}: no value in column {column!r}" for row, cell in zip(rows, cells, strict=True) if not cell],
            "give every clip a value, or leave the column out",
        )
        if set(cells) <= {"0", "1"}:
            names.append(column)
            values.append([float(cell) for cell in cells])
            continue
        refuse_spellings(f"column {column!r}", cells, path)
        words = (
            sorted(set(cells), key=lambda word: (Counter(cells)[word], word)) if len(set(cells)) == 2 else sorted(set(cells))
        )
        for word in words[:1] if len(words) == 2 else words:
            names.append(f"{column}:{word}")
            values.append([float(cell == word) for cell in cells])
    return tuple(names), [tuple(column[number] for column in values) for number in range(len(rows))]
