"""A data set of one's own, videos and images, each optional:

    videos/<class>/<file>                   splits/train.txt  splits/test.txt  [splits/validation.txt]
                                            one `<class>/<file>` per line; the classes are those of train.txt
    clip_attributes.csv                     optional: filename,[group,]attribute,...

    images/...                              splits/images_train.txt  images_test.txt  [images_validation.txt]
    image_attributes.csv                    filename,[group,]attribute,...

`group` names the source of an item (a person, a recording): validation, where it is cut from the training items, takes
whole groups. Without it every video is its own group, and every image too unless `group_pattern` finds one in its name.
"""

from __future__ import annotations

from pathlib import Path

from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits
from trainables.data.readers.common import (
    LabelTable,
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
from trainables.data.readers.places import VIDEO_SUFFIXES
from trainables.data.registry import STILL_SETS, VIDEO_SETS
from trainables.data.validation import hold_out_validation


@VIDEO_SETS.register("folders")
def folders_videos(config: ActionData, root: Path) -> VideoSplits:
    """The listed videos; they carry attributes where `clip_attributes.csv` labels them."""
    folder = require_folder(root, ["videos"], "videos")
    listed = _read_lists(root, folder, "")
    every = [entry for entries in listed.values() for entry in entries]
    refuse(
        [
            f"{entry.where}: {entry.name!r} is not <class>/<file> with one of {', '.join(VIDEO_SUFFIXES)}"
            for entry in every
            if entry.name.count("/") != 1 or not entry.name.lower().endswith(VIDEO_SUFFIXES)
        ],
        "list videos that lie in a folder of their class",
    )
    classes = tuple(sorted({_class(entry) for entry in listed["train"]}))
    refuse(
        [
            f"{entry.where}: class {_class(entry)!r} has no training video ({nearest(_class(entry), classes)})"
            for entry in every
            if _class(entry) not in classes
        ],
        "correct the list, or list videos of that class for training",
    )
    paths = refuse_unusable(folder, every)
    attributes = root / "clip_attributes.csv"
    table = read_labels_csv(attributes) if attributes.is_file() else LabelTable(attributes, (), {})
    groups = _groups(every, table, config.group_pattern)
    parts = {
        part: tuple(Video(entry.name, paths[entry.name], classes.index(_class(entry)), groups[entry.name]) for entry in entries)
        for part, entries in listed.items()
    }
    notes = unlisted(folder, paths.values())
    splits = VideoSplits(config.name, classes, (), parts["train"], parts["validation"], parts["test"], notes=notes)
    if table.columns:
        splits = label_videos(splits, select_columns(table, config.attributes or table.columns))
    else:
        refuse_attributes(config.attributes, config.name)
    return hold_out_validation(splits, config.validation_fraction)


@STILL_SETS.register("folders")
def folders_stills(config: PrivacyData, root: Path) -> StillSplits:
    """The listed images with the labels of `image_attributes.csv`."""
    folder = require_folder(root, ["images"], "images")
    listed = _read_lists(root, folder, "images_")
    every = [entry for entries in listed.values() for entry in entries]
    refuse_unusable(folder, every)
    table = read_labels_csv(root / "image_attributes.csv")
    refuse(
        [f"{entry.where}: no row for {entry.name!r} in {table.path}" for entry in every if entry.name not in table.rows],
        "give every image of the lists a row of labels",
    )
    if isinstance(config.attributes, str) and config.attributes != "auto":
        raise DataError(f"{table.path}: attributes {config.attributes!r}; write auto or a list of {', '.join(table.columns)}")
    groups = _groups(every, table, config.group_pattern)
    table = select_columns(table, table.columns if isinstance(config.attributes, str) else config.attributes)
    parts = {
        part: tuple(Still(entry.name, folder / entry.name, table.rows[entry.name], groups[entry.name]) for entry in entries)
        for part, entries in listed.items()
    }
    splits = StillSplits(config.name, table.columns, parts["train"], parts["validation"], parts["test"])
    return hold_out_validation(splits, config.validation_fraction)


def _read_lists(root: Path, folder: Path, prefix: str) -> dict[str, list[ListEntry]]:
    """The entries of the train, validation (none without that list) and test lists."""
    lists = {part: root / "splits" / f"{prefix}{part}.txt" for part in ("train", "validation", "test")}
    entries = {part: read_list(path) if part != "validation" or path.is_file() else [] for part, path in lists.items()}
    refuse_outside(folder, [entry for part in entries.values() for entry in part])
    return entries


def _groups(entries: list[ListEntry], table: LabelTable, pattern: str | None) -> dict[str, str]:
    if not table.groups:
        return dict(zip((entry.name for entry in entries), find_groups(pattern, entries), strict=True))
    refuse(
        [f"{entry.where}: no group for {entry.name!r} in {table.path}" for entry in entries if entry.name not in table.groups],
        "give every listed item a row, or leave the column `group` out",
    )
    return {entry.name: table.groups[entry.name] for entry in entries}


def _class(entry: ListEntry) -> str:
    return entry.name.partition("/")[0]
