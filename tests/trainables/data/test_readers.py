"""Every layout on a few small files made here, and every way in which such data can be wrong."""

import json
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError, Video, cut_validation
from trainables.data.readers.common import DataNotThereError
from trainables.data.readers.hmdb51 import source
from trainables.data.readers.vispr import ATTRIBUTE_SETS
from trainables.data.registry import load_stills, load_videos


def write(path: Path, text: str = "content") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def write_lines(path: Path, lines: Sequence[str]) -> Path:
    return write(path, "".join(f"{line}\n" for line in lines))


def append(path: Path, line: str) -> None:
    with path.open("a") as file:
        file.write(f"{line}\n")


def dump(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return path


def refused(load: Callable[[], object], *parts: str) -> None:
    """`load` raises one line of DataError with these parts in this order."""
    with pytest.raises(DataError) as caught:
        load()
    message = str(caught.value)
    assert "\n" not in message
    assert re.search(".*".join(map(re.escape, parts)), message), message


# UCF101: two classes, training sources g02 to g05, test source g01

UCF_TRAIN = [f"{c}/v_{c}_g0{g}_c0{k}.avi" for g in (2, 3, 4, 5) for c in ("Jump", "Run") for k in (1, 2)]
UCF_TEST = [f"{c}/v_{c}_g01_c01.avi" for c in ("Jump", "Run")]
NUMBERS = {"Jump": 1, "Run": 2}


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    for name in UCF_TRAIN + UCF_TEST:
        write(tmp_path / "UCF-101" / name)
    lists = tmp_path / "ucfTrainTestlist"
    write_lines(lists / "classInd.txt", ["1 Jump\r", "2 Run\r"])
    write_lines(lists / "trainlist01.txt", [f"{name} {NUMBERS[name.split('/')[0]]}\r" for name in UCF_TRAIN])
    write_lines(lists / "testlist01.txt", [f"{name}\r" for name in UCF_TEST])
    return tmp_path


def load_ucf(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_videos(ActionData(name="ucf101", **config), root)


def test_ucf101(ucf: Path) -> None:
    splits = load_videos(ActionData(name="ucf101"), ucf)
    assert splits.classes == ("Jump", "Run")
    assert splits.attributes == ()
    assert [video.name for video in splits.test] == UCF_TEST
    assert [video.label for video in splits.test] == [0, 1]
    assert {video.name for video in (*splits.train, *splits.validation)} == set(UCF_TRAIN)
    # a source is its group number over all classes
    assert len({video.group for video in splits.validation}) == 1
    assert len(splits.validation) == 4
    assert splits.test[0] == Video(UCF_TEST[0], ucf / "UCF-101" / UCF_TEST[0], 0, "g01")


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
        # a video of another kind in its place is no silent substitute
        (ucf / "UCF-101" / name).rename((ucf / "UCF-101" / name).with_suffix(".mp4"))
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


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "pa_hmdb51", "vp_ucf101", "vp_hmdb51", "folders"])
def test_a_data_set_that_is_not_there_is_told_from_a_broken_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_videos(ActionData(name=name), tmp_path)


@pytest.mark.parametrize("name", ["vispr", "pa_hmdb51", "folders"])
def test_images_that_are_not_there_are_told_from_broken_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_stills(PrivacyData(name=name), tmp_path)


# HMDB51: names as odd as the real ones; the class name may be part of the source's

HMDB = {
    "run": {
        "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi": 1,
        "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_1.avi": 1,
        "My run_in a park_run_f_cm_np10_le_med_3.avi": 1,
        "Film_run_f_cm_np1_le_med_3.avi": 1,
        "Unused_run_f_cm_np1_le_med_3.avi": 0,
        "Match_run_f_cm_np1_le_med_0.avi": 2,
    },
    "kick_ball": {
        "kick_ball_fun_kick_ball_f_cm_np2_fr_bad_0.avi": 1,
        "Film_kick_ball_f_cm_np1_le_med_3.avi": 1,
        "Other [1]~@home_kick_ball_f_cm_np1_le_med_3.avi": 1,
        "Match_kick_ball_f_cm_np1_le_med_0.avi": 2,
    },
}


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    for label_class, uses in HMDB.items():
        for name in uses:
            write(tmp_path / "hmdb51" / label_class / name)
        lines = [f"{name} {use} " for name, use in uses.items()]
        write_lines(tmp_path / "testTrainMulti_7030_splits" / f"{label_class}_test_split1.txt", lines)
    return tmp_path


