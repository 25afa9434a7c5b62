"""The frame-wise labels of PA-HMDB51: `PA-HMDB51/PrivacyAttributes/<class>.json`, or `PrivacyAttributes/` under the root.

Each file maps a video to its attributes, each a list of [first frame, last frame (inclusive), value]; `review` and `note`
may stand beside them. A value is a number or a list of numbers (several people); it is positive if any is not 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainables.data.items import DataError
from trainables.data.readers.common import read_json, require_folder

FOLDERS = ("PA-HMDB51/PrivacyAttributes", "PrivacyAttributes")
ATTRIBUTES = ("skin_color", "face", "gender", "nudity", "relationship")


@dataclass(frozen=True)
class Annotation:
    """The labels of one video of the HMDB51 class `label_class`, as the file `where` has them."""

    label_class: str
    video: str
    where: str
    ranges: Any

    @property
    def name(self) -> str:
        """The video's name in HMDB51: `<class>/<file>`."""
        return f"{self.label_class}/{self.video}"


def annotated_names(root: Path) -> frozenset[str]:
    """The names in HMDB51 of the videos that PA-HMDB51 labels. Raises DataError where its label files are not under `root`."""
    return frozenset(annotation.name for annotation in read_annotations(root))


def read_annotations(root: Path) -> list[Annotation]:
    """All annotations in the order of class and file. Raises DataError where there are none."""
    folder = require_folder(root, FOLDERS, "the label files of PA-HMDB51")
    files = sorted(folder.glob("*.json"))
    if not files:
        raise DataError(f"{folder}: no label files; put PA-HMDB51's <class>.json files there")
    annotations = []
    for path in files:
        videos = read_json(path)
        if not isinstance(videos, dict) or not videos:
            raise DataError(f"{path}: no mapping of videos to their labels; fetch the file again")
        annotations += [Annotation(path.stem, video, str(path), ranges) for video, ranges in videos.items()]
    return annotations


def frame_labels(annotation: Annotation) -> dict[int, tuple[float, ...]]:
    """The 0/1 labels, in the order of ATTRIBUTES, of every frame that all attributes label, by frame number from 0.

    The files have gaps, and attributes that start at different frames: a frame some attribute leaves out has no labels.
    Ranges that overlap are joined: positive if one of them is. Raises DataError for anything else than such ranges.
    """
    columns = [_positive_frames(annotation, attribute) for attribute in ATTRIBUTES]
    common = set.intersection(*(set(column) for column in columns))
    if not common:
        raise DataError(f"{annotation.where}: {annotation.video!r}: no frame that all attributes label; correct the ranges")
    return {frame: tuple(column[frame] for column in columns) for frame in sorted(common)}


def _positive_frames(annotation: Annotation, attribute: str) -> dict[int, float]:
    ranges = annotation.ranges.get(attribute) if isinstance(annotation.ranges, dict) else None
    entries: list[Any] = ranges if isinstance(ranges, list) else [ranges]
    frames: dict[int, float] = {}
    for entry in entries:
        if not _is_range(entry):
            raise DataError(
                f"{annotation.where}: {annotation.video!r}, {attribute}: {entry!r}"
                " is not [first frame, last frame, value or list of values]; correct it or fetch the file again"
            )
        first, last, value = entry
        positive = float(any(value) if isinstance(value, list) else value != 0)
        for frame in range(first, last + 1):
            frames[frame] = max(positive, frames.get(frame, 0.0))
    return frames


def _is_range(entry: object) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    first, last, value = entry
    numbers = value if isinstance(value, list) and value else [value]
    return all(isinstance(number, int) for number in (first, last, *numbers)) and 0 <= first <= last
