"""What the readers share: finding folders, reading lists and label tables, and refusing what is wrong in them.

Problems of one kind are collected and raised together: the first in full, with file and line, and how many there are.
"""

from __future__ import annotations

import csv
import dataclasses
import difflib
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import scandir
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data import safe_pickle
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.readers.places import VIDEO_SUFFIXES, describe, find_folder, locate, spelled_alike


class DataNotThereError(DataError):
    """The data set is not under the root at all (against: it is there and cannot be used)."""


@dataclass(frozen=True)
class ListEntry:
    """One item of a list: its name inside the data set, and the file and line that names it."""

    name: str
    where: str


@dataclass(frozen=True)
class LabelTable:
    """0/1 labels by item name; `groups` names each item's source where the file has a `group` column."""

    path: Path
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float, ...]]
    groups: Mapping[str, str] = field(default_factory=dict)


def refuse(problems: Sequence[str], remedy: str) -> None:
    """Raises one DataError for `problems`, all of one kind; does nothing if there are none."""
    if problems:
        raise DataError(f"{problems[0]} ({len(problems):,} such in all); {remedy}")


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint at what a wrong name may have meant: the nearest known names, or else a few of the known ones."""
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=3)
    shown = names[:8] + ["..."] * (len(names) > 8)
    return f"nearest: {', '.join(close)}" if close else f"there are: {', '.join(shown) or 'none'}"


def refuse_spellings(what: str, names: Iterable[str], where: Path) -> None:
    """Raises DataError where one name is written in two ways: two letter cases, a blank for an underscore."""
    refuse(
        [f"{where}: {what} has {' and '.join(map(repr, alike))}" for alike in spelled_alike(names)],
        "write one value alike everywhere: spelled in two ways it seems to be two",
    )


def find_file(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `names` that is a file under `root`."""
    return next((root / name for name in names if (root / name).is_file()), None)


def require_folder(root: Path, names: Sequence[str], what: str) -> Path:
    """As `find_folder`. Raises DataNotThereError where there is none."""
    folder = find_folder(root, names)
    if folder is None:
        places = " or ".join(str(root / name) for name in names[:3])
        raise DataNotThereError(f"{root}: no folder with {what}; put it at {places} ({describe(root)})")
    return folder


