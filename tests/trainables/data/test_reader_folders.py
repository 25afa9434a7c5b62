"""Data sets of one's own in class folders, and every way in which such data can be wrong."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import SHARED
from tests.support.data_sets import append, refused, write, write_lines
from trainables.attacks.linkage.people import named_by_label, people_of
from trainables.config import ActionData, PrivacyData
from trainables.data.registry import load_stills, load_videos

IXMAS = SHARED / "ixmas_mini"
OWN_TRAIN = [f"{c}/clip {n}.{s}" for c in ("fall", "walk") for n, s in enumerate(("mp4", "MKV", "avi"))]
OWN_TEST = ["fall/t.webm", "walk/t.mov"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    for name in OWN_TRAIN + OWN_TEST:
        write(tmp_path / "videos" / name)
    for name in ("a/1.png", "a/2.png", "b/1.png", "3.jpg"):
        write(tmp_path / "images" / name)
    splits = tmp_path / "splits"
    write_lines(splits / "train.txt", OWN_TRAIN)
    write_lines(splits / "test.txt", OWN_TEST)
    write_lines(splits / "images_train.txt", ["a/1.png", "a/2.png", "b/1.png"])
    write_lines(splits / "images_test.txt", ["3.jpg"])
    rows = ["a/1.png,a,1,0", "a/2.png,a,1,1", "b/1.png,b,0,1", "3.jpg,c,0,0"]
    write_lines(tmp_path / "image_attributes.csv", ["filename,group,tall,blue", *rows])
    return tmp_path


@pytest.mark.skipif(not IXMAS.is_dir(), reason=f"the clips of ten people are not at {IXMAS}")
def test_clips_of_people_who_are_known() -> None:
    """10 people, 6 actions, takes 1 and 2 to train, 3 to test, two cameras each; only the name of the layout is given."""
    clips, stills = load_videos(ActionData(name="folders"), IXMAS), load_stills(PrivacyData(name="folders"), IXMAS)
    assert (len(clips.classes), len(clips.train) + len(clips.validation), len(clips.test)) == (6, 240, 120)
    assert clips.attributes == stills.attributes == tuple(f"person_{number:02}" for number in range(1, 11))
    assert len(stills.train) + len(stills.validation) + len(stills.test) == 720
    assert named_by_label(clips, "auto")
    assert set(people_of(clips.test, clips, "auto")) == set(people_of(clips.train, clips, "auto")) == set(clips.attributes)
    assert {item.group: 2 for item in clips.test} == Counter(item.group for item in clips.test), "a performance, two cameras"
    takes = {part: {re.search(r"take(\d)", item.name)[1] for item in getattr(clips, part)} for part in ("train", "test")}  # type: ignore[index]
    assert takes == {"train": {"1", "2"}, "test": {"3"}}


def load_own(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_videos(ActionData(name="folders", **config), root)


def load_own_images(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_stills(PrivacyData(name="folders", **config), root)


def test_folders_videos(own: Path) -> None:
    splits = load_videos(ActionData(name="folders"), own)
    assert splits.classes == ("fall", "walk")
    assert [(video.name, video.label, video.group) for video in splits.test] == [
        ("fall/t.webm", 0, "fall/t.webm"),
        ("walk/t.mov", 1, "walk/t.mov"),
    ]
    assert {video.name for video in (*splits.train, *splits.validation)} == set(OWN_TRAIN)
    assert {video.label for video in splits.validation} == {0, 1}
    write_lines(own / "splits" / "train.txt", OWN_TRAIN[1:])
    write_lines(own / "splits" / "validation.txt", OWN_TRAIN[:1])
    assert [video.name for video in load_videos(ActionData(name="folders"), own).validation] == OWN_TRAIN[:1]


def test_folders_clip_attributes(own: Path) -> None:
    rows = [f"{name},person {n % 3},{n % 2},0" for n, name in enumerate(OWN_TRAIN + OWN_TEST)]
    path = write_lines(own / "clip_attributes.csv", ["filename,group,tall,blue", *rows])
    splits = load_videos(ActionData(name="folders"), own)
    assert splits.attributes == ("tall", "blue")
    assert [video.attributes for video in splits.test] == [(0, 0), (1, 0)]
    assert len({video.group for video in splits.validation}) == 1
    assert load_videos(ActionData(name="folders", attributes=("blue",)), own).attributes == ("blue",)
    write_lines(path, ["filename,group", *[row.rsplit(",", 2)[0] for row in rows]])
    assert load_videos(ActionData(name="folders"), own).attributes == ()
    refused(load_own(own, attributes=("tall",)), "folders: its videos carry no attributes")
    write_lines(path, ["filename,group", f"{OWN_TRAIN[0]},"])
    refused(load_own(own), f"clip_attributes.csv: no group for {OWN_TRAIN[0]!r} (1 such in all)", "name the source")
    write_lines(path, ["filename,group", f"{OWN_TRAIN[0]},x"])
    refused(load_own(own), "train.txt:2: no group for", "clip_attributes.csv (7 such in all)", "leave the column `group` out")
    write_lines(path, ["filename,tall", f"{OWN_TRAIN[0]},1"])
    refused(load_own(own), "clip_attributes.csv: no row for", "(7 such in all)")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("../videos/fall/t.webm", ["test.txt:3: '../videos/fall/t.webm' points outside"]),
        ("t.webm", ["test.txt:3: 't.webm' is not <class>/<file> with one of .avi"]),
        ("fall/deep/t.webm", ["test.txt:3: 'fall/deep/t.webm' is not <class>/<file>"]),
        ("fall/t.txt", ["test.txt:3: 'fall/t.txt' is not <class>/<file>"]),
        ("fal/t.webm", ["test.txt:3: class 'fal' has no training video (nearest: fall)"]),
        ("fall/clip 0.mp4", ["test.txt:3: 'fall/clip 0.mp4' is listed already at", "train.txt:1"]),
        ("fall/gone.mp4", ["test.txt:3:", "is not there (1 of 9 files"]),
    ],
)
def test_folders_refuses_bad_entries(own: Path, line: str, parts: list[str]) -> None:
    append(own / "splits" / "test.txt", line)
    refused(load_own(own), *parts)


def test_folders_images(own: Path) -> None:
    splits = load_stills(PrivacyData(name="folders"), own)
    assert splits.attributes == ("tall", "blue")
    assert [(still.name, still.attributes, still.group) for still in splits.test] == [("3.jpg", (0, 0), "c")]
    assert {still.group for still in splits.train}.isdisjoint({still.group for still in splits.validation})
    assert load_stills(PrivacyData(name="folders", attributes=("blue",)), own).test[0].attributes == (0,)
    write_lines(own / "splits" / "images_train.txt", ["a/1.png", "a/2.png"])
    write_lines(own / "splits" / "images_validation.txt", ["b/1.png"])
    assert [still.name for still in load_stills(PrivacyData(name="folders"), own).validation] == ["b/1.png"]


def test_folders_images_by_pattern(own: Path) -> None:
    write_lines(own / "image_attributes.csv", ["filename,tall", "a/1.png,1", "a/2.png,0", "b/1.png,1", "3.jpg,1"])
    splits = load_stills(PrivacyData(name="folders", group_pattern="(^.)"), own)
    assert {still.name: still.group for still in (*splits.train, *splits.validation, *splits.test)} == {
        "a/1.png": "a",
        "a/2.png": "a",
        "b/1.png": "b",
        "3.jpg": "3",
    }


def test_folders_refuses_bad_images(own: Path) -> None:
    refused(
        load_own_images(own, attributes="vispr1"), "image_attributes.csv: attributes 'vispr1'; write auto or a list of tall"
    )
    refused(load_own_images(own, attributes=("tal",)), "image_attributes.csv: no attribute 'tal' (nearest: tall)")
    append(own / "splits" / "images_test.txt", "../3.jpg")
    refused(load_own_images(own), "images_test.txt:2: '../3.jpg' points outside")
    write(own / "images" / "new.jpg")
    write_lines(own / "splits" / "images_test.txt", ["new.jpg"])
    refused(load_own_images(own), "images_test.txt:1: no row for 'new.jpg' in", "(1 such in all)", "give every image")
    write(own / "images" / "new.jpg", "")
    refused(load_own_images(own), "images_test.txt:1:", "new.jpg is an empty file (1 of 4 files")
    write_lines(own / "splits" / "images_test.txt", ["3.jpg"])
    (own / "image_attributes.csv").unlink()
    refused(load_own_images(own), "image_attributes.csv: cannot be read (No such file", "put the file there")
    (own / "splits" / "images_test.txt").unlink()
    refused(load_own_images(own), "images_test.txt: cannot be read (No such file")