def load_hmdb(root: Path, name: str = "hmdb51", **config: object) -> Callable[[], object]:
    return lambda: load_videos(ActionData(name=name, **config), root)


def hmdb_names(use: int) -> set[str]:
    return {f"{label_class}/{name}" for label_class, uses in HMDB.items() for name, u in uses.items() if u == use}


def test_hmdb51(hmdb: Path) -> None:
    splits = load_videos(ActionData(name="hmdb51"), hmdb)
    assert splits.classes == ("kick_ball", "run")
    assert {video.name for video in (*splits.train, *splits.validation)} == hmdb_names(1)
    assert {video.name for video in splits.test} == hmdb_names(2)
    assert {video.label for video in splits.test} == {0, 1}
    assert not {video.group for video in splits.train} & {video.group for video in splits.validation}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run/#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi", "#1_Fan;s&run(a)!+"),
        ("kick_ball/kick_ball_fun_kick_ball_f_cm_np2_fr_bad_0.avi", "kick_ball_fun"),
        ("kick_ball/a_kick_ball_b_kick_ball_f_cm_np10_fr_bad_0.avi", "a_kick_ball_b"),
        ("run/own.name.avi", "own.name"),
    ],
)
def test_hmdb51_source(name: str, expected: str) -> None:
    assert source(name) == expected


@pytest.mark.parametrize("videos", ["HMDB51", "hmdb51_org"])
def test_hmdb51_layouts(hmdb: Path, videos: str) -> None:
    (hmdb / "hmdb51").rename(hmdb / videos)
    (hmdb / "testTrainMulti_7030_splits").rename(hmdb / videos / "testTrainMulti_7030_splits")
    assert len(load_videos(ActionData(name="hmdb51"), hmdb).test) == 2


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        (
            "Match_run_f_cm_np1_le_med_0.avi 3 ",
            ["run_test_split1.txt:7:", "3' is not `name.avi` and 0, 1 or 2 (1 such in all)"],
        ),
        ("Match_run_f_cm_np1_le_med_0.avi", ["run_test_split1.txt:7:", "is not `name.avi` and 0, 1 or 2"]),
        ("../Match_run_f_cm_np1_le_med_0.avi 1", ["run_test_split1.txt:7: 'run/../Match", "points outside"]),
        ("Match_run_f_cm_np1_le_med_0.avi 1", ["run_test_split1.txt:6:", "listed already at", "run_test_split1.txt:7"]),
        ("None_run_f_cm_np1_le_med_0.avi 1", ["run_test_split1.txt:7:", "is not there (1 of 10 files"]),
    ],
)
def test_hmdb51_refuses_bad_entries(hmdb: Path, line: str, parts: list[str]) -> None:
    append(hmdb / "testTrainMulti_7030_splits" / "run_test_split1.txt", line)
    refused(load_hmdb(hmdb), *parts)


def test_hmdb51_refuses_bad_lists(hmdb: Path) -> None:
    lists = hmdb / "testTrainMulti_7030_splits"
    refused(load_hmdb(hmdb, split=3), "no <class>_test_split3.txt (splits there: 1)", "choose another split")
    refused(load_hmdb(hmdb, attributes=("face",)), "hmdb51: its videos carry no attributes")
    for label_class, uses in HMDB.items():
        write_lines(lists / f"{label_class}_test_split2.txt", [f"{name} 1" for name in uses])
    refused(load_hmdb(hmdb, split=2), "no test videos in split 2", "put the official lists there")
    for label_class, uses in HMDB.items():
        write_lines(lists / f"{label_class}_test_split2.txt", [f"{name} 2" for name in uses])
    refused(load_hmdb(hmdb, split=2), "no training videos in split 2")
    lists.rename(hmdb / "elsewhere")
    refused(load_hmdb(hmdb), "hmdb51: no lists for these videos; put the folder testTrainMulti_7030_splits at")


# PA-HMDB51

PA_RUN = "#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi"
PA_KICK = "Match_kick_ball_f_cm_np1_le_med_0.avi"


