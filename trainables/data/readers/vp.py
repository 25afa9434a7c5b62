"""VP-UCF101 and VP-HMDB51: the videos and splits of UCF101 and HMDB51, each video with five private attributes.

    VP-UCF101/ucf101_privacy_attribute_label.pickle  (also .pkl, .csv; also in the root itself; VP-HMDB51 likewise)

The pickles map 'Class/name.mp4' to an array of labels; the videos are .avi files, so names are compared without suffix. The
order of the columns is documented nowhere; measured against PA-HMDB51 it is DEFAULT_COLUMNS. A configuration that names
`attributes` renames the columns, in the order of the file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from trainables.config import ActionData
from trainables.data.items import DataError, VideoSplits
from trainables.data.readers import hmdb51, ucf101
from trainables.data.readers.common import (
    DataNotThereError,
    LabelTable,
    find_file,
    label_videos,
    read_labels_csv,
    read_labels_pickle,
)
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation

DEFAULT_COLUMNS = ("skin_color", "face", "gender", "nudity", "relationship")


@VIDEO_SETS.register("vp_ucf101")
def vp_ucf101(config: ActionData, root: Path) -> VideoSplits:
    """UCF101 with the attributes of VP-UCF101."""
    return _label(config, root, ucf101.read_splits)


@VIDEO_SETS.register("vp_hmdb51")
def vp_hmdb51(config: ActionData, root: Path) -> VideoSplits:
    """HMDB51 with the attributes of VP-HMDB51."""
    return _label(config, root, hmdb51.read_splits)


def read_labels(config: ActionData, root: Path) -> LabelTable:
    """The whole label file, by video name without suffix. Raises DataError where it is not there or cannot be used."""
    videos = config.name.removeprefix("vp_")
    stem = f"{videos}_privacy_attribute_label"
    files = [f"{place}{stem}{suffix}" for place in (f"VP-{videos.upper()}/", "") for suffix in (".pickle", ".pkl", ".csv")]
    path = find_file(root, files)
    if path is None:
        raise DataNotThereError(f"{root}: no {stem}.pickle; put it at {root / files[0]} or {root / files[3]}")
    if path.suffix != ".csv":
        return read_labels_pickle(path, config.attributes or DEFAULT_COLUMNS, _without_suffix)
    table = read_labels_csv(path, _without_suffix)
    if config.attributes is None:
        return table
    if len(config.attributes) != len(table.columns):
        raise DataError(
            f"{path}:1: {len(table.columns)} columns of labels, but {len(config.attributes)} attributes are named;"
            " name every column, in the file's order"
        )
    return dataclasses.replace(table, columns=config.attributes)


def _label(config: ActionData, root: Path, read_splits: Callable[[ActionData, Path], VideoSplits]) -> VideoSplits:
    table = read_labels(config, root)
    try:
        splits = read_splits(config, root)
    except DataNotThereError as error:  # beside labels, the absence of the videos is no mere "not there"
        raise DataError(f"{table.path}: the labels are there, the videos are not: {error}") from None
    return hold_out_validation(label_videos(splits, table, _without_suffix), config.validation_fraction)


def _without_suffix(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
