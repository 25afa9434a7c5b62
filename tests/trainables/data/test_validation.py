"""The cut of validation items: whole groups, the same share of every class and attribute, the same on every machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from trainables.data.items import DataError, Still, Video, VideoSplits
from trainables.data.validation import cut_validation, held_out, hold_out_validation


def videos(*groups: tuple[str, int, int]) -> list[Video]:
    """`count` videos of one class for each (group, label, count)."""
    return [Video(f"{g}{label}{n}", Path("x"), label, g) for g, label, count in groups for n in range(count)]


def per_class(items: tuple[Video, ...]) -> dict[int, int]:
    return dict(sorted(Counter(item.label for item in items).items()))


def test_every_class_gives_its_share_of_items_and_of_groups() -> None:
    # class 0: 20 groups of 5; class 1: 10 groups of 2; class 2: 100 items of their own
    items = videos(
        *[(f"a{n}", 0, 5) for n in range(20)], *[(f"b{n}", 1, 2) for n in range(10)], *[(f"c{n}", 2, 1) for n in range(100)]
    )
    train, held = cut_validation(items, 0.1, "any")
    assert per_class(held) == {0: 10, 1: 2, 2: 10}
    assert Counter({item.group: item.label for item in held}.values()) == {0: 2, 1: 1, 2: 10}
    assert {*train} | {*held} == {*items}
    assert not {item.group for item in train} & {item.group for item in held}


def test_a_class_of_unequal_groups_gives_neither_only_large_nor_only_small_ones() -> None:
    items = videos(*[(f"large{n}", 0, 6) for n in range(10)], *[(f"small{n}", 0, 1) for n in range(10)])
    _, held = cut_validation(items, 0.1, "any")
    assert sorted(Counter(item.group for item in held).values()) == [1, 6], "7 of 70 items, 2 of 20 groups"


def test_a_group_of_several_classes_is_held_out_whole() -> None:
    items = videos(*[(f"person{n}", label, 3) for n in range(10) for label in range(4)])
    _, held = cut_validation(items, 0.2, "any")
    assert per_class(held) == dict.fromkeys(range(4), 6)
    assert len({item.group for item in held}) == 2


def test_images_give_their_share_of_every_attribute() -> None:
    # attribute 0 in every 10th image, attribute 1 in every 4th, in 1,000 images of two a source
    items = [Still(f"{n}.jpg", Path("x"), (float(n % 10 == 0), float(n % 4 == 0)), f"source{n // 2}") for n in range(1_000)]
    train, held = cut_validation(items, 0.1, "any")
    assert len(held) == 100
    assert [sum(still.attributes[column] for still in held) for column in (0, 1)] == [10, 25]
    assert len(train) == 900


def test_clips_with_attributes_give_their_share_of_both() -> None:
    items = [
        Video(f"{label}{who}{n}", Path("x"), label, f"{label}{who}{n}", tuple(float(who == k) for k in range(4)))
        for label in range(3)
        for who in range(4)
        for n in range(10)
    ]
    _, held = cut_validation(items, 0.1, "any")
    assert per_class(held) == {0: 4, 1: 4, 2: 4}
    assert [sum(item.attributes[k] for item in held if item.attributes) for k in range(4)] == [3, 3, 3, 3]


def test_small_sources_are_spared_for_small_fractions() -> None:
    items = videos(*[(f"big{n}", n % 2, 20) for n in range(6)], ("small0", 0, 2), ("small1", 1, 3))
    train, held = cut_validation(items, 0.04, "any")
    assert {item.group for item in held} == {"small0", "small1"}
    assert {*train} | {*held} == {*items}


def test_validation_is_never_empty_and_no_class_loses_its_last_training_item() -> None:
    with pytest.raises(DataError, match="each of the 2 groups of training items is the only one of a class"):
        cut_validation(videos(("a", 0, 3), ("b", 1, 3)), 0.1, "any")
    with pytest.raises(DataError, match="any: the 3 training items come from 1 group"):
        cut_validation(videos(("a", 0, 3)), 0.1, "any")
    train, held = cut_validation(videos(("a", 0, 3), ("b", 1, 3), ("c", 1, 3)), 0.9, "any")
    assert per_class(train) == {0: 3, 1: 3}
    assert per_class(held) == {1: 3}


def test_the_cut_depends_on_the_name_and_on_nothing_else() -> None:
    items = videos(*[(f"g{n}", n % 3, 4) for n in range(60)])
    first = {item.group for item in cut_validation(items, 0.1, "any")[1]}
    assert {item.group for item in cut_validation(items[::-1], 0.1, "any")[1]} == first
    assert {item.group for item in cut_validation(items, 0.1, "other")[1]} != first


def test_many_single_items_are_cut_quickly() -> None:
    items = videos(*[(f"v{n}", n % 100, 1) for n in range(5_000)])
    assert set(per_class(cut_validation(items, 0.1, "any")[1]).values()) == {5}


def test_held_out_names_the_smallest_share_first() -> None:
    train, validation = videos(("a", 0, 8), ("b", 1, 9)), videos(("c", 0, 2), ("d", 1, 1))
    splits = VideoSplits("any", ("x", "y"), (), tuple(train), tuple(validation), ())
    assert [(one.what, one.validation, one.items) for one in held_out(splits)] == [("class y", 1, 10), ("class x", 2, 10)]
    assert hold_out_validation(splits, 0.5) is splits, "a set with validation items of its own keeps them"


def test_classes_come_before_attributes() -> None:
    """Twelve sources of two classes with attributes all over the place: of each class a quarter is held out, to half a clip."""
    sources = ("0:11", "1:01", "0:00", "1:00 00", "0:00", "1:11 10", "0:00 10", "1:01 01", "0:10 01 00", "1:00 10 00")
    clips = [
        Video(f"{number} {clip}", Path("x"), int(source[0]), f"g{number}", (float(labels[0]), float(labels[1])))
        for number, source in enumerate((*sources, "0:11 01", "1:10 00 00"))
        for clip, labels in enumerate(source[2:].split())
    ]
    _, held_out = cut_validation(clips, 0.25, "x")
    for label in (0, 1):
        taken, there = (sum(clip.label == label for clip in part) for part in (held_out, clips))
        assert abs(taken - 0.25 * there) <= 0.5
