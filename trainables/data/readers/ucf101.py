"""UCF101, and any data set in its layout: classes are whatever `classInd.txt` lists.

    UCF-101/<Class>/v_<Class>_gNN_cNN.avi
    ucfTrainTestlist/classInd.txt  trainlist01.txt  testlist01.txt  (also inside the video folder)
    clip_attributes.csv            optional: filename,[group,]attribute,... with one row per listed video

Where these lists are not there, those of SPAct's code are read (see `readers/spact.py`).

A class and a group number name the source of a video: g08 of one class has nothing to do with g08 of another. Where a set of
this layout knows better, a column `group` of `clip_attributes.csv` (a person, a recording) or `group_pattern` does.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from pathlib import Path

from trainables.config import ActionData
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.readers.common import (
    ListEntry,
    find_groups,
    label_videos,
    nearest,
    read_labels_csv,
    read_list,
    refuse,
    refuse_attributes,
    refuse_outside,
    refuse_unusable,
    require_folder,
    select_columns,
    unlisted,
)
from trainables.data.readers.places import lists_in
from trainables.data.readers.spact import lists_of_spact, read_lists_of_spact
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation

VIDEO_FOLDERS = ("UCF-101", "UCF101/UCF-101", "UCF101/videos", "UCF101")
LIST_FOLDER = "ucfTrainTestlist"
ATTRIBUTES = "clip_attributes.csv"

_FEW = 5  # numbers, whose labels may agree by chance
_GROUP = re.compile(r"_(g\d+)_c\d+\.[^.]+$")


@VIDEO_SETS.register("ucf101")
def ucf101(config: ActionData, root: Path) -> VideoSplits:
    """UCF101, with private attributes where `clip_attributes.csv` labels its videos."""
    splits = read_splits(config, root)
    labels = root / ATTRIBUTES
    if labels.is_file():
        table = read_labels_csv(labels)
        splits = label_videos(splits, select_columns(table, config.attributes or table.columns) if table.columns else table)
    if not splits.attributes:
        refuse_attributes(config.attributes, config.name)
    if config.group_pattern is None:
        splits = dataclasses.replace(splits, notes=(*splits.notes, *_sources_across_classes(splits)))
    return hold_out_validation(splits, config.validation_fraction)


def read_splits(config: ActionData, root: Path) -> VideoSplits:
    """The official split `config.split`: no validation, no attributes."""
    folder = _video_folder(root)
    classes, *listed = _read_lists(config.split, root, folder)
    paths = refuse_unusable(folder, [*listed[0], *listed[1]])
    groups = find_groups(config.group_pattern or _GROUP.pattern, [*listed[0], *listed[1]])
    if config.group_pattern is None:
        groups = [f"{_class(entry.name)}/{group}" for entry, group in zip((*listed[0], *listed[1]), groups, strict=True)]
    videos = [
        Video(entry.name, paths[entry.name], classes.index(_class(entry.name)), group)
        for entry, group in zip((*listed[0], *listed[1]), groups, strict=True)
    ]
    return VideoSplits(
        config.name,
        classes,
        (),
        tuple(videos[: len(listed[0])]),
        (),
        tuple(videos[len(listed[0]) :]),
        published=_is_ucf101(classes),
        notes=unlisted(folder, paths.values()),
    )


def _read_lists(split: int, root: Path, folder: Path) -> tuple[tuple[str, ...], list[ListEntry], list[ListEntry]]:
    """The classes, and the training and test entries, of the official lists or of SPAct's."""
    if split not in available_splits(root):
        there = ", ".join(str(number) for number in available_splits(root)) or "none"
        place = _spact_folder(root, folder) or _list_folder(root, folder)
        raise DataError(f"{place}: no trainlist{split:02}.txt (splits there: {there}); put it there or choose another split")
    if (spact := _spact_folder(root, folder)) is not None:
        return read_lists_of_spact(spact)
    lists = _list_folder(root, folder)
    classes = _read_classes(lists / "classInd.txt")
    train, test = (_read_entries(lists / f"{part}list{split:02}.txt", folder, classes) for part in ("train", "test"))
    return classes, train, test


def available_splits(root: Path) -> tuple[int, ...]:
    """The numbers of the splits whose training list is there. Raises DataError where videos or lists are not there."""
    folder = _video_folder(root)
    if _spact_folder(root, folder) is not None:
        return (1,)
    lists = _list_folder(root, folder)
    return tuple(split for split in (1, 2, 3) if (lists / f"trainlist{split:02}.txt").is_file())


