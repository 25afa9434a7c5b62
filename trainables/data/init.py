"""`python -m trainables.data init ROOT`: makes `clips.csv` of what somebody has, and shows how many clips there are of what.

Class folders of videos, or of folders of frames, are looked through; `--csv` takes a table with one clip a row instead. Clips
that are in no split are divided by whole persons or sources, with the same share of every class and attribute in training and
test.
"""

from __future__ import annotations

import argparse
import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from trainables.data.items import DataError, Video
from trainables.data.readers.clips import FILE, SPLITS, ClipRow, attributes_of, read_clips, refuse_rows
from trainables.data.readers.common import ListEntry, refuse, refuse_outside
from trainables.data.readers.kinetics import stems_of_clip
from trainables.data.readers.places import IMAGE_SUFFIXES, VIDEO_SUFFIXES, walk
from trainables.data.readers.stretches import is_outside, lengths_of
from trainables.data.validation import cut_validation

# What people call the columns, by the name they have in clips.csv.
ALIASES = {
    "path": ("file", "filename", "video", "video_path", "clip", "name"),
    "label": ("class", "action", "activity", "category"),
    "group": ("person", "subject", "actor", "performer", "source", "person_id", "subject_id"),
    "split": ("subset", "set", "part"),
    "start": ("time_start", "start_time", "begin", "t_start"),
    "end": ("time_end", "end_time", "stop", "t_end"),
}
_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "validate": "validation",
    "validation": "validation",
}
_SPLIT_NAMES |= {"test": "test", "testing": "test"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="the folder of the videos; clips.csv is written into it")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="a table of clips: path, label, person, start, end, ...")
    parser.add_argument("--group-pattern", metavar="REGEX", help="its first group, found in a path, is the person or source")
    parser.add_argument(
        "--attribute",
        action="append",
        default=[],
        metavar="NAME=REGEX",
        help="a private attribute: what the regular expression's first group finds in a path, for example who='(person_\\d+)'",
    )
    parser.add_argument("--test", type=float, default=0.3, metavar="SHARE", help="of the clips that test (default 0.3)")
    parser.add_argument("--force", action="store_true", help="replace a clips.csv that is there")


def run(options: argparse.Namespace) -> int:
    """Writes `clips.csv` and prints counts. Returns 2 where it cannot be made."""
    root: Path = options.root
    target = root / FILE
    try:
        if not root.is_dir():
            raise DataError(f"{root}: no such folder; give the folder of your videos")
        if target.exists() and not options.force and options.csv != target:
            raise DataError(f"{target}: is there already; correct it by hand, or replace it with --force")
        if not 0.0 < options.test < 1.0:
            raise DataError(f"--test {options.test}: write a share between 0 and 1, for example 0.3")
        rows = _of_table(options.csv, root) if options.csv else list(_of_folders(root))
        if not rows:
            raise DataError(f"{root}: no videos and no folders of frames in class folders; put them at {root}/<class>/<file>")
        rows = _grouped(rows, options.group_pattern)
        for attribute in options.attribute:
            rows = _with_attribute(rows, attribute)
        _refuse_times(rows, root)
        source = options.csv or root
        refuse_rows(rows, source)
        attributes, values = attributes_of(rows, source)
        rows = _split(rows, values, options.test)
        write_clips(target, rows)
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(_counts(rows, attributes, values)))
    if all(row.group in ("", row.path) for row in rows):
        print("\nno person or source is known: every file is its own. Where several clips show one, name it in the column")
        print("group of clips.csv or with --group-pattern, or test figures flatter")
    print(f"\n{target}: look it through, then run a study with --set data.action.name=clips")
    return 0


def write_clips(path: Path, rows: Sequence[ClipRow]) -> None:
    """Writes rows in the form that the data set `clips` reads."""
    others = list(rows[0].others)
    spans = any(row.span is not None for row in rows)
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split", "group", *(["start", "end"] if spans else []), *others])
        for row in rows:
            start, end = row.span or (None, None)
            times = ["" if time is None else f"{time:g}" for time in (start, end)] if spans else []
            writer.writerow([row.path, row.label, row.split, row.group, *times, *(row.others[name] for name in others)])


def _of_folders(root: Path) -> Iterator[ClipRow]:
    """Clips at <class>/... or [videos/]<split>/<class>/...; a folder between class and clip names the person or source."""
    base = root / "videos" if (root / "videos").is_dir() else root
    for here, files in walk(base):
        videos = [file for file in files if file.lower().endswith(VIDEO_SUFFIXES)]
        frames = not videos and any(file.lower().endswith(IMAGE_SUFFIXES) for file in files)
        for path in [here / file for file in videos] + ([here] if frames else []):
            parts = list(path.relative_to(base).parts)
            split = _SPLIT_NAMES.get(parts[0].lower(), "") if len(parts) > 2 else ""
            own = parts[1:] if split else parts
            if len(own) > 1:
                yield ClipRow(path.relative_to(root).as_posix(), own[0], split, "/".join(own[1:-1]), None)