def read_list(path: Path) -> list[ListEntry]:
    """The lines of a list file that are not blank. Raises DataError where it cannot be read or holds none."""
    try:  # names of files may hold any byte: keep them as the file system gives them
        content = path.read_bytes()
        wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Windows writes lists
        text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace" if wide else "surrogateescape")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the data set's list file there") from None
    entries = [ListEntry(line.strip(), f"{path}:{number}") for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    if not entries:
        raise DataError(f"{path}: the list is empty; put the data set's list file there")
    return entries


def read_table(path: Path) -> list[tuple[int, list[str]]]:
    """The rows of a CSV that are not empty, each with the number of its line: with commas, semicolons or tabs, in UTF-8 or
    UTF-16. Raises DataError where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file there") from None
    wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))  # as Windows writes tables
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace" if wide else "surrogateescape")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return [(reader.line_num, [value.strip() for value in row]) for row in reader if any(value.strip() for value in row)]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no CSV ({error}); correct the file") from None


def read_json(path: Path) -> Any:
    """Raises DataError where `path` cannot be read as JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None


def refuse_outside(folder: Path, entries: Iterable[ListEntry]) -> None:
    """Raises DataError for names that lead out of `folder` (links that the user placed inside it are followed)."""
    refuse(
        [
            f"{entry.where}: {entry.name!r} points outside {folder}"
            for entry in entries
            if entry.name.startswith("/") or ".." in entry.name.split("/")
        ],
        "write names relative to that folder",
    )


def refuse_unusable(folder: Path, entries: Sequence[ListEntry]) -> dict[str, Path]:
    """Returns the path of each listed item.

    Raises DataError for names outside `folder`, listed twice (in one list or two), without a file or with an empty one.
    """
    refuse_outside(folder, entries)
    seen: dict[str, str] = {}
    twice = []
    for entry in entries:
        if entry.name in seen:
            twice.append(f"{entry.where}: {entry.name!r} is listed already at {seen[entry.name]}")
        seen.setdefault(entry.name, entry.where)
    refuse(twice, "list each item once, either for training or for testing")
    paths = locate(folder, list(seen))
    missing, empty, unreadable = [], [], []
    for entry in entries:
        try:
            if paths[entry.name].stat().st_size == 0:
                empty.append(entry)
        except PermissionError:
            unreadable.append(entry)
        except OSError:
            missing.append(entry)
    remedies = (
        (unreadable, "cannot be read (Permission denied)", "give this user the right to read it"),
        (missing, "is not there", "unpack the data set again or correct the list"),
        (empty, "is an empty file", "unpack the data set again or correct the list"),
    )
    for broken, what, remedy in remedies:
        if broken:
            beside = f"; {describe((folder / broken[0].name).parent)}" if broken is missing else ""
            raise DataError(
                f"{broken[0].where}: {folder / broken[0].name} {what} ({len(broken):,} of {len(entries):,} files,"
                f" first {', '.join(repr(entry.name) for entry in broken[:3])}){beside}; {remedy}"
            )
    used = Counter(paths.values())
    refuse(
        [
            f"{seen[name]}: {name!r} would be {path}, as another listed item is"
            for name, path in paths.items()
            if used[path] > 1
        ],
        "give every listed item a file of its own",
    )
    return paths


def unlisted(folder: Path, used: Iterable[Path]) -> tuple[str, ...]:
    """A note on the videos of the class folders that no list names, if there are any."""
    known = set(used)
    others = []
    with scandir(folder) as classes:
        for place in sorted((entry for entry in classes if entry.is_dir()), key=lambda entry: entry.name):
            with scandir(place.path) as files:
                videos = (file for file in files if file.name.lower().endswith(VIDEO_SUFFIXES) and file.name[0] != ".")
                others += sorted(file.path for file in videos if Path(file.path) not in known)
    named = ", ".join(repr("/".join(Path(path).parts[-2:])) for path in others[:3])
    return (f"{len(others):,} videos are in no list and are not used, first {named}",) if others else ()


def read_labels_csv(path: Path, key: Callable[[str], str] = str) -> LabelTable:
    """Labels from a CSV file with the header `filename,[group,]attribute,...`; rows are stored under `key(filename)`.

    Raises DataError where it cannot be read, and for rows that are no row of labels.
    """
    rows = read_table(path)
    header = rows[0][1] if rows else []
    if not header or header[0] != "filename" or len(set(header)) < len(header) or "" in header:
        raise DataError(f"{path}:1: the header is {','.join(header)!r}; write filename,[group,] and one name per attribute")
    uneven = [
        f"{path}:{line}: {len(row)} values under {len(header)} columns" for line, row in rows[1:] if len(row) != len(header)
    ]
    refuse(uneven, "give every row one value per column")
    values = [column for column, name in enumerate(header) if column and name != "group"]
    table = label_table(
        path,
        [header[column] for column in values],
        [(f"{path}:{line}", key(row[0]), [row[column] for column in values]) for line, row in rows[1:]],
    )
    if "group" not in header:
        return table
    groups = {key(row[0]): row[header.index("group")] for _, row in rows[1:]}
    refuse([f"{path}: no group for {name!r}" for name, group in groups.items() if not group], "name the source of every item")
    return dataclasses.replace(table, groups=groups)


def read_labels_pickle(path: Path, columns: Sequence[str], key: Callable[[str], str] = str) -> LabelTable:
    """Labels from a pickled dict of name -> array with one number per column. Raises DataError as `read_labels_csv`."""
    content = safe_pickle.load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}; a dict of item name -> array of labels is expected")
    return label_table(path, columns, [(str(path), key(str(name)), np.ravel(row).tolist()) for name, row in content.items()])