def _video_folder(root: Path) -> Path:
    return require_folder(root, VIDEO_FOLDERS, "the videos of UCF101")


def _spact_folder(root: Path, folder: Path) -> Path | None:
    """Where SPAct's lists are, if the official ones are nowhere."""
    try:
        _list_folder(root, folder)
    except DataError:
        return lists_of_spact([root, folder, folder.parent])
    return None


def _list_folder(root: Path, folder: Path) -> Path:
    places = [root / LIST_FOLDER, folder / LIST_FOLDER, folder.parent / LIST_FOLDER]
    found = next((place for place in places if place.is_dir()), None)
    if found is None or not (found / "classInd.txt").is_file():  # a wrapper folder, or mmaction2's `annotations`
        near = (
            [found]
            if found
            else [folder.parent / "annotations", folder / "annotations", *root.glob(f"*/{LIST_FOLDER}"), folder]
        )
        found = lists_in(near, "classInd.txt") or (root if (root / "classInd.txt").is_file() else found)
    if found is None:
        raise DataError(f"{folder}: no lists for these videos; put the folder {LIST_FOLDER} at {places[0]} or {places[1]}")
    return found


def _read_classes(path: Path) -> tuple[str, ...]:
    entries = read_list(path)
    pairs = [entry.name.split(maxsplit=1) for entry in entries]
    refuse(
        [
            f"{entry.where}: {entry.name!r}"
            for number, (entry, pair) in enumerate(zip(entries, pairs, strict=True), 1)
            if len(pair) != 2 or pair[0] != str(number)
        ],
        "number the classes from 1 on, one `number name` per line",
    )
    return tuple(pair[1] for pair in pairs)


def _read_entries(path: Path, folder: Path, classes: tuple[str, ...]) -> list[ListEntry]:
    """Entries with the label taken off: the folder names the class, and a label beside it must say the same."""
    entries, unknown, contradicting, groupless = [], [], [], []
    lines = read_list(path)
    refuse_outside(folder, lines)
    for line in lines:
        parts = line.name.rsplit(maxsplit=1)
        name, label = parts if len(parts) == 2 and parts[1].isdecimal() else (line.name, None)
        entries.append(ListEntry(name, line.where))
        if _class(name) not in classes:
            unknown.append(f"{line.where}: class {_class(name)!r} is not in classInd.txt ({nearest(_class(name), classes)})")
        elif label is not None and int(label) != classes.index(_class(name)) + 1:
            contradicting.append(f"{line.where}: label {label} for {_class(name)!r}, class {classes.index(_class(name)) + 1}")
        if not _GROUP.search(name):
            groupless.append(f"{line.where}: {name!r} does not end in _gNN_cNN, so the source of the video is unknown")
    refuse(unknown, "correct the list or classInd.txt")
    refuse(contradicting, "correct the list: labels are the numbers of classInd.txt")
    refuse(groupless, "rename the videos, or use the layout of the data set `folders`")
    return entries


def _sources_across_classes(splits: VideoSplits) -> tuple[str, ...]:
    """A note where each number gNN carries the same labels in all its classes, as one source would (of UCF101 it is none)."""
    labels: dict[str, set[object]] = defaultdict(set)
    classes: dict[str, set[int]] = defaultdict(set)
    for video in (*splits.train, *splits.test):
        match = _GROUP.search(video.name)
        if video.attributes is None or match is None or video.group != f"{_class(video.name)}/{match[1]}":
            return ()
        labels[match[1]].add(video.attributes)
        classes[match[1]].add(video.label)
    shared = [number for number, found in classes.items() if len(found) > 1]
    alike = all(len(labels[number]) == 1 for number in shared)
    if splits.published or not alike or len(shared) < _FEW or len(set.union(*(labels[number] for number in shared))) < 2:
        return ()
    return (
        f"g01 of one class and g01 of another count as two sources, but each of {len(shared)} numbers has the same labels in"
        " all its classes: if they are one source, set data.action.group_pattern='_(g\\d+)_'",
    )


def _is_ucf101(classes: tuple[str, ...]) -> bool:
    """Whether the lists are those of UCF101 itself, and not of another set in its layout."""
    return len(classes) == 101 and classes[0] == "ApplyEyeMakeup"


def _class(name: str) -> str:
    return name.partition("/")[0]
