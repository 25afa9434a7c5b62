"""Kinetics-400, -600 and -700 as downloads, torchvision and mmaction2 leave them, and any set in these layouts.

    kinetics400/train/<class>/<id>_<start>_<end>.mp4  val/  [test/]     or without class folders
    kinetics400/annotations/train.csv  val.csv      label,youtube_id,time_start,time_end, and more columns
    kinetics400/kinetics400_train_list_videos.txt   or, of mmaction2: `<class>/<file> [frames] <number of the class>`
    kinetics400/clip_attributes.csv                 optional: filename,[group,]attribute,... (suffixes do not count)

The folder of the set may also be k400, Kinetics-400, kinetics700_2020 ..., that of a part videos_train, rawframes_train
(folders of frames), train_256 ..., and a table kinetics_train.csv, k400_validate.csv ...

Without tables and lists the class folders say what is there. `val` is the test split where the test clips have no labels, which
is how Kinetics is published, and validation is then cut from the training clips. A file with the name `<id>.mp4` that is longer
than the clip is the whole video: the clip is its stretch from `time_start` to `time_end`.

Videos of Kinetics vanish, so listed ones that are gone (or empty files) are counted and named, and no error unless a class has
none left.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import scandir
from pathlib import Path, PurePosixPath

from trainables.config import ActionData
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.readers.clips import ClipRow, read_clips
from trainables.data.readers.common import (
    DataNotThereError,
    ListEntry,
    find_groups,
    label_videos,
    read_labels_csv,
    read_list,
    refuse,
    refuse_attributes,
    select_columns,
)
from trainables.data.readers.places import IMAGE_SUFFIXES, VIDEO_SUFFIXES, find_folder, fold
from trainables.data.readers.stretches import lengths_of, stretch_in
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation

PARTS = {"train": ("train", "training"), "val": ("val", "validate", "validation", "valid"), "test": ("test", "testing")}
PLACES = ("{}", "videos_{}", "{}_256", "compress/{}_256", "videos_{}_256p_dense_cache", "videos/{}", "rawframes_{}")
COLUMNS = {"path": ("youtube_id",), "start": ("time_start",), "end": ("time_end",)}
CLASSES = (400, 600, 700)  # of the published sets

_SET = re.compile(r"(kinetics|k(?=[467]00))(400|600|700)?(2020)?")
_TIMES = re.compile(r"_\d{6}_\d{6}$")


@dataclass(frozen=True)
class _Listed:
    """A clip that a table or list names, or that lies in a class folder. `stems`: the names its file may have, best first."""

    label: str
    stems: tuple[str, ...]
    where: str
    span: tuple[float, float | None] | None = None


@dataclass
class _Part:
    """One part of the set: what is listed, and the files that are there by their names without suffix."""

    listed: list[_Listed] = field(default_factory=list)
    files: Mapping[str, list[Path]] = field(default_factory=dict)


@VIDEO_SETS.register("kinetics")
def kinetics(config: ActionData, root: Path) -> VideoSplits:
    """The clips of Kinetics that are there, with private attributes where `clip_attributes.csv` labels them."""
    base = _base(root)
    parts = {name: _read_part(base, name) for name in PARTS}
    classes = tuple(sorted({clip.label for clip in parts["train"].listed}))
    found: dict[str, list[Video]] = {}
    gone: list[str] = []
    for name, part in parts.items():
        found[name] = _videos(part, classes, config.group_pattern, gone)
    if not found["test"]:
        found["val"], found["test"] = [], found["val"]
    _refuse_empty(base, classes, found)
    twice = Counter(video.name for videos in found.values() for video in videos)
    refuse([f"{base}: {name!r} is listed {n} times" for name, n in twice.items() if n > 1], "list each clip once")
    listed = sum(len(part.listed) for name, part in parts.items() if name == "train" or part.files)
    named = ", ".join(repr(name) for name in gone[:3])
    notes = (f"{len(gone):,} of {listed:,} listed clips are not there or empty files, first {named}",) if gone else ()
    train, validation, test = (tuple(found[name]) for name in PARTS)
    splits = VideoSplits(config.name, classes, (), train, validation, test, published=len(classes) in CLASSES, notes=notes)
    attributes = base / "clip_attributes.csv"
    if attributes.is_file():
        table = read_labels_csv(attributes, _stem)
        chosen = select_columns(table, config.attributes or table.columns) if table.columns else table
        splits = label_videos(splits, chosen, _stem)
    if not splits.attributes:
        refuse_attributes(config.attributes, config.name)
    return hold_out_validation(splits, config.validation_fraction)


def stems_of_clip(row: ClipRow) -> tuple[str, ...]:
    """The names, without suffix, that the file of a row of a table of Kinetics may have."""
    if row.span is None or row.span[1] is None:
        return (row.path,)
    return (f"{row.path}_{int(row.span[0]):06}_{int(row.span[1]):06}", row.path)


def _base(root: Path) -> Path:
    """The folder of the set: `root` or one below it with a name of Kinetics."""
    try:
        below = sorted(path for path in root.iterdir() if _SET.fullmatch(fold(path.name)) and path.is_dir())
    except OSError:
        below = []
    own = root if _SET.match(fold(root.absolute().name)) or _has_lists(root) else None
    found = [place for place in ([own] if own else []) + below if _folder(place, "train") is not None]
    if not found:
        raise DataNotThereError(f"{root}: no folder with Kinetics; put it at {root / 'kinetics400'}/train and val")
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise DataError(f"{root}: it holds {names}; choose one, for example data.action.folder={found[0].name}")
    return found[0]


def _has_lists(root: Path) -> bool:
    """Whether tables or lists of Kinetics lie in a folder, which may have any name."""
    table = _table(root, "train")
    return _mmaction_list(root, "train") is not None or (table is not None and "youtube_id" in _header(table))


def _folder(base: Path, part: str) -> Path | None:
    return find_folder(base, [place.format(name) for name in PARTS[part] for place in PLACES])


def _read_part(base: Path, name: str) -> _Part:
    folder = _folder(base, name)
    if folder is None:
        return _Part()
    files = _files(folder)
    table, listing = _table(base, name), _mmaction_list(base, name)
    if table is not None and "label" in _header(table):
        listed = [_of_row(row) for row in read_clips(table, COLUMNS)]
        refuse([f"{clip.where}: no label" for clip in listed if not clip.label], "give every clip its class")
    elif listing is not None:
        listed = _of_list(listing)
    elif table is not None and name == "test":  # the test clips of Kinetics were published without labels
        return _Part()
    else:
        listed = [
            _Listed(_class(path.parent.name), (stem,), str(path))
            for stem, paths in files.items()
            for path in paths
            if path.parent != folder
        ]
    for clip in listed:  # where two class folders hold a file of one name, that of its own class is meant
        for stem in clip.stems:
            files[stem] = sorted(files.get(stem, []), key=lambda path: _letters(path.parent.name) != _letters(clip.label))
    wrong = [
        f"{clip.where}: {path.name} is of class {clip.label!r}, and lies in the folder {path.parent.name!r}"
        for clip in listed
        if (path := _path(clip, files)) and path.parent != folder and _letters(path.parent.name) != _letters(clip.label)
    ]
    refuse(wrong, "correct the list, or put the file into the folder of its class")
    return _Part(listed, files)


def _of_row(row: ClipRow) -> _Listed:
    return _Listed(_class(row.label), stems_of_clip(row), row.where, row.span)


def _of_list(path: Path) -> list[_Listed]:
    """The clips of a list of mmaction2; the test list holds no labels (-1), and so no clips."""
    listed, malformed = [], []
    number_of: dict[str, set[str]] = defaultdict(set)
    for entry in read_list(path):
        parts = entry.name.rsplit(maxsplit=2 if "rawframes" in path.name else 1)
        if len(parts) < 2 or not re.fullmatch(r"-1|\d+", parts[-1]):
            malformed.append(f"{entry.where}: {entry.name!r} is not `<class>/<file> <number of the class>`")
        elif parts[-1] != "-1":
            name = PurePosixPath(parts[0].replace("\\", "/"))
            label = _class(name.parent.name or parts[-1])
            number_of[label].add(parts[-1])
            listed.append(_Listed(label, (_stem(str(name)),), entry.where))
    refuse(malformed, "correct the list")
    refuse(
        [f"{path}: class {label!r} has the numbers {', '.join(sorted(n))}" for label, n in number_of.items() if len(n) > 1],
        "give every class one number",
    )
    return listed


def _videos(part: _Part, classes: Sequence[str], pattern: str | None, gone: list[str]) -> list[Video]:
    """The clips of a part whose files are there; the others are added to `gone`."""
    refuse(
        [f"{clip.where}: class {clip.label!r} has no training clip" for clip in part.listed if clip.label not in classes],
        "write its name as in the training list, or leave its clips out",
    )
    there = [(clip, path) for clip in part.listed if (path := _path(clip, part.files)) is not None]
    if part.files:
        gone += [f"{clip.label}/{clip.stems[0]}" for clip in part.listed if _path(clip, part.files) is None]
    names = [f"{clip.label.replace(' ', '_')}/{clip.stems[0]}" for clip, _ in there]
    entries = [ListEntry(name, clip.where) for name, (clip, _) in zip(names, there, strict=True)]
    groups = find_groups(pattern, entries) if pattern else [_TIMES.sub("", _stem(name)) for name in names]
    whole = [clip.span is None or _TIMES.search(_stem(path.name)) for clip, path in there]
    lengths = lengths_of(path for (_, path), cut in zip(there, whole, strict=True) if not cut)
    spans = [
        None if cut or clip.span is None else stretch_in(lengths[path], clip.span)
        for (clip, path), cut in zip(there, whole, strict=True)
    ]
    return [
        Video(name, path, classes.index(clip.label), group, None, span)
        for name, (clip, path), group, span in zip(names, there, groups, spans, strict=True)
    ]


def _refuse_empty(base: Path, classes: Sequence[str], found: Mapping[str, Sequence[Video]]) -> None:
    for part, what in (("train", "training"), ("test", "test")):
        there = {video.label for video in found[part]}
        missing = [name for number, name in enumerate(classes) if number not in there]
        if missing or not classes:
            named = ", first " + ", ".join(repr(name) for name in missing[:3]) if missing else ""
            raise DataError(
                f"{base}: no {what} clip is there of {len(missing):,} of {len(classes):,} classes{named};"
                " download them, or take these classes out of all tables and lists"
            )


def _path(clip: _Listed, files: Mapping[str, Sequence[Path]]) -> Path | None:
    return next((files[stem][0] for stem in clip.stems if files.get(stem)), None)


def _files(folder: Path) -> dict[str, list[Path]]:
    """The videos that are no empty files, and the folders of frames, in a folder and its class folders, by name."""
    found: dict[str, list[Path]] = defaultdict(list)
    with scandir(folder) as entries:
        inside = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in inside:
        path = Path(entry.path)
        if entry.is_file():
            if entry.name.lower().endswith(VIDEO_SUFFIXES) and entry.stat().st_size:
                found[_stem(entry.name)].append(path)
            continue
        with scandir(path) as entries:
            below = sorted((one for one in entries if not one.name.startswith(".")), key=lambda one: one.name)
        if below and all(one.name.lower().endswith(IMAGE_SUFFIXES) for one in below):  # frames, not a class
            found[entry.name].append(path)
            continue
        for one in below:
            if one.is_dir() or (one.name.lower().endswith(VIDEO_SUFFIXES) and one.stat().st_size):
                found[one.name if one.is_dir() else _stem(one.name)].append(Path(one.path))
    return dict(found)


def _table(base: Path, part: str) -> Path | None:
    """The table of a part, whatever the downloads call it: train.csv, kinetics_train.csv, k400_validate.csv ..."""
    for place in (base / "annotations", base):
        for path in sorted(place.glob("*.csv")):
            if _SET.sub("", fold(path.stem), count=1) in PARTS[part]:
                return path
    return None


def _mmaction_list(base: Path, part: str) -> Path | None:
    for place in (base, base / "annotations"):
        for kind in ("videos", "rawframes"):
            for name in PARTS[part]:
                if found := sorted(place.glob(f"*_{name}_list_{kind}.txt")):
                    return found[0]
    return None


def _header(table: Path) -> list[str]:
    with table.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return [name.strip().lower() for name in next(csv.reader(file), [])]


def _class(text: str) -> str:
    """The name of a class, which downloads write with blanks or with underscores."""
    return text.replace("_", " ").replace('"', "").strip()


def _letters(text: str) -> str:
    """A class name without what torchvision and mmaction2 leave out of its folder."""
    return re.sub(r"[^\w]", "", fold(text))


def _stem(name: str) -> str:
    file = PurePosixPath(name).name
    return file[: -len(PurePosixPath(file).suffix)] if file.lower().endswith(VIDEO_SUFFIXES) else file