def pa_ranges(last: int = 40, **other: object) -> dict[str, object]:
    return {name: [[0, last, 1]] for name in ("skin_color", "face", "gender", "nudity", "relationship")} | other


@pytest.fixture
def pa(hmdb: Path) -> Path:
    folder = hmdb / "PA-HMDB51" / "PrivacyAttributes"
    odd = pa_ranges(
        gender=[[0, 19, [1, 2]], [20, 40, [0, 0]]],  # several people; all of them 0
        face=[[0, 15, 0], [17, 40, 2]],  # a gap at 16
        nudity=[[1, 30, 0], [30, 40, 1]],  # a later start, an overlap at 30
        relationship=[[0, 40, 0]],
        review=True,
        note="seen twice",
    )
    write(folder / "run.json", json.dumps({PA_RUN: odd}))
    write(folder / "kick_ball.json", json.dumps({PA_KICK: pa_ranges()}))
    return hmdb


def write_pa(root: Path, label_class: str, video: str, ranges: object) -> None:
    write(root / "PA-HMDB51" / "PrivacyAttributes" / f"{label_class}.json", json.dumps({video: ranges}))


def load_pa(root: Path, attributes: str | tuple[str, ...] = "auto") -> Callable[[], object]:
    return lambda: load_stills(PrivacyData(name="pa_hmdb51", attributes=attributes), root)


@pytest.mark.parametrize("name", ["hmdb51", "pa_hmdb51"])
def test_pa_hmdb51_videos_never_train(pa: Path, name: str) -> None:
    splits = load_videos(ActionData(name=name), pa)
    assert {video.name for video in (*splits.train, *splits.validation)} == hmdb_names(1) - {f"run/{PA_RUN}"}
    annotated = [f"kick_ball/{PA_KICK}", f"run/{PA_RUN}"]
    assert sorted(video.name for video in splits.test) == (annotated if name == "pa_hmdb51" else sorted(hmdb_names(2)))
    assert splits.classes == ("kick_ball", "run")


def test_pa_hmdb51_labels_frame_by_frame(pa: Path) -> None:
    splits = load_stills(PrivacyData(name="pa_hmdb51"), pa)
    assert splits.attributes == ("skin_color", "face", "gender", "nudity", "relationship")
    assert (splits.train, splits.validation) == ((), ())
    labels = {still.name.removeprefix(f"run/{PA_RUN}#"): still.attributes for still in splits.test if "run/" in still.name}
    # labelled by all attributes are 1 to 15 and 17 to 40; every 16th of those
    assert labels == {"1": (1, 0, 1, 0, 0), "18": (1, 1, 1, 0, 0), "34": (1, 1, 0, 1, 0)}
    still = splits.test[0]
    assert (still.frame, still.group) == (0, "Match")
    assert still.path == pa / "hmdb51" / "kick_ball" / PA_KICK


def test_pa_hmdb51_overlapping_ranges_are_joined(pa: Path) -> None:
    write_pa(pa, "run", PA_RUN, pa_ranges(16, nudity=[[0, 16, 1], [16, 16, 0]], face=[[0, 16, 0], [16, 16, [0, 3]]]))
    labels = {still.name: still.attributes for still in load_stills(PrivacyData(name="pa_hmdb51"), pa).test}
    assert labels[f"run/{PA_RUN}#16"] == (1, 1, 1, 1, 1)
    assert labels[f"run/{PA_RUN}#0"] == (1, 0, 1, 1, 1)


def test_pa_hmdb51_attributes(pa: Path) -> None:
    splits = load_stills(PrivacyData(name="pa_hmdb51", attributes=("nudity", "face")), pa)
    assert splits.attributes == ("nudity", "face")
    assert [still.attributes for still in splits.test if still.name.endswith(("goo_0.avi#18", "goo_0.avi#34"))] == [
        (0, 1),
        (1, 1),
    ]
    refused(load_pa(pa, ("nude",)), "pa_hmdb51: no attribute 'nude' (nearest: nudity")
    refused(load_pa(pa, "vispr1"), "pa_hmdb51 has no attributes 'vispr1'; write auto or a list of skin_color")
    refused(load_hmdb(pa, "pa_hmdb51", attributes=("face",)), "pa_hmdb51: its videos carry no attributes")


