"""VP-UCF101 and VP-HMDB51: label files beside the videos of UCF101 and HMDB51."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.support.data_sets import PA_RUN, UCF_TEST, UCF_TRAIN, dump, hmdb_names, load_hmdb, refused, write_lines
from trainables.config import ActionData
from trainables.data.items import DataError
from trainables.data.readers.common import DataNotThereError
from trainables.data.registry import load_videos


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
    both = [{video.name for video in (*part.train, *part.validation)} for part in (splits, plain)]
    assert both[0] == both[1] == set(UCF_TRAIN)
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
    assert {video.name for video in (*splits.train, *splits.validation)} == hmdb_names(1)
    without = load_videos(ActionData(name="vp_hmdb51", train_on_pa_hmdb51=False), pa)
    assert {video.name for video in (*without.train, *without.validation)} == hmdb_names(1) - {f"run/{PA_RUN}"}
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
