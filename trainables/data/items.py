"""What every reader returns: named items in three splits, and one error for data that cannot be used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from trainables.config import Contents
from trainables.data.contents import contents_of


class DataError(RuntimeError):
    """Data that cannot be used; the message is one line that says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Video:
    """One video file. `name` is its name inside the data set (never a path of the machine).

    `group` names what videos cut from one source share; `attributes` holds one 0/1 label per private attribute of the
    data set, None where it has none. `span`: the clip is what is shown between these seconds of the file (None: to its end).
    `twin`: the same video, frame by frame, as somebody else has anonymized it, where that is to be read beside it.
    """

    name: str
    path: Path
    label: int
    group: str
    attributes: tuple[float, ...] | None = None
    span: tuple[float, float | None] | None = None
    twin: Path | None = None

    @property
    def file(self) -> str:
        """The name of its file inside the data set: `name` without the times that the name of a stretch ends in."""
        return self.name if self.span is None else self.name.rpartition("@")[0] or self.name


@dataclass(frozen=True)
class Still:
    """One image, or frame number `frame` of a video file, with one 0/1 label per private attribute.

    Or the frame at `moment` of a `clip`: 0 is its first frame, 1 its last.
    """

    name: str
    path: Path
    attributes: tuple[float, ...]
    group: str
    frame: int | None = None
    clip: Video | None = None
    moment: float = 0.5


Item = TypeVar("Item", Video, Still)


@dataclass(frozen=True)
class VideoSplits:
    """Labelled videos. `attributes` names the columns of `Video.attributes` (empty where the videos carry none).

    `published`: the split is the one that others report on, so that what its training and test share is said and not refused.
    `contents`: what of the files is in the fingerprint, see `contents_of`.
    `flaws`: what the reader has found wrong that would falsify figures, each in a sentence (see `trainables.data.flaws`).
    `notes`: what it has found that people should know, and that falsifies none.
    """

    name: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: tuple[Video, ...]
    published: bool = False
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    contents: Contents = "parts"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every item's name, label, group, attributes and stretch of time, and of what is in its file: equal on two
        machines iff they hold the same data.
        """
        contents = contents_of_items((*self.train, *self.validation, *self.test), self.contents)
        rows = [
            (split, item.name, contents[item.path], item.label, item.group, item.attributes, item.span)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return digest_of([self.name, self.classes, self.attributes, rows])


@dataclass(frozen=True)
class StillSplits:
    """Images with private attributes; `attributes` names the columns. The last four are those of VideoSplits."""

    name: str
    attributes: tuple[str, ...]
    train: tuple[Still, ...]
    validation: tuple[Still, ...]
    test: tuple[Still, ...]
    published: bool = False
    flaws: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    contents: Contents = "parts"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every item's name, frame, group and attributes, and of what is in its file."""
        contents = contents_of_items((*self.train, *self.validation, *self.test), self.contents)
        rows = [
            (split, item.name, item.frame, item.moment, contents[item.path], item.group, item.attributes)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return digest_of([self.name, self.attributes, rows])


def contents_of_items(items: Sequence[Video | Still], contents: Contents = "parts") -> dict[Path, str]:
    """A hash of what is in the file of every item, by path. Raises DataError for a file that cannot be read."""
    try:
        return contents_of((item.path for item in items), contents == "whole")
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read ({error.strerror}); give this user the right to read it") from None


def digest_of(value: object) -> str:
    """A short hash of a value of JSON, the same on every machine."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
