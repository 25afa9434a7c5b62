"""HMDB51 and PA-HMDB51 on a few small files, and every way in which such data can be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data_sets import (
    HMDB,
    PA_KICK,
    PA_RUN,
    append,
    hmdb_names,
    load_hmdb,
    load_pa,
    pa_ranges,
    refused,
    write,
    write_lines,
    write_pa,
)
from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError
from trainables.data.readers.common import DataNotThereError
from trainables.data.readers.hmdb51 import source
from trainables.data.registry import load_stills, load_videos


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
    lists.rename(hmdb.with_name(f"{hmdb.name}-lists"))  # below the root they would be found
    refused(load_hmdb(hmdb), "hmdb51: no lists for these videos; put the folder testTrainMulti_7030_splits at")


@pytest.mark.parametrize(
    ("name", "asked", "trains"),
    [
        ("hmdb51", None, True),
        ("hmdb51", True, True),
        ("hmdb51", False, False),
        ("pa_hmdb51", None, False),
        ("pa_hmdb51", False, False),
        ("pa_hmdb51", True, True),
    ],
)
def test_the_configuration_says_whether_videos_of_pa_hmdb51_train(
    pa: Path, name: str, asked: bool | None, trains: bool
) -> None:
    splits = load_videos(ActionData(name=name, train_on_pa_hmdb51=asked), pa)
    left_out = set() if trains else {f"run/{PA_RUN}"}
    assert {video.name for video in (*splits.train, *splits.validation)} == hmdb_names(1) - left_out
    annotated = [f"kick_ball/{PA_KICK}", f"run/{PA_RUN}"]
    assert sorted(video.name for video in splits.test) == (annotated if name == "pa_hmdb51" else sorted(hmdb_names(2)))
    assert splits.classes == ("kick_ball", "run")


def test_what_else_lies_in_the_root_changes_nothing(pa: Path) -> None:
    beside = load_videos(ActionData(name="hmdb51"), pa).fingerprint
    (pa / "PA-HMDB51" / "PrivacyAttributes").rename(pa / "elsewhere")
    assert load_videos(ActionData(name="hmdb51"), pa).fingerprint == beside
    refused(load_hmdb(pa, train_on_pa_hmdb51=False), "no folder with the label files of PA-HMDB51; put it at")


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