def _of_table(path: Path, root: Path) -> list[ClipRow]:
    """The rows of a table. A path may be absolute, if it is below `root`, or the name of a file or folder of frames anywhere
    below it, without suffix too, as the ids of Kinetics.
    """
    rows = read_clips(path, ALIASES)
    known: dict[str, list[str]] | None = None
    found, gone = [], []
    for row in rows:
        place, span = _below(row, root), row.span
        if not (root / place).exists():
            known = known or _files(root)
            stems = stems_of_clip(row)
            candidates = next((known[stem] for stem in (Path(place).name, *stems) if stem in known), [])
            if len(candidates) > 1:
                raise DataError(f"{row.where}: {row.path!r} may be {' or '.join(candidates[:3])}; write the whole path")
            if not candidates:
                gone.append(row)
                continue
            place = candidates[0]
            if span is not None and Path(place).stem == stems[0] != row.path:
                span = None  # the download has cut it
        split = _SPLIT_NAMES.get(row.split.lower(), row.split)
        if split and split not in SPLITS:
            raise DataError(f"{row.where}: split {row.split!r}; write {', '.join(SPLITS)}, or leave it empty")
        found.append(replace(row, path=Path(place).as_posix(), split=split, span=span))
    refuse(
        [f"{row.where}: {root / row.path} is not there, nor {Path(row.path).name} anywhere below" for row in gone],
        "correct the path, or take the row out",
    )
    return found


def _below(row: ClipRow, root: Path) -> str:
    """The path of a row relative to `root`. Raises DataError for one outside."""
    path = Path(row.path)
    if path.is_absolute() and path.is_relative_to(root.absolute()):
        path = path.relative_to(root.absolute())
    refuse_outside(root, [ListEntry(path.as_posix(), row.where)])
    return path.as_posix()


def _files(root: Path) -> dict[str, list[str]]:
    """Every video and folder of frames below `root`, relative to it, by its name and by its name without suffix."""
    found: dict[str, list[str]] = defaultdict(list)
    for here, files in walk(root):
        videos = [here / file for file in files if file.lower().endswith(VIDEO_SUFFIXES)]
        frames = [here] if not videos and any(file.lower().endswith(IMAGE_SUFFIXES) for file in files) else []
        for path in videos + frames:
            for name in {path.name, path.stem if path in videos else path.name}:
                found[name].append(path.relative_to(root).as_posix())
    return dict(found)


def _refuse_times(rows: Sequence[ClipRow], root: Path) -> None:
    """Raises DataError for stretches that are not in their video; people's times may end up to a second past its end."""
    spans = [(row, row.span) for row in rows if row.span is not None]
    lengths = lengths_of(root / row.path for row, _ in spans)
    refuse(
        [
            f"{row.where}: the clip is from {start:g} s to {'its end' if end is None else f'{end:g} s'}, and {row.path} lasts"
            f" {seconds:.1f} s"
            for row, (start, end) in spans
            if is_outside(seconds := lengths[root / row.path], (start, end))
        ],
        "correct its times; of a file that is the clip already, leave them out",
    )


def _with_attribute(rows: list[ClipRow], attribute: str) -> list[ClipRow]:
    name, equals, pattern = attribute.partition("=")
    if not (name and equals and pattern):
        raise DataError(f"--attribute {attribute!r}: write NAME=REGEX, for example who='(person_\\d+)'")
    return [replace(row, others={**row.others, name: word}) for row, word in zip(rows, _words(rows, pattern), strict=True)]


def _grouped(rows: list[ClipRow], pattern: str | None) -> list[ClipRow]:
    if pattern is None:
        return [row if row.group else replace(row, group=row.path) for row in rows]
    return [replace(row, group=word) for row, word in zip(rows, _words(rows, pattern), strict=True)]


def _words(rows: Sequence[ClipRow], pattern: str) -> list[str]:
    """What the first group of a regular expression finds in each path."""
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise DataError(f"{pattern!r}: not a regular expression ({error}); correct it") from None
    found = [expression.search(row.path) for row in rows]
    missed = [row.path for row, match in zip(rows, found, strict=True) if match is None or not match.groups() or not match[1]]
    if missed:
        raise DataError(f"{pattern!r}: no group of it in {missed[0]!r} ({len(missed):,} such); correct it")
    return [match[1] for match in found if match is not None]


def _split(rows: list[ClipRow], values: Sequence[tuple[float, ...]], share: float) -> list[ClipRow]:
    """Divides the rows that are in no split into training and test, by whole groups, evenly by class and attribute."""
    if all(row.split for row in rows):
        return rows
    if any(row.split for row in rows):
        raise DataError(f"{next(row.where for row in rows if not row.split)}: no split, others have one; give all one, or none")
    if len({row.group for row in rows}) == 1:
        raise DataError(
            f"{rows[0].path}: all clips are of one person or source, {rows[0].group!r}, so that none can be tested on another;"
            " name them in a column, in folders or with --group-pattern, or write a split in the table"
        )
    classes = sorted({row.label for row in rows})
    items = [
        Video(row.name, Path(row.path), classes.index(row.label), row.group, own) for row, own in zip(rows, values, strict=True)
    ]
    test = {item.name for item in cut_validation(items, share, "test")[1]}
    return [replace(row, split="test" if row.name in test else "train") for row in rows]


def _counts(rows: Sequence[ClipRow], attributes: Sequence[str], values: Sequence[Sequence[float]]) -> list[str]:
    table = [["", *SPLITS]]
    for label in sorted({row.label for row in rows}):
        counted = Counter(row.split for row in rows if row.label == label)
        table.append([f"class {label}", *(str(counted[split]) for split in SPLITS)])
    for column, name in enumerate(attributes):
        counted = Counter(row.split for row, own in zip(rows, values, strict=True) if own[column])
        table.append([f"attribute {name}", *(str(counted[split]) for split in SPLITS)])
    table.append(["all clips", *(str(sum(row.split == split for row in rows)) for split in SPLITS)])
    table.append(["persons or sources", *(str(len({row.group for row in rows if row.split == split})) for split in SPLITS)])
    widths = [max(len(row[column]) for row in table) for column in range(4)]
    return [
        "  ".join(cell.ljust(w) if n == 0 else cell.rjust(w) for n, (cell, w) in enumerate(zip(row, widths, strict=True)))
        for row in table
    ]
