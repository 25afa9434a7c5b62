"""The second negative control of every attack: labels that were exchanged between groups before anybody learned from them.

Blank frames cannot fail alone: whoever predicts the same for every item is at chance, whatever else is wrong. With exchanged
labels the frames are whole, the attack learns as on raw data, and what it learns is worth nothing for other groups. An attack
that reads such labels has seen those of the test items, or items of one source on both sides of a split.

Arrays of names only: needs no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from trainables.attacks.linkage.people import named_by_label
from trainables.data.items import StillSplits, Video, VideoSplits

Splits = TypeVar("Splits", VideoSplits, StillSplits)
_SPLITS = ("train", "validation", "test")


def with_permuted_labels(splits: Splits, seed: int) -> Splits:
    """The splits where each group has the labels of another one, drawn from all splits together.

    Labels stay in their order within a group, and begin again where the new group is larger: items of a group are as alike in
    their labels as they were.
    """
    of_group: dict[str, list[tuple[float, ...] | None]] = {}
    for split in _SPLITS:
        for item in getattr(splits, split):
            of_group.setdefault(item.group, []).append(item.attributes)
    names = list(of_group)
    given = dict(zip(names, np.random.default_rng(seed).permutation(len(names)).tolist(), strict=True))
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