@pytest.mark.parametrize(
    "ranges",
    [
        [[0, 40]],
        [[0, 40, "1"]],
        [[0, 40, []]],
        [[0, 40, [1, None]]],
        [[40, 0, 1]],
        [[-1, 40, 1]],
        [[0, 40.0, 1]],
        [[0, 40, 1], 3],
        "yes",
        None,
    ],
)
def test_pa_hmdb51_refuses_bad_ranges(pa: Path, ranges: object) -> None:
    write_pa(pa, "run", PA_RUN, pa_ranges(face=ranges))
    refused(load_pa(pa), f"run.json: {PA_RUN!r}, face:", "is not [first frame, last frame, value or list of values]")


def test_pa_hmdb51_refuses_bad_files(pa: Path) -> None:
    labels = pa / "PA-HMDB51" / "PrivacyAttributes"
    ranges = pa_ranges()
    del ranges["face"]
    write_pa(pa, "run", PA_RUN, ranges)
    refused(load_pa(pa), f"run.json: {PA_RUN!r}, face: None is not")
    write_pa(pa, "run", PA_RUN, [])
    refused(load_pa(pa), f"run.json: {PA_RUN!r}, skin_color: None is not")
    write_pa(pa, "run", PA_RUN, pa_ranges(face=[[41, 50, 1]]))
    refused(load_pa(pa), f"run.json: {PA_RUN!r}: no frame that all attributes label")
    write_pa(pa, "run", "gone.avi", pa_ranges())
    refused(load_pa(pa), "run.json:", "gone.avi is not there (1 of 2 files")
    write_pa(pa, "run", "../run.avi", pa_ranges())
    refused(load_pa(pa), "run.json: 'run/../run.avi' points outside")
    write(labels / "run.json", "[]")
    refused(load_pa(pa), "run.json: no mapping of videos to their labels")
    write(labels / "run.json", "{")
    refused(load_pa(pa), "run.json: not JSON")
    write_pa(pa, "run", PA_RUN, pa_ranges())
    write(pa / "hmdb51" / "runs" / PA_RUN)
    (labels / "run.json").rename(labels / "runs.json")
    refused(
        load_hmdb(pa, "pa_hmdb51"), "runs.json: class 'runs' is not in the lists of HMDB51 (nearest: run)", "name the label"
    )
    for path in labels.iterdir():
        path.unlink()
    refused(load_hmdb(pa, "pa_hmdb51"), "PrivacyAttributes: no label files")


def test_pa_hmdb51_without_hmdb51_is_broken_not_absent(pa: Path) -> None:
    (pa / "PA-HMDB51" / "PrivacyAttributes").rename(pa / "PrivacyAttributes")
    assert load_pa(pa)()
    (pa / "hmdb51").rename(pa / "elsewhere")
    for load in (load_pa(pa), load_hmdb(pa, "pa_hmdb51")):
        with pytest.raises(DataError, match="the videos of HMDB51 are not; put them at") as caught:
            load()
        assert not isinstance(caught.value, DataNotThereError)


# VP-UCF101, VP-HMDB51


def vp_rows(names: Sequence[str]) -> dict[str, np.ndarray]:
    return {name.replace(".avi", ".mp4"): np.array([[1, 0, 1, number % 2, 0]]) for number, name in enumerate(names)}


@pytest.mark.parametrize("place", ["VP-UCF101/ucf101_privacy_attribute_label.pickle", "ucf101_privacy_attribute_label.pkl"])
def test_vp_ucf101(ucf: Path, place: str) -> None:
    dump(ucf / place, vp_rows(UCF_TRAIN + UCF_TEST))
    splits = load_videos(ActionData(name="vp_ucf101"), ucf)
    assert splits.name == "vp_ucf101"
    assert splits.attributes == ("skin_color", "face", "gender", "nudity", "relationship")
    assert [video.attributes for video in splits.test] == [(1, 0, 1, 0, 0), (1, 0, 1, 1, 0)]
    assert [video.path.suffix for video in splits.test] == [".avi", ".avi"]
    plain = load_videos(ActionData(name="ucf101"), ucf)
    assert [video.name for video in splits.validation] == [video.name for video in plain.validation]
    renamed = load_videos(ActionData(name="vp_ucf101", attributes=("a", "b", "c", "d", "e")), ucf)
    assert renamed.attributes == ("a", "b", "c", "d", "e")
    assert renamed.test[1].attributes == (1, 0, 1, 1, 0)


