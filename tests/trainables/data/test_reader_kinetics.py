"""Kinetics: which file a row of its tables means, what is cut already, and what is refused; its layouts are in test_inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.data_sets import append, refused, write, write_lines
from tests.support.videos import write_video
from tests.trainables.data.inputs_layouts import CLIPS, NUMBER, file_of, lists, place, tables
from trainables.config import ActionData
from trainables.data.flaws import flaws_of
from trainables.data.items import Video, VideoSplits
from trainables.data.readers.stretches import stretch_in
from trainables.data.registry import load_videos


def load(root: Path, **config: object) -> VideoSplits:
    return load_videos(ActionData(name="kinetics", **config), root)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Kinetics with tables, all videos there, in class folders with blanks."""
    place(tmp_path / "kinetics400", lambda clip: f"{clip[0]}/{clip[1]}/{file_of(clip)}")
    tables(tmp_path / "kinetics400", ("train.csv", "val.csv"))
    return tmp_path / "kinetics400"


def by_name(splits: VideoSplits) -> dict[str, Video]:
    return {video.name: video for part in (splits.train, splits.validation, splits.test) for video in part}


def test_names_classes_and_sources(base: Path) -> None:
    splits = load(base.parent)
    assert splits.classes == ("massaging person's head", "riding a bike")
    video = by_name(splits)["riding_a_bike/trr-_3aAbB_000021_000031"]
    assert (video.label, video.group, video.span) == (1, "trr-_3aAbB", None)
    assert load(base.parent).fingerprint == load(base).fingerprint, "where the data root is says nothing"


def test_a_whole_video_is_not_the_clip_and_a_cut_one_is(base: Path) -> None:
    """Of `<id>.mp4`, a video that lasts longer than the clip shows it between its times; one that does not is the clip."""
    pictures = np.zeros((60, 16, 16, 3), np.uint8)  # at 5 a second: 12 s
    for clip, frames in ((CLIPS[0], 60), (CLIPS[1], 50)):  # the clips last 10 s
        (base / "train" / clip[1] / file_of(clip)).unlink()
        write_video(base / "train" / clip[1] / f"{clip[2]}.mp4", pictures[:frames], codec="libx264", rate=5)
    found = by_name(load(base.parent))
    assert found["riding_a_bike/trr-_0aAbB_000000_000010"].span == (0.0, 10.0)
    assert found["riding_a_bike/trr-_1aAbB_000007_000017"].span is None


@pytest.mark.parametrize(
    ("seconds", "found"), [(9.9, None), (11.0, None), (11.1, (20.0, 30.0)), (300.0, (20.0, 30.0)), (None, (20.0, 30.0))]
)
def test_how_long_a_cut_clip_is(seconds: float | None, found: tuple[float, float] | None) -> None:
    assert stretch_in(seconds, (20.0, 30.0)) == found
    assert stretch_in(seconds, (20.0, None)) == (20.0, None)


def test_another_clip_of_the_same_video_is_not_taken_for_it(base: Path) -> None:
    append(base / "train.csv", "riding a bike,trr-_0aAbB,50,60,train")
    splits = load(base.parent)
    assert splits.notes == (
        "1 of 17 listed clips are not there or empty files, first 'riding a bike/trr-_0aAbB_000050_000060'",
    )
    write(base / "train" / "riding a bike" / "trr-_0aAbB_000050_000060.mp4")
    splits = load(base.parent)
    own = [video for video in by_name(splits).values() if video.group == "trr-_0aAbB"]
    assert [video.path.stem for video in own] == ["trr-_0aAbB_000000_000010", "trr-_0aAbB_000050_000060"]
    assert len({video in splits.validation for video in own}) == 1, "one source, one side"
    assert flaws_of(splits) == []


def test_what_is_gone_is_said_and_stops_nothing(base: Path) -> None:
    (base / "train" / "riding a bike" / file_of(CLIPS[2])).unlink()
    [flaw] = flaws_of(load(base.parent))
    assert not flaw.falsifies
    assert flaw.says.startswith("kinetics: 1 of 16 listed clips are not there or empty files, first 'riding a bike/trr-_2aAbB")


def test_a_class_without_a_test_clip_is_refused(base: Path) -> None:
    for clip in CLIPS:
        if clip[:2] == ("val", "riding a bike"):
            write(base / "val" / clip[1] / file_of(clip), "")
    refused(lambda: load(base.parent), "kinetics400: no test clip is there of 1 of 2 classes, first 'riding a bike'; download")


def test_what_is_wrong_in_tables_and_lists_is_named(base: Path) -> None:
    append(base / "val.csv", "Riding bikes,abc,0,10,val")
    refused(lambda: load(base.parent), "val.csv:6: class 'Riding bikes' has no training clip")
    tables(base, ("train.csv", "val.csv"))
    append(base / "train.csv", "riding a bike,trr-_0aAbB,0,10,train")
    refused(lambda: load(base.parent), "'riding_a_bike/trr-_0aAbB_000000_000010' is listed 2 times", "list each clip once")
    for name in ("train.csv", "val.csv"):
        (base / name).unlink()
    lists(base, "videos")
    append(base / "kinetics400_train_list_videos.txt", f"riding_a_bike/x.mp4 {NUMBER['riding a bike'] + 1}")
    refused(lambda: load(base.parent), "kinetics400_train_list_videos.txt: class 'riding a bike' has the numbers 1, 2")
    append(base / "kinetics400_train_list_videos.txt", "riding_a_bike/x.mp4")
    refused(lambda: load(base.parent), "videos.txt:14: 'riding_a_bike/x.mp4' is not `<class>/<file> <number of the class>`")


def test_labels_of_the_clips(base: Path) -> None:
    rows = [f"{file_of(clip)},p{number % 5},{number % 2}" for number, clip in enumerate(CLIPS) if clip[0] != "test"]
    write_lines(base / "clip_attributes.csv", ["filename,group,tall", *rows])
    splits = load(base.parent)
    assert splits.attributes == ("tall",)
    video = by_name(splits)["riding_a_bike/trr-_3aAbB_000021_000031"]
    assert (video.group, video.attributes) == ("p3", (1.0,))


def test_a_folder_of_that_name_with_other_things_is_not_kinetics(tmp_path: Path) -> None:
    write(tmp_path / "train" / "a" / "x.mp4")
    refused(lambda: load(tmp_path), "no folder with Kinetics; put it at", "kinetics400/train and val")
