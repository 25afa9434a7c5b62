"""The second negative control: labels exchanged between sources, and people between clips."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from trainables.attacks.shared.permutation import with_permuted_labels, with_permuted_people
from trainables.data.items import Video, VideoSplits


def splits(groups: int, clips: int) -> VideoSplits:
    """Three splits; each clip of group n has label 1 if n is even, and its number in the group as a second label."""

    def made(split: int) -> tuple[Video, ...]:
        return tuple(
            Video(f"{split} {group} {clip}", Path("x"), 0, f"{split} {group}", (float(group % 2 == 0), float(clip)))
            for group in range(groups)
            for clip in range(clips)
        )

    return VideoSplits("toy", ("c",), ("even", "number"), made(0), made(1), made(2))


def test_groups_exchange_their_labels_and_nothing_else() -> None:
    before = splits(10, 3)
    after = with_permuted_labels(before, 0)
    for split in ("train", "validation", "test"):
        old, new = getattr(before, split), getattr(after, split)
        assert [(item.name, item.group, item.label) for item in old] == [(item.name, item.group, item.label) for item in new]
        of_group: dict[str, set[float]] = {}
        for item in new:
            of_group.setdefault(item.group, set()).add(item.attributes[0])
        assert all(len(labels) == 1 for labels in of_group.values()), "clips of a group are as alike as they were"
        assert [item.attributes[1] for item in new] == [item.attributes[1] for item in old], "in their order"
        assert [item.attributes for item in new] != [item.attributes for item in old]
    everybody = [
        [item.attributes for split in (each.train, each.validation, each.test) for item in split] for each in (before, after)
    ]
    assert Counter(everybody[0]) == Counter(everybody[1])
    assert with_permuted_labels(before, 0) == after
    assert with_permuted_labels(before, 1) != after


def test_two_sources_that_differ_still_differ_once_their_labels_are_exchanged() -> None:
    """Else the control of a set with a handful of sources would have nothing to measure, and the trial would end there."""
    before = splits(2, 1)
    for seed in range(50):
        after = with_permuted_labels(before, seed)
        for split in (after.train, after.validation, after.test):
            assert {item.attributes[0] for item in split} == {0.0, 1.0}, "both labels of the first attribute"
    alike = replace(before, test=before.test[:1])  # whose single item cannot differ from any: nothing is asked of it
    assert len(with_permuted_labels(alike, 0).test) == 1


def test_the_labels_of_a_source_tell_nothing_of_what_it_has_been_given() -> None:
    before, agree = splits(10, 1), []
    for seed in range(200):
        after = with_permuted_labels(before, seed)
        agree.append(np.mean([a.attributes[0] == b.attributes[0] for a, b in zip(before.test, after.test, strict=True)]))
    assert abs(np.mean(agree) - 0.5) < 0.03


def test_a_source_that_stands_for_a_person_is_exchanged_clip_by_clip_within_a_split() -> None:
    before = splits(6, 4)
    after = with_permuted_people(before, 0, "group")
    for split in ("train", "validation", "test"):
        old, new = getattr(before, split), getattr(after, split)
        assert Counter(item.group for item in old) == Counter(item.group for item in new)
        assert [item.name for item in old] == [item.name for item in new]
        assert sum(a.group == b.group for a, b in zip(old, new, strict=True)) < len(old) / 2