def test_vp_hmdb51_reads_csv(pa: Path) -> None:
    names = sorted(hmdb_names(0) | hmdb_names(1) | hmdb_names(2))
    path = pa / "VP-HMDB51" / "hmdb51_privacy_attribute_label.csv"
    write_lines(path, ["filename,x,y", *[f"{name.replace('.avi', '.mp4')},1,{n % 2}" for n, name in enumerate(names)]])
    splits = load_videos(ActionData(name="vp_hmdb51"), pa)
    assert splits.attributes == ("x", "y")
    assert {video.name: video.attributes for video in splits.test} == {
        name: (1, n % 2) for n, name in enumerate(names) if name in hmdb_names(2)
    }
    assert f"run/{PA_RUN}" not in {video.name for video in (*splits.train, *splits.validation)}
    assert load_videos(ActionData(name="vp_hmdb51", attributes=("p", "q")), pa).attributes == ("p", "q")
    refused(
        load_hmdb(pa, "vp_hmdb51", attributes=("p", "q", "r")),
        "label.csv:1: 2 columns of labels, but 3 attributes",
        "name every",
    )


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ({"Run/v_Run_g01_c01.mp4": np.array([1, 0, 1])}, ["label.pickle: 3 labels for 'Run/v_Run_g01_c01', but 5 attributes"]),
        ({"Run/v_Run_g01_c01.mp4": np.array([1, 0, 1, 0, 2])}, ["label.pickle: the label 2 of 'Run/v_Run_g01_c01'", "0 or 1"]),
        ({"Run/v_Run_g01_c01.mp4": np.full(5, np.nan)}, ["label.pickle: the label nan of", "(5 such in all)"]),
        ({"a/b.mp4": np.ones(5), "a/b.avi": np.ones(5)}, ["label.pickle: a second row for 'a/b'"]),
        ({"a/b.mp4": np.ones(5)}, ["label.pickle: no row for", "(18 such in all)"]),
        ([1, 0], ["label.pickle: holds a list; a dict of item name"]),
    ],
)
def test_vp_refuses_bad_labels(ucf: Path, rows: object, parts: list[str]) -> None:
    dump(ucf / "VP-UCF101" / "ucf101_privacy_attribute_label.pickle", rows)
    refused(lambda: load_videos(ActionData(name="vp_ucf101"), ucf), *parts)


def test_vp_labels_without_videos_are_broken(tmp_path: Path) -> None:
    dump(tmp_path / "VP-UCF101" / "ucf101_privacy_attribute_label.pickle", vp_rows(UCF_TRAIN))
    with pytest.raises(DataError, match=r"label\.pickle: the labels are there, the videos are not: .*put it at") as caught:
        load_videos(ActionData(name="vp_ucf101"), tmp_path)
    assert not isinstance(caught.value, DataNotThereError)


# VISPR

VISPR1 = ATTRIBUTE_SETS["vispr1"]
SIZES = {"train2017": 8, "test2017": 4}


@pytest.fixture
def vispr(tmp_path: Path) -> Path:
    """Images p0_0 to p3_1 of four people for training; image n shows attribute n of vispr1 and an unrelated one."""
    folder = tmp_path / "VISPR"
    for split, size in SIZES.items():
        stems = [f"p{n // 2}_{n % 2}" for n in range(size)]
        for n, stem in enumerate(stems):
            write(folder / "images" / split / f"{stem}.jpg")
            labels = {"image_path": f"images/{split}/{stem}.jpg", "labels": [VISPR1[n % 7], "a0_safe"], "id": stem}
            write(folder / "annotations" / split / f"{stem}.json", json.dumps(labels))
        write_lines(folder / f"{split}.txt", [f"annotations/{split}/{stem}.json" for stem in stems])
    return tmp_path


def load_vispr(root: Path, **config: object) -> Callable[[], object]:
    return lambda: load_stills(PrivacyData(**config), root)


def test_vispr(vispr: Path) -> None:
    splits = load_stills(PrivacyData(), vispr)
    assert splits.attributes == VISPR1
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (7, 1, 4)
    assert splits.test[1].name == "images/test2017/p0_1.jpg"
    assert splits.test[1].path == vispr / "VISPR" / "images" / "test2017" / "p0_1.jpg"
    assert splits.test[1].attributes == (0, 1, 0, 0, 0, 0, 0)
    assert splits.test[1].frame is None


