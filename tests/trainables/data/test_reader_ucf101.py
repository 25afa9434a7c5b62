"""UCF101 on a few small files, and every way in which such data can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.data_sets import UCF_TEST, UCF_TRAIN, append, load_ucf, refused, write, write_lines
from trainables.config import ActionData
from trainables.data.items import Video
from trainables.data.registry import load_videos


def test_ucf101(ucf: Path) -> None:
    splits = load_videos(ActionData(name="ucf101"), ucf)
    assert splits.classes == ("Jump", "Run")
    assert splits.attributes == ()
    assert [video.name for video in splits.test] == UCF_TEST
    assert [video.label for video in splits.test] == [0, 1]
    assert {video.name for video in (*splits.train, *splits.validation)} == set(UCF_TRAIN)
    # a source is a group number of a class
    assert len({video.group for video in (*splits.train, *splits.validation)}) == 8
    assert sorted(video.label for video in splits.validation) == [0, 0, 1, 1]
    assert splits.test[0] == Video(UCF_TEST[0], ucf / "UCF-101" / UCF_TEST[0], 0, "Jump/g01")


def test_ucf101_sources_that_the_set_names_are_the_groups(ucf: Path) -> None:
    people = {name: f"person {number % 3}" for number, name in enumerate(UCF_TRAIN + UCF_TEST)}
    for header, extra in (("filename,group", ""), ("filename,group,tall", ",1")):
        write_lines(ucf / "clip_attributes.csv", [header, *[f"{name},{who}{extra}" for name, who in people.items()]])
        splits = load_videos(ActionData(name="ucf101"), ucf)
        assert {v.name: v.group for v in (*splits.train, *splits.validation, *splits.test)} == people
        assert splits.attributes == (("tall",) if extra else ())
    (ucf / "clip_attributes.csv").unlink()
    over_all_classes = load_videos(ActionData(name="ucf101", group_pattern=r"_(g\d+)_c"), ucf)
    assert {video.group for video in over_all_classes.test} == {"g01"}
    wrong = load_ucf(ucf, group_pattern=r"_(p\d+)_")
    refused(wrong, "trainlist01.txt:1: group_pattern '_(p", "is not found in", "correct the pattern")


@pytest.mark.parametrize(
    ("videos", "lists"),
    [
        ("UCF-101", "UCF-101/ucfTrainTestlist"),
        ("UCF101", "ucfTrainTestlist"),
        ("UCF101/UCF-101", "UCF101/ucfTrainTestlist"),
        ("UCF101", "UCF101/ucfTrainTestlist"),
    ],
)
def test_ucf101_layouts(ucf: Path, tmp_path: Path, videos: str, lists: str) -> None:
    root = tmp_path / "variant"
    (root / videos).parent.mkdir(parents=True)
    (ucf / "UCF-101").rename(root / videos)
    (ucf / "ucfTrainTestlist").rename(root / lists)
    assert len(load_videos(ActionData(name="ucf101"), root).test) == 2


def test_ucf101_clip_attributes(ucf: Path) -> None:
    rows = [f"{name},{number % 2},1" for number, name in enumerate(UCF_TRAIN + UCF_TEST)]
    write_lines(ucf / "clip_attributes.csv", ["filename,tall,blue", *rows])
    splits = load_videos(ActionData(name="ucf101"), ucf)
    assert splits.attributes == ("tall", "blue")
    assert [video.attributes for video in splits.test] == [(0.0, 1.0), (1.0, 1.0)]
    chosen = load_videos(ActionData(name="ucf101", attributes=("blue",)), ucf)
    assert chosen.attributes == ("blue",)
    assert {video.attributes for video in (*chosen.train, *chosen.validation, *chosen.test)} == {(1.0,)}
    turned = load_videos(ActionData(name="ucf101", attributes=("blue", "tall")), ucf)
    assert turned.attributes == ("blue", "tall")
    assert [video.attributes for video in turned.test] == [(1.0, 0.0), (1.0, 1.0)], "labels are in the order that is asked for"
    refused(load_ucf(ucf, attributes=("blu",)), "clip_attributes.csv: no attribute 'blu' (nearest: blue)", "configuration")


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["filename,tall", f"{UCF_TRAIN[0]},1"], ["clip_attributes.csv: no row for", "(17 such in all)", "give every video"]),
        (["filename,tall", f"{UCF_TRAIN[0]},0.5"], ["clip_attributes.csv:2: the label '0.5'", "(1 such", "0 or 1"]),
        (["filename,tall", f"{UCF_TRAIN[0]},nan"], ["clip_attributes.csv:2: the label 'nan'", "0 or 1"]),
        (["filename,tall", f"{UCF_TRAIN[0]},"], ["clip_attributes.csv:2: the label ''", "0 or 1"]),
        (["filename,tall", "", f"{UCF_TRAIN[0]},1,1"], ["clip_attributes.csv:3: 3 values under 2 columns", "one value per"]),
        (["filename,tall", *[f"{UCF_TRAIN[0]},1"] * 3], ["clip_attributes.csv:3: a second row for", "(2 such in all)"]),
        (["name,tall"], ["clip_attributes.csv:1: the header is 'name,tall'", "filename,[group,]"]),
        (["filename,tall,tall"], ["clip_attributes.csv:1: the header is 'filename,tall,tall'"]),
        ([], ["clip_attributes.csv:1: the header is ''"]),
    ],
)
def test_ucf101_refuses_bad_labels(ucf: Path, rows: list[str], parts: list[str]) -> None:
    write_lines(ucf / "clip_attributes.csv", rows)
    refused(load_ucf(ucf), *parts)


def test_ucf101_refuses_attributes_without_labels(ucf: Path) -> None:
    refused(load_ucf(ucf, attributes=("tall",)), "ucf101: its videos carry no attributes, but ['tall']", "leave attributes out")


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("../Run/v_Run_g09_c01.avi", ["testlist01.txt:3: '../Run/v_Run_g09_c01.avi' points outside", "UCF-101 (1 such"]),
        ("Run/../../v_Run_g09_c01.avi", ["testlist01.txt:3:", "points outside", "relative to that folder"]),
        ("/tmp/v_Run_g09_c01.avi", ["testlist01.txt:3: '/tmp/v_Run_g09_c01.avi' points outside"]),
        (
            "Runn/v_Run_g09_c01.avi",
            ["testlist01.txt:3: class 'Runn' is not in classInd.txt (nearest: Run)", "correct the list"],
        ),
        (
            "Run/v_Run_g01_c01.avi 1",
            ["testlist01.txt:3: label 1 for 'Run', class 2 (1 such in all)", "numbers of classInd.txt"],
        ),
        ("Run/running.avi", ["testlist01.txt:3: 'Run/running.avi' does not end in _gNN_cNN", "rename the videos"]),
        (UCF_TEST[0], ["testlist01.txt:3:", "is listed already at", "testlist01.txt:1 (1 such in all)", "each item once"]),
        (UCF_TRAIN[1], ["testlist01.txt:3:", "is listed already at", "trainlist01.txt:2 (1 such in all)"]),
        (
            "Run/v_Run_g09_c01.avi",
            ["testlist01.txt:3:", "is not there (1 of 19 files, first 'Run/v_Run_g09_c01.avi')", "unpack"],
        ),
    ],
)
def test_ucf101_refuses_bad_entries(ucf: Path, line: str, parts: list[str]) -> None:
    append(ucf / "ucfTrainTestlist" / "testlist01.txt", line)
    refused(load_ucf(ucf), *parts)


def test_ucf101_counts_what_is_missing_or_empty(ucf: Path) -> None:
    for name in UCF_TRAIN[:5]:
        write(ucf / "UCF-101" / name, "")
    refused(load_ucf(ucf), f"trainlist01.txt:1: {ucf / 'UCF-101' / UCF_TRAIN[0]} is an empty file (5 of 18 files", "unpack")
    for name in UCF_TRAIN[:5]:
        (ucf / "UCF-101" / name).unlink()
    refused(load_ucf(ucf), "is not there (5 of 18 files, first", ", ".join(repr(name) for name in UCF_TRAIN[:3]), "unpack")


def test_ucf101_refuses_bad_lists(ucf: Path) -> None:
    lists = ucf / "ucfTrainTestlist"
    refused(load_ucf(ucf, split=2), "no trainlist02.txt (splits there: 1)", "choose another split")
    write(lists / "classInd.txt", "0 Jump\n1 Run\n")
    refused(load_ucf(ucf), "classInd.txt:1: '0 Jump' (2 such in all)", "from 1 on")
    write(lists / "classInd.txt", "1 Jump\n2\n")
    refused(load_ucf(ucf), "classInd.txt:2: '2' (1 such in all)")
    write(lists / "classInd.txt", "1 Jump\n2 Run\n")
    write(lists / "testlist01.txt", "\n \n")
    refused(load_ucf(ucf), "testlist01.txt: the list is empty", "put the data set's list file there")
    (lists / "testlist01.txt").unlink()
    refused(load_ucf(ucf), "testlist01.txt: cannot be read (No such file", "put the data set's list file there")
    lists.rename(ucf / "elsewhere")
    refused(load_ucf(ucf), "UCF-101: no lists for these videos; put the folder ucfTrainTestlist at")


def test_videos_in_no_list_are_said(ucf: Path) -> None:
    write(ucf / "UCF-101" / "Jump" / "v_Jump_g09_c01.avi")
    write(ucf / "UCF-101" / "Other" / "v_Other_g09_c01.avi")
    [note] = load_videos(ActionData(name="ucf101"), ucf).notes
    assert note.startswith("2 videos are in no list and are not used, first 'Jump/v_Jump_g09_c01.avi', 'Other/v_Other_g09")


def test_numbers_whose_labels_agree_in_all_classes_may_be_one_source(ucf: Path) -> None:
    """Of a set in this layout whose g01 is one video in all classes, as the labels of its clips say."""

    def notes(who: Callable[[str], int], **config: object) -> tuple[str, ...]:
        rows = [f"{name},{who(name)}" for name in (*UCF_TRAIN, *UCF_TEST)]
        write_lines(ucf / "clip_attributes.csv", ["filename,tall", *rows])
        return load_videos(ActionData(name="ucf101", **config), ucf).notes

    [note] = notes(lambda name: int("_g02" in name or "_g04" in name))
    assert note.startswith("g01 of one class and g01 of another count as two sources, but each of 5 numbers has the same")
    assert note.endswith(r"if they are one source, set data.action.group_pattern='_(g\d+)_'")
    assert notes(lambda name: int("_g02" in name or "_g04" in name), group_pattern=r"_(g\d+)_") == ()
    assert notes(lambda name: int("Jump" in name)) == (), "they differ from class to class"
    assert notes(lambda name: 0) == (), "they say nothing"
