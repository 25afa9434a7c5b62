"""UCF101 and HMDB51 as downloads, unpackers and other code leave them: read, or refused with what was found and what to do."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.data_sets import HMDB, UCF_TEST, UCF_TRAIN, load_ucf, refused, write, write_lines
from trainables.config import ActionData
from trainables.data.readers.places import describe, fold, locate
from trainables.data.registry import load_videos


def move(root: Path, name: Callable[[str], str], folder: str = "UCF-101") -> None:
    """Moves every video of the folder to the place that `name` gives for it."""
    base = root / folder
    for path in [path for path in base.rglob("*") if path.is_file()]:
        target = base.parent / "moved" / name(str(path.relative_to(base)))
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    for place in sorted(base.rglob("*"), reverse=True):
        place.rmdir()
    base.rmdir()
    (base.parent / "moved").rename(base)


@pytest.mark.parametrize(
    "place",
    [
        lambda name: name.lower(),  # other letters
        lambda name: name.replace("Jump", "JUMP"),
        lambda name: name.removesuffix(".avi") + ".mp4",
        lambda name: name.removesuffix(".avi") + ".AVI",
        lambda name: f"{name.split('/')[0]}/{name}",  # class/class
        lambda name: name.split("/")[1],  # one flat folder
        lambda name: f"UCF-101/{name}",  # the wrapper of a zip
        lambda name: f"{name.removesuffix('.avi')}/img_00001.jpg",  # frames
    ],
    ids=["lower", "upper class", "mp4", "AVI", "class in class", "flat", "wrapper", "frames"],
)
def test_ucf101_is_read_however_it_was_unpacked(ucf: Path, place: Callable[[str], str]) -> None:
    move(ucf, place)
    splits = load_videos(ActionData(name="ucf101"), ucf)
    assert {video.name for video in (*splits.train, *splits.validation)} == set(UCF_TRAIN)
    assert [video.name for video in splits.test] == UCF_TEST, "an item keeps the name of the list"
    assert len({video.path for video in (*splits.train, *splits.validation, *splits.test)}) == 18
    assert all(video.path.exists() for video in splits.test)


@pytest.mark.parametrize(
    ("videos", "lists"),
    [
        ("ucf101/videos", "ucf101/annotations"),  # mmaction2
        ("ucf101", "ucfTrainTestlist"),
        ("ucf_101", "ucf_101/ucfTrainTestlist"),
        ("UCF-101", "UCF101TrainTestSplits/ucfTrainTestlist"),
        ("UCF-101", "ucfTrainTestlist/ucfTrainTestlist"),
        ("UCF-101", "annotations"),
    ],
)
def test_roots_and_lists_of_ucf101(ucf: Path, tmp_path: Path, videos: str, lists: str) -> None:
    root = tmp_path / "variant"
    for old, new in (("UCF-101", videos), ("ucfTrainTestlist", lists)):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (ucf / old).rename(root / new)
    assert len(load_videos(ActionData(name="ucf101"), root).test) == 2


@pytest.mark.parametrize(
    ("videos", "lists"),
    [
        ("hmdb51/videos", "hmdb51/annotations"),  # mmaction2
        ("HMDB51", "testTrainMulti_7030_splits/testTrainMulti_7030_splits"),
        ("hmdb51_org", "test_train_splits/testTrainMulti_7030_splits"),
        ("Hmdb51", "annotations"),
    ],
)
def test_roots_and_lists_of_hmdb51(hmdb: Path, tmp_path: Path, videos: str, lists: str) -> None:
    root = tmp_path / "variant"
    for old, new in (("hmdb51", videos), ("testTrainMulti_7030_splits", lists)):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        (hmdb / old).rename(root / new)
    assert len(load_videos(ActionData(name="hmdb51"), root).test) == 2


def test_hmdb51_as_its_rar_files_unpack(hmdb: Path) -> None:
    move(hmdb, lambda name: f"{name.split('/')[0]}/{name}", "hmdb51")
    splits = load_videos(ActionData(name="hmdb51"), hmdb)
    assert splits.classes == tuple(sorted(HMDB))
    assert splits.flaws == ()


def test_accents_in_two_characters(tmp_path: Path) -> None:
    name = "jump/caf\u00e9_1.avi"
    path = write(tmp_path / unicodedata.normalize("NFD", name))
    assert locate(tmp_path, [name])[name] == path
    assert fold("Hand_Stand-Pushups ") == fold("HandstandPushups")


def test_lists_written_by_windows(ucf: Path) -> None:
    path = ucf / "ucfTrainTestlist" / "testlist01.txt"
    path.write_bytes(path.read_text().encode("utf-16"))
    assert [video.name for video in load_videos(ActionData(name="ucf101"), ucf).test] == UCF_TEST


def test_two_files_for_one_name_are_not_guessed_between(ucf: Path) -> None:
    folder = ucf / "UCF-101"
    (folder / UCF_TEST[0]).unlink()
    for place in ("one", "two"):
        write(folder / place / Path(UCF_TEST[0]).name)
    refused(
        load_ucf(ucf), "testlist01.txt:1:", "v_Jump_g01_c01.avi is not there (1 of 18 files", "Jump holds 'v_Jump_g02_c01.avi'"
    )


def test_one_file_for_two_names_is_refused(ucf: Path) -> None:
    (ucf / "UCF-101" / UCF_TEST[0]).unlink()
    renamed = UCF_TRAIN[0].replace("_g02_c01", "_g02_C01")
    lines = (ucf / "ucfTrainTestlist" / "trainlist01.txt").read_text().splitlines()
    write_lines(ucf / "ucfTrainTestlist" / "trainlist01.txt", [*lines, f"{renamed} 1"])
    refused(load_ucf(ucf), "does not end in _gNN_cNN")


def test_what_was_found_is_said(ucf: Path, tmp_path: Path) -> None:
    (ucf / "UCF-101").rename(ucf / "my videos")
    refused(load_ucf(ucf), "no folder with the videos of UCF101; put it at", "holds 'my videos/', 'ucfTrainTestlist/'")
    assert describe(tmp_path / "none").endswith("none is not there")