def test_vispr_groups(vispr: Path) -> None:
    splits = load_stills(PrivacyData(group_pattern=r"^(p\d+)_"), vispr)
    assert len(splits.validation) == 2
    assert len({still.group for still in splits.validation}) == 1
    assert {still.group for still in (*splits.train, *splits.validation)} == {"p0", "p1", "p2", "p3"}
    refused(load_vispr(vispr, group_pattern="p0_(.)"), "train2017.txt:3: group_pattern 'p0_(.)' is not found in 'p1_0' (6 such")
    refused(load_vispr(vispr, group_pattern=r"p0_(x)?"), "train2017.txt:1: group_pattern", "is not found in 'p0_0'")
    refused(load_vispr(vispr, group_pattern="p.*"), "group_pattern 'p.*': has no group", "parentheses")
    refused(load_vispr(vispr, group_pattern="p("), "group_pattern 'p(': not a regular expression", "correct it")


def test_vispr_validation_list(vispr: Path) -> None:
    folder = vispr / "VISPR"
    lines = (folder / "train2017.txt").read_text().splitlines()
    write_lines(folder / "train2017.txt", lines[:5])
    write_lines(folder / "val2017.txt", lines[5:])
    splits = load_stills(PrivacyData(), vispr)
    assert [still.name for still in splits.validation] == [f"images/train2017/{s}.jpg" for s in ("p2_1", "p3_0", "p3_1")]
    assert len(splits.train) == 5


def test_vispr_attributes(vispr: Path) -> None:
    chosen = load_stills(PrivacyData(attributes=("a0_safe", "a17_color")), vispr)
    assert chosen.attributes == ("a0_safe", "a17_color")
    assert [still.attributes for still in chosen.test] == [(1, 1), (1, 0), (1, 0), (1, 0)]
    write_lines(vispr / "VISPR" / "attributes.txt", ["a0_safe"])
    assert load_stills(PrivacyData(), vispr).attributes == ("a0_safe",)
    assert load_stills(PrivacyData(attributes="vispr1"), vispr).attributes == VISPR1
    refused(load_vispr(vispr, attributes="vispr2"), "labels of", "VISPR: no attribute 'a6_hair_color'", "(7 such in all)")
    refused(load_vispr(vispr, attributes=("a4_gendr",)), "no attribute 'a4_gendr' (nearest: a4_gender)", "configuration")
    refused(load_vispr(vispr, attributes=("zzz",)), "no attribute 'zzz' (there are: a0_safe, a10_face_partial")
    refused(load_vispr(vispr, attributes="a4_gender"), "attributes 'a4_gender': write vispr1, vispr2, auto or a list")
    refused(load_vispr(vispr, attributes=()), "attributes []: name at least one")
    refused(load_vispr(vispr, attributes=("a0_safe", "a0_safe")), "each once")


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("{", ["test2017.txt:2:", "p0_1.json: not JSON", "(1 such in all); put the annotations of every listed image there"]),
        ("[]", ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"labels": []}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": "a"}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": [1]}', ["test2017.txt:2:", 'p0_1.json: no {"image_path": text']),
        ('{"image_path": "x.jpg", "labels": []}', ["test2017.txt:2:", "VISPR/x.jpg is not there (1 of 12 files"]),
        ('{"image_path": "../x.jpg", "labels": []}', ["test2017.txt:2: '../x.jpg' points outside"]),
        ('{"image_path": "images/train2017/p0_0.jpg", "labels": []}', ["test2017.txt:2:", "already at", "train2017.txt:1"]),
    ],
)
def test_vispr_refuses_bad_annotations(vispr: Path, content: str, parts: list[str]) -> None:
    write(vispr / "VISPR" / "annotations" / "test2017" / "p0_1.json", content)
    refused(load_vispr(vispr), *parts)


