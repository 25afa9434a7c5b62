"""The second negative control of every attack: labels that were exchanged between groups before anybody learned from them.

Blank frames cannot fail alone: whoever predicts the same for every item is at chance, whatever else is wrong. With exchanged
labels the frames are whole, the attack learns as on raw data, and what it learns is worth nothing for other groups. An attack
that reads such labels has seen those of the test items, or items of one source on both sides of a split.

Arrays of names only: needs no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trainables.attacks.linkage.people import named_by_label
from trainables.data.items import StillSplits, Video, VideoSplits

Splits = TypeVar("Splits", VideoSplits, StillSplits)
_SPLITS = ("train", "validation", "test")
_DRAWS = 100  # of which the first that can be measured is taken; where a guess at two groups fails half of the time


def with_permuted_labels(splits: Splits, seed: int) -> Splits:
    """The splits where each group has the labels of another one, drawn from all splits together.

    Labels stay in their order within a group, and begin again where the new group is larger: items of a group are as alike in
    their labels as they were. With a handful of groups a split can be left with items that are all alike, where nothing can be
    measured; then labels are drawn again.
    """
    of_group: dict[str, list[tuple[float, ...] | None]] = {}
    for split in _SPLITS:
        for item in getattr(splits, split):
            of_group.setdefault(item.group, []).append(item.attributes)
    random = np.random.default_rng(seed)
    for _ in range(_DRAWS):
        exchanged = _exchanged(splits, of_group, random.permutation(len(of_group)).tolist())
        if all(_differ(getattr(exchanged, split)) or not _differ(getattr(splits, split)) for split in _SPLITS):
            break
    return exchanged


def _differ(items: Sequence[Any]) -> bool:
    """Whether there is a label that some items have and others have not."""
    rows = [item.attributes for item in items if item.attributes is not None]
    return any(0.0 < sum(column) < len(column) for column in zip(*rows, strict=True))


def _exchanged(splits: Splits, of_group: dict[str, list[tuple[float, ...] | None]], order: list[int]) -> Splits:
    names = list(of_group)
    given = dict(zip(names, order, strict=True))
    taken = dict.fromkeys(names, 0)

    def permuted(items: tuple[Any, ...]) -> tuple[Any, ...]:
        found = []
        for item in items:
            labels = of_group[names[given[item.group]]]
            found.append(replace(item, attributes=labels[taken[item.group] % len(labels)]))
            taken[item.group] += 1
        return tuple(found)

    train, validation, test = (permuted(getattr(splits, split)) for split in _SPLITS)
    return replace(splits, train=train, validation=validation, test=test)


def with_permuted_people(splits: VideoSplits, seed: int, people: str) -> VideoSplits:
    """The splits where clips show other people: as `with_permuted_labels` where a label names them; where the source stands for
    the person, clips of a split exchange their sources.
    """
    if named_by_label(splits, people):
        return with_permuted_labels(splits, seed)
    random = np.random.default_rng(seed)

    def permuted(items: tuple[Video, ...]) -> tuple[Video, ...]:
        order = random.permutation(len(items)).tolist()
        return tuple(replace(item, group=items[number].group) for item, number in zip(items, order, strict=True))

    return replace(splits, train=permuted(splits.train), validation=permuted(splits.validation), test=permuted(splits.test))
