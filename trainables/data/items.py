"""What every reader returns: named items in three splits, and one error for data that cannot be used."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
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
        """Hash of names, sizes in bytes and labels of every item: equal on two machines iff they hold the same data."""
        rows = [
            (split, item.name, item.path.stat().st_size, item.label, item.attributes)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return _digest([self.name, self.classes, self.attributes, rows])


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
        """Hash of names, frames, sizes in bytes and labels of every item."""
        rows = [
            (split, item.name, item.frame, item.path.stat().st_size, item.attributes)
            for split in ("train", "validation", "test")
            for item in getattr(self, split)
        ]
        return _digest([self.name, self.attributes, rows])


def cut_validation(items: Sequence[Item], fraction: float, name: str) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Splits training items into (train, validation) by whole groups, so that no source is on both sides.

    The same for every seed and machine: first the smallest groups that bring a class not yet held out, so that few large
    sources do not use up the fraction; then groups in an order hashed from `name` until `fraction` of the items is reached.
    None is taken that would leave a class without training items.

    Raises DataError if the items come from a single group, or if no group can be spared.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    if len(groups) < 2:
        raise DataError(
            f"{name}: the {len(items)} training items come from {len(groups)} group, so none can be held out for validation;"
            " give items of at least two sources"
        )
    left = Counter(item.label for item in items if isinstance(item, Video))
    held_classes: set[int] = set()
    held: set[str] = set()
    order = sorted(groups, key=lambda group: _digest([name, group]))
    for need_new_class in (True, False):
        for group in sorted(order, key=lambda group: len(groups[group])) if need_new_class else order:
            if group in held or len(held) == len(groups) - 1:
                continue
            labels = Counter(item.label for item in groups[group] if isinstance(item, Video))
            enough = sum(len(groups[g]) for g in held) >= fraction * len(items)
            if need_new_class:
                if not set(labels) - held_classes:
                    continue
            elif enough:
                break
            if any(left[label] == count for label, count in labels.items()):
                continue
            held.add(group)
            left -= labels
            held_classes |= set(labels)
    if not held:
        raise DataError(
            f"{name}: each of the {len(groups)} groups of training items is the only one of a class, so none can be held out"
            " for validation; give classes items of at least two sources"
        )
    return (
        tuple(item for item in items if item.group not in held),
        tuple(item for item in items if item.group in held),
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