def label_table(path: Path, columns: Sequence[str], rows: Iterable[tuple[str, str, Sequence[Any]]]) -> LabelTable:
    """A table from rows of (where, item name, values). Raises DataError for repeated names and labels that are not 0 or 1."""
    labels: dict[str, tuple[float, ...]] = {}
    twice, uneven, wrong = [], [], []
    for where, name, values in rows:
        if name in labels:
            twice.append(f"{where}: a second row for {name!r}")
        if len(values) != len(columns):
            uneven.append(f"{where}: {len(values)} labels for {name!r}, but {len(columns)} attributes: {', '.join(columns)}")
        numbers = [_binary(value) for value in values]
        wrong += [f"{where}: the label {value!r} of {name!r}" for value, n in zip(values, numbers, strict=True) if n is None]
        labels[name] = tuple(number for number in numbers if number is not None)
    refuse(twice, "give every item one row")
    refuse(uneven, "name the columns of this file, in its order, as attributes")
    refuse(wrong, "labels must be 0 or 1")
    return LabelTable(path, tuple(columns), labels)


def _binary(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number in (0.0, 1.0) else None


def select_columns(table: LabelTable, wanted: Sequence[str]) -> LabelTable:
    """`table` with the `wanted` columns only, in that order. Raises DataError for a name it does not have."""
    refuse_unknown(wanted, table.columns, str(table.path))
    columns = [table.columns.index(name) for name in wanted]
    return dataclasses.replace(
        table,
        columns=tuple(wanted),
        rows={name: tuple(row[column] for column in columns) for name, row in table.rows.items()},
    )


def refuse_unknown(wanted: Sequence[str], known: Iterable[str], where: str) -> None:
    """Raises DataError for attributes that are asked for and not labelled, repeated, or none at all."""
    known = list(known)
    refuse(
        [f"{where}: no attribute {name!r} ({nearest(name, known)})" for name in wanted if name not in known],
        "correct the attributes of the configuration",
    )
    if not wanted or len(set(wanted)) < len(wanted):
        raise DataError(f"{where}: attributes {list(wanted)}: name at least one, each once")


def label_videos(splits: VideoSplits, table: LabelTable, key: Callable[[str], str] = str) -> VideoSplits:
    """`splits` with the attributes and, where it names them, the groups of `table`, looked up by `key(video.name)`.

    Raises DataError for a video without a row.
    """
    videos = (*splits.train, *splits.validation, *splits.test)
    refuse(
        [f"{table.path}: no row for {video.name!r}" for video in videos if key(video.name) not in table.rows],
        "give every video of the lists a row of labels",
    )

    def labelled(part: Sequence[Video]) -> tuple[Video, ...]:
        return tuple(
            dataclasses.replace(
                video,
                attributes=table.rows[key(video.name)] if table.columns else None,
                group=table.groups.get(key(video.name), video.group),
            )
            for video in part
        )

    return dataclasses.replace(
        splits,
        attributes=table.columns,
        train=labelled(splits.train),
        validation=labelled(splits.validation),
        test=labelled(splits.test),
    )


def refuse_attributes(attributes: Sequence[str] | None, name: str) -> None:
    """Raises DataError where attributes are asked for and the data set carries no labels for its videos."""
    if attributes is not None:
        raise DataError(f"{name}: its videos carry no attributes, but {list(attributes)} are asked for; leave attributes out")


def find_groups(pattern: str | None, ids: Sequence[ListEntry]) -> list[str]:
    """The source of every item: the first group of the regular expression `pattern` in its id, or the id itself.

    Raises DataError for a pattern that is no regular expression with a group, and for ids in which it is not found.
    """
    if pattern is None:
        return [entry.name for entry in ids]
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"group_pattern {pattern!r}: not a regular expression ({error}); correct it") from None
    if not expression.groups:
        raise DataError(f"group_pattern {pattern!r}: has no group; put the part that names the source in parentheses")
    found = [expression.search(entry.name) for entry in ids]
    refuse(
        [
            f"{entry.where}: group_pattern {pattern!r} is not found in {entry.name!r}"
            for entry, match in zip(ids, found, strict=True)
            if match is None or match[1] is None
        ],
        "correct the pattern, or leave it out to make every image its own group",
    )
    return [match[1] for match in found if match is not None]