def test_vispr_refuses_bad_lists(vispr: Path) -> None:
    folder = vispr / "VISPR"
    append(folder / "test2017.txt", "annotations/test2017/gone.json")
    refused(load_vispr(vispr), "test2017.txt:5:", "gone.json: cannot be read (No such file")
    append(folder / "test2017.txt", "/etc/passwd")
    refused(load_vispr(vispr), "test2017.txt:6: '/etc/passwd' points outside")
    (folder / "test2017.txt").unlink()
    refused(load_vispr(vispr), "no list test2017.txt with annotations/, and no test2017_labels.pkl; put one there")
    write(folder / "images" / "train2017" / "p0_0.jpg", "")
    write_lines(folder / "test2017.txt", ["annotations/test2017/p0_0.json"])
    refused(load_vispr(vispr), "train2017.txt:1:", "p0_0.jpg is an empty file (1 of 9 files")


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    for split, size in SIZES.items():
        for n in range(size):
            write(tmp_path / "VISPR" / split / f"2017_{n}.jpg")
        rows = {f"2017_{n}": np.eye(7, dtype=np.float32)[n % 7] for n in range(size)}
        dump(tmp_path / "VISPR" / f"{split}_labels.pkl", rows)
    return tmp_path


def test_vispr_pickles(pickled: Path) -> None:
    splits = load_stills(PrivacyData(), pickled)
    assert splits.attributes == VISPR1
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (7, 1, 4)
    assert splits.test[1].name == "test2017/2017_1.jpg"
    assert splits.test[1].attributes == (0, 1, 0, 0, 0, 0, 0)
    assert load_stills(PrivacyData(attributes=("a4_gender",)), pickled).test[1].attributes == (1,)
    refused(load_vispr(pickled, attributes="vispr2"), "no attribute 'a6_hair_color'", "(7 such in all)")


def test_vispr_pickles_with_short_names_and_images_folder(pickled: Path) -> None:
    folder = pickled / "VISPR"
    (folder / "images").mkdir()
    for split in SIZES:
        (folder / split).rename(folder / "images" / split)
        (folder / f"{split}_labels.pkl").rename(folder / f"{split.removesuffix('2017')}_labels.pkl")
    assert load_stills(PrivacyData(), pickled).test[0].name == "images/test2017/2017_0.jpg"


def test_vispr_refuses_bad_pickles(pickled: Path) -> None:
    folder = pickled / "VISPR"
    dump(folder / "test2017_labels.pkl", {"2017_0": np.ones(5)})
    refused(load_vispr(pickled), "test2017_labels.pkl: 5 labels for '2017_0', but 7 attributes: a17_color")
    dump(folder / "test2017_labels.pkl", {"../2017_0": np.ones(7)})
    refused(load_vispr(pickled), "test2017_labels.pkl: 'test2017/../2017_0.jpg' points outside")
    dump(folder / "test2017_labels.pkl", {"2017_0": np.ones(7)})
    (folder / "test2017").rename(folder / "elsewhere")
    refused(load_vispr(pickled), "no folder with the images of test2017_labels.pkl; put them at images/test2017 or test2017")
    (folder / "test2017_labels.pkl").unlink()
    refused(load_vispr(pickled), "no list test2017.txt with annotations/, and no test2017_labels.pkl")


# folders

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
    refused(load_own_images(own), "image_attributes.csv: cannot be read (No such file", "put the label file there")
    (own / "splits" / "images_test.txt").unlink()
    refused(load_own_images(own), "images_test.txt: cannot be read (No such file")


# the cut for validation


def videos(*groups: tuple[str, int, int]) -> list[Video]:
    """`count` videos of one class for each (group, label, count)."""
    return [Video(f"{g}{label}{n}", Path("x"), label, g) for g, label, count in groups for n in range(count)]


def test_validation_takes_small_sources_first() -> None:
    items = videos(*[(f"big{n}", n % 2, 20) for n in range(6)], ("small0", 0, 2), ("small1", 1, 3))
    train, held = cut_validation(items, 0.04, "any")
    assert {item.group for item in held} == {"small0", "small1"}
    assert {*train} | {*held} == {*items}


def test_validation_is_never_empty() -> None:
    with pytest.raises(DataError, match="each of the 2 groups of training items is the only one of a class"):
        cut_validation(videos(("a", 0, 3), ("b", 1, 3)), 0.1, "any")
    with pytest.raises(DataError, match="any: the 3 training items come from 1 group"):
        cut_validation(videos(("a", 0, 3)), 0.1, "any")
