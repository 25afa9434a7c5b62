"""What every reader returns: named items in three splits, and one error for data that cannot be used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar


class DataError(RuntimeError):
    """Data that cannot be used; the message is one line that says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Video:
    """One video file. `name` is its name inside the data set (never a path of the machine).

    `group` names what videos cut from one source share; `attributes` holds one 0/1 label per private attribute of the
    data set, None where it has none.
    """

    name: str
    path: Path
    label: int
    group: str
    attributes: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Still:
    """One image, or frame number `frame` of a video file, with one 0/1 label per private attribute."""

    name: str
    path: Path
    attributes: tuple[float, ...]
    group: str
    frame: int | None = None


Item = TypeVar("Item", Video, Still)


@dataclass(frozen=True)
class VideoSplits:
    """Labelled videos. `attributes` names the columns of `Video.attributes` (empty where the videos carry none)."""

    name: str
    classes: tuple[str, ...]
    attributes: tuple[str, ...]
    train: tuple[Video, ...]
    validation: tuple[Video, ...]
    test: tuple[Video, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, sizes in bytes, labels and groups of every item: equal on two machines iff they hold the same data."""
        rows = [
            (split, item.name, item.path.stat().st_size, item.label, item.group, item.attributes)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return digest_of([self.name, self.classes, self.attributes, rows])


@dataclass(frozen=True)
class StillSplits:
    """Images with private attributes; `attributes` names the columns."""

    name: str
    attributes: tuple[str, ...]
    train: tuple[Still, ...]
    validation: tuple[Still, ...]
    test: tuple[Still, ...]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of names, frames, sizes in bytes, labels and groups of every item."""
        rows = [
            (split, item.name, item.frame, item.path.stat().st_size, item.group, item.attributes)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return digest_of([self.name, self.attributes, rows])


def digest_of(value: object) -> str:
    """A short hash of a value of JSON, the same on every machine."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
