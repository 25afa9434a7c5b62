"""Data of one's own in one command: class folders, a table, times, folders of frames; and a study on clips alone."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support import SHARED
from tests.support.data_sets import refused, write, write_lines
from tests.support.videos import write_video
from trainables.config import ActionData, ClipConfig, DataConfig, PrivacyData, TrialConfig
from trainables.data.__main__ import main
from trainables.data.flaws import flaws_of
from trainables.data.items import VideoSplits
from trainables.data.loader import EvaluationClips, SampleId, Stills, TrainingClips
from trainables.data.readers.clips import read_clips
from trainables.data.reading import VideoFile
from trainables.data.registry import load_videos
from trainables.data.trial_data import TrialData


def load(root: Path, **config: object) -> VideoSplits:
    return load_videos(ActionData(name="clips", **config), root)


def grey(*levels: int) -> np.ndarray:
    """A picture of one grey level a frame."""
    return np.stack([np.full((16, 16, 3), level, np.uint8) for level in levels])


def test_class_folders_are_split_by_person_and_evenly_by_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("fall", "walk"):
        for person in range(10):
            for clip in range(2):
                write(tmp_path / label / f"person{person}" / f"{clip}.m4v")
    assert main(["init", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert ["class", "fall", "14", "0", "6"] in [line.split() for line in said.splitlines()]
    assert ["persons", "or", "sources", "7", "0", "3"] in [line.split() for line in said.splitlines()]
    splits = load(tmp_path)
    assert Counter(video.label for video in splits.test) == {0: 6, 1: 6}
    assert {video.group for video in splits.test} & {video.group for video in splits.train} == set()
    assert {video.group for video in (*splits.train, *splits.validation, *splits.test)} == {f"person{n}" for n in range(10)}
    assert not [flaw for flaw in flaws_of(splits) if flaw.falsifies]
    assert main(["init", str(tmp_path)]) == 2
    assert "clips.csv: is there already; correct it by hand, or replace it with --force" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "--force", "--group-pattern", r"(person\d)"]) == 0


def test_folders_of_splits_are_kept_and_unknown_persons_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for label in ("a", "b"):
            for clip in range(count):
                write(tmp_path / split / label / f"{split}{clip}.wmv")
    assert main(["init", str(tmp_path)]) == 0
    assert "no person or source is known: every file is its own." in capsys.readouterr().out
    splits = load(tmp_path)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12, 4, 4)


def test_a_table_of_paths_labels_people_and_categories(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = ["video;action;person;hair;tall;gender"]
    for person in range(10):
        for clip in range(3):
            write(tmp_path / "in" / f"p{person}c{clip}.mpg")
            look = f"{('brown', 'black', 'red')[person % 3]};{person % 2};{'man' if person < 7 else 'woman'}"
            rows.append(f"in/p{person}c{clip}.mpg;{'jump' if clip else 'run'};p{person};{look}")
    table = write_lines(tmp_path / "mine.csv", rows)
    assert main(["init", str(tmp_path), "--csv", str(table), "--test", "0.2"]) == 0
    assert "attribute hair:brown" in capsys.readouterr().out
    splits = load(tmp_path)
    assert splits.classes == ("jump", "run")
    assert splits.attributes == ("hair:black", "hair:brown", "hair:red", "tall", "gender:woman")
    of = {video.name: video for video in (*splits.train, *splits.validation, *splits.test)}
    assert (of["in/p4c0.mpg"].attributes, of["in/p4c0.mpg"].group) == ((1, 0, 0, 0, 0), "p4")
    assert of["in/p9c1.mpg"].attributes == (0, 1, 0, 1, 1)
    assert load(tmp_path, attributes=("tall",)).attributes == ("tall",)
    write_lines(table, [row.replace("red", "Brown") for row in rows])
    assert main(["init", str(tmp_path), "--csv", str(table), "--force"]) == 2
    assert "column 'hair' has 'Brown' and 'brown'" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["v.mp4", "v.avi", "v.mkv"])
def test_a_clip_between_two_times_is_just_those_frames(tmp_path: Path, name: str) -> None:
    levels = [20 + 4 * n for n in range(50)]  # 10 frames a second
    write_video(tmp_path / name, grey(*levels), codec="ffv1" if name == "v.avi" else "libx264", rate=10)
    lines = [f"{name},a,train,1.0,2.0", f"{name},a,train,0:03,", f"{name},b,test,,"]
    write_lines(tmp_path / "clips.csv", ["path,label,split,start,end", *lines])
    rows = read_clips(tmp_path / "clips.csv")
    assert [(row.name, row.span) for row in rows] == [
        (f"{name}@1-2", (1.0, 2.0)),
        (f"{name}@3-", (3.0, None)),
        (name, None),
    ]
    for row, frames in zip(rows, (range(10, 20), range(30, 50), range(50)), strict=True):
        for size in (None, 16):
            video = VideoFile(tmp_path / name, size, row.span)
            found = video.frames(range(len(video)))[..., 0].mean(axis=(1, 2))
            assert len(found) == len(frames)
            assert found == pytest.approx([levels[frame] for frame in frames], abs=3)
    refused(lambda: VideoFile(tmp_path / name, None, (7.0, 8.0)), f"{name}: shows nothing from 7 s to 8 s: it lasts 5.0 s")


def test_kinetics_tables_need_no_cutting(tmp_path: Path) -> None:
    """A file named after its id is the whole video, one with the times in its name is the clip."""
    ids = [f"abc_{n:02}-xyz" for n in range(8)]
    for number, name in enumerate(ids):
        path = tmp_path / "videos" / (f"{name}.mp4" if number % 2 else f"{name}_000000_000002.mp4")
        path.parent.mkdir(exist_ok=True)
        write_video(path, grey(*(range(20, 60) if number % 2 else range(40, 60))), codec="libx264", rate=10)
    write(tmp_path / "videos" / "abc_01-xyz_000009_000011.mp4", "another clip of that video")
    rows = [
        f"{'run' if n < 4 else 'sit'},{name},{n % 2},{n % 2 + 2},{'val' if n % 4 == 3 else 'train'}"
        for n, name in enumerate(ids)
    ]
    table = write_lines(tmp_path / "kinetics.csv", ["label,youtube_id,time_start,time_end,split", *rows])
    assert main(["init", str(tmp_path), "--csv", str(table)]) == 0
    splits = load(tmp_path)
    assert (len(splits.train), len(splits.validation)) == (6, 2)
    clip = ClipConfig(frames=5, skip=4, size=16, decode_size=16, test_clips=1)
    by_name = {video.name: n for n, video in enumerate(splits.train)}
    for name, first, last in (("abc_01-xyz.mp4@1-3", 27, 52), ("abc_00-xyz_000000_000002.mp4", 37, 62)):
        sample = EvaluationClips(splits.train, clip, seed=0)[SampleId(0, by_name[f"videos/{name}"])]
        levels = sample["clips"][:, 0].float().mean(dim=(1, 2))
        assert levels.min() >= first, "frames 10 to 29 of a whole video, all of a clip"
        assert levels.max() <= last
    assert {video.group for video in splits.train} == {video.path.relative_to(tmp_path).as_posix() for video in splits.train}


def frames(folder: Path, *levels: int) -> None:
    folder.mkdir(parents=True)
    for number, picture in enumerate(grey(*levels)):
        Image.fromarray(picture).save(folder / f"img_{number + 1}.png")


def test_folders_of_frames_are_clips(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for person in range(5):
            frames(tmp_path / label / f"person{person}" / "clip", *(20 + person + 10 * n for n in range(12)))
    assert main(["init", str(tmp_path)]) == 0
    splits = load(tmp_path)
    assert sorted(video.name for video in splits.test)[0].endswith("/clip")
    clip = ClipConfig(frames=4, skip=2, size=16, decode_size=16, test_clips=1)
    item = splits.train[0]
    sample = TrainingClips(splits.train, clip, seed=0)[SampleId(0, 0)]
    levels = sample["clips"][:, 0, 0, 0].tolist()
    assert [b - a for a, b in pairwise(levels)] == [20, 20, 20], "img_2 before img_10"
    assert len(VideoFile(item.path)) == 12
    refused(lambda: VideoFile(item.path, None, (0.0, 1.0)), "a folder of frames has no times; leave start and end out")


def test_attributes_by_the_names_of_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for label in ("a", "b"):
        for person in range(4):
            for take in range(5):
                write(tmp_path / label / f"p{person}_take{take}.avi")
    pattern = ["--group-pattern", r"(p\d_take\d)", "--attribute", r"who=(p\d)"]
    assert main(["init", str(tmp_path), "--test", "0.2", *pattern]) == 0
    assert ["attribute", "who:p3", "8", "0", "2"] in [line.split() for line in capsys.readouterr().out.splitlines()]
    splits = load(tmp_path)
    assert splits.attributes == ("who:p0", "who:p1", "who:p2", "who:p3")
    assert {video.attributes for video in splits.test} == {(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)}
    assert main(["init", str(tmp_path), "--force", "--attribute", "who"]) == 2
    assert "--attribute 'who': write NAME=REGEX" in capsys.readouterr().err
    assert main(["init", str(tmp_path), "--force", "--attribute", r"who=(q\d)"]) == 2
    assert "no group of it in 'a/p0_take0.avi' (40 such); correct it" in capsys.readouterr().err


@pytest.mark.parametrize("wide", ["utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_write_them(tmp_path: Path, wide: str) -> None:
    names = ["my clip, 1.avi", "\u00e9t\u00e9 2.avi", 'say "hi".avi', "4.avi"]
    rows = ['"path"\t"label"\t"split"\t"tall"']
    for number, name in enumerate(names * 2):
        path = f"{'train' if number < 4 else 'test'}/{name}"
        write(tmp_path / path)
        quoted = path.replace('"', '""')
        rows.append(f'"{quoted}"\t"{"ab"[number % 2]}"\t{path.partition("/")[0]}\t{number // 2 % 2}')
    for separator in "\t;,":
        content = "\r\n".join(row.replace("\t", separator) for row in [*rows, "", ""])
        (tmp_path / "clips.csv").write_bytes(content.encode(wide))
        splits = load(tmp_path)
        assert [video.name for video in splits.test] == [f"test/{name}" for name in names]
        assert [video.attributes for video in splits.test] == [(0,), (0,), (1,), (1,)]


def test_paths_of_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "root"
    for number in range(6):
        write(root / f"{number}.avi")
    write(tmp_path / "out.avi")

    def made(*paths: str, header: str = "path,label") -> str:
        lines = [f"{path},{'ab'[number % 2]}" for number, path in enumerate(paths)]
        write_lines(tmp_path / "mine.csv", [header, *lines])
        assert main(["init", str(root), "--csv", str(tmp_path / "mine.csv"), "--force"]) in (0, 2)
        return capsys.readouterr().err

    others = [f"{number}.avi" for number in range(1, 6)]
    assert made(str(root / "0.avi"), "./1.avi", *others[1:]) == ""
    assert {video.name for part in (load(root).train, load(root).validation, load(root).test) for video in part} == {
        "0.avi",
        *others,
    }
    assert "mine.csv:2: '../out.avi' points outside" in made("../out.avi", *others)
    assert f"mine.csv:2: {str(tmp_path / 'out.avi')!r} points outside" in made(str(tmp_path / "out.avi"), *others)
    assert "mine.csv:2:" in made("gone.avi", "gone2.avi", *others)
    assert made("gone.avi", "gone2.avi").count("(2 such in all); correct the path, or take the row out") == 1
    write(root / "deep" / "5.avi")
    assert "'5' may be 5.avi or deep/5.avi; write the whole path" in made("5", *others)
    assert "mine.csv: '0.avi' is listed 2 times (1 such in all)" in made("0.avi", "./0.avi", *others)


def test_links_are_followed_once(tmp_path: Path) -> None:
    for label in ("a", "b"):
        for number in range(4):
            write(tmp_path / "real" / label / f"{number}.avi")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a").symlink_to(tmp_path / "real" / "a")
    (root / "b").symlink_to(tmp_path / "real" / "b")
    (root / "a" / "loop").symlink_to(root)
    write(root / "a" / "._0.avi", "what macOS leaves")
    assert main(["init", str(root)]) == 0
    assert len(read_clips(root / "clips.csv")) == 8


def test_times_that_are_not_in_the_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "vw":
        write_video(tmp_path / f"{name}.mp4", grey(*range(20, 60)), codec="libx264", rate=10)
    for times, right in (("0,4", True), ("1,4.9", True), ("1,5.1", False), ("4.5,", False), ("60,70", False)):
        write_lines(tmp_path / "mine.csv", ["path,label,start,end", f"v.mp4,a,{times}", "w.mp4,a,0,2", "w.mp4,a,2,4"])
        assert main(["init", str(tmp_path), "--csv", str(tmp_path / "mine.csv"), "--force"]) == (0 if right else 2), times
        said = capsys.readouterr().err
        assert right or "mine.csv:2: the clip is from" in said
        assert right or "and v.mp4 lasts 4.0 s (1 such in all); correct its times" in said


def test_one_person_in_two_spellings(tmp_path: Path) -> None:
    for number in range(6):
        write(tmp_path / f"{number}.avi")
    rows = [f"{n}.avi,{'ab'[n % 2]},{'test' if n > 3 else 'train'},{'Person 1' if n > 3 else f'person_{n}'}" for n in range(6)]
    write_lines(tmp_path / "clips.csv", ["path,label,split,group", *rows])
    refused(lambda: load(tmp_path), "clips.csv: column 'group' has 'Person 1' and 'person_1'", "write one value alike")


@pytest.mark.parametrize(
    ("header", "row", "parts"),
    [
        ("path,split", "a.avi,train", ["clips.csv:1: the header is 'path,split'", "write path,label,split"]),
        ("path,label,split", "a.avi,x", ["clips.csv:2: 2 values under 3 columns"]),
        ("path,label,split", "a.avi,x,dev", ["clips.csv:2: split 'dev'", "write train, validation, test"]),
        ("path,label,split", "a.avi,,train", ["clips.csv:2: no label"]),
        ("path,label,split", "b.avi,x,train", ["clips.csv:2:", "b.avi is not there", "holds 'a.avi', 'clips.csv'"]),
        ("path,label,split", "../a.avi,x,train", ["clips.csv:2: '../a.avi' points outside"]),
        ("path,label,split,start,end", "a.avi,x,train,2,1", ["clips.csv:2: the clip ends at 1 s and starts at 2 s"]),
        ("path,label,split,start", "a.avi,x,train,soon", ["clips.csv:2: 'soon' is no time; write seconds"]),
        ("path,label,split,start", "a.avi,x,train,nan", ["clips.csv:2: 'nan' is no time"]),
        ("path,label,split,end", "a.avi,x,train,inf", ["clips.csv:2: 'inf' is no time"]),
        ("path,label,split,hair", "a.avi,x,train,", ["clips.csv:2: no value in column 'hair'"]),
    ],
)
def test_what_is_wrong_in_a_table_is_named(tmp_path: Path, header: str, row: str, parts: list[str]) -> None:
    write(tmp_path / "a.avi")
    write_lines(tmp_path / "clips.csv", [header, row])
    refused(lambda: load(tmp_path), *parts)


def test_a_study_on_clips_alone(tmp_path: Path) -> None:
    rows = []
    for number in range(24):
        frames(tmp_path / f"clip{number}", *(number * 10 + n for n in range(8)))
        rows.append(f"clip{number},{'ab'[number % 2]},{'test' if number > 17 else 'train'},{number // 2 % 2}")
    write_lines(tmp_path / "clips.csv", ["path,label,split,tall", *rows])
    clips = DataConfig(action=ActionData(name="clips"), privacy=PrivacyData(name="frames_of_clips"))
    data = TrialData(TrialConfig(data=clips), tmp_path)
    data.require()
    stills = data.privacy_test
    assert stills.attributes == ("tall",)
    assert [len(part) for part in (stills.train, stills.validation, stills.test)] == [
        3 * len(part) for part in (data.action.train, data.action.validation, data.action.test)
    ]
    clip = ClipConfig(frames=4, size=16, decode_size=16)
    for index, still in enumerate(stills.test[:3]):
        picture = Stills(stills.test, clip, seed=0)[SampleId(0, index)]["clips"]
        assert picture.shape == (1, 3, 16, 16)
        assert picture[0, 0, 0, 0] == int(stills.test[0].name[4:6]) * 10 + round(still.moment * 7)
    assert len({still.attributes for still in stills.test}) == 2
    write_lines(tmp_path / "clips.csv", ["path,label,split", *[row.rpartition(",")[0] for row in rows]])
    refused(TrialData(TrialConfig(data=clips), tmp_path).require, "clips: its clips carry no private attributes, so frames_of")


@pytest.mark.skipif(not (SHARED / "care_mini").is_dir(), reason=f"the real clips are not at {SHARED / 'care_mini'}")
def test_real_clips_in_class_folders(tmp_path: Path) -> None:
    shutil.copytree(SHARED / "care_mini" / "UCF-101", tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("ucfTrain*"))
    assert main(["init", str(tmp_path), "--group-pattern", r"_(g\d+)_"]) == 0
    splits = load(tmp_path)
    assert sum(len(part) for part in (splits.train, splits.validation, splits.test)) == 104
    assert not [flaw for flaw in flaws_of(splits) if flaw.falsifies]
    assert len(VideoFile(splits.test[0].path)) > 10


def test_times_are_seconds_or_hours_minutes_and_seconds(tmp_path: Path) -> None:
    write_lines(
        tmp_path / "clips.csv", ["path,label,start,end", "a.mp4,walk,2:05,1:02:03.5", "a.mp4,walk,12.5,", "b.mp4,walk,,"]
    )
    assert [row.span for row in read_clips(tmp_path / "clips.csv")] == [(125.0, 3723.5), (12.5, None), None]


def test_attributes_of_clips_are_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    rows = ["path,label,split,tall,blue"]
    for number in range(12):
        write(tmp_path / f"{number}.mp4")
        rows.append(f"{number}.mp4,walk,{'test' if number > 8 else 'train'},{number % 2},1")
    write_lines(tmp_path / "clips.csv", rows)
    splits = load(tmp_path, attributes=("blue", "tall"))
    assert splits.attributes == ("blue", "tall")
    assert [video.attributes for video in splits.test] == [(1.0, 1.0), (1.0, 0.0), (1.0, 1.0)]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["path,person", "0.avi,p"], "mine.csv:1: the header is 'path,person'; write path,label"),
        (["path,label,person", "0.avi,,p", "1.avi,a,q"], "mine.csv:2: no label (1 such in all); give every clip its class"),
        (["path,label,person", "0.avi,a,p", "1.avi,b,q", "0.avi,b,q"], "mine.csv: '0.avi' is listed 2 times (1 such in all)"),
        (["path,label,person", "0.avi,HorseRiding,p", "1.avi,Horse Riding,q"], "has 'Horse Riding' and 'HorseRiding'"),
        (
            ["path,label,person", "0.avi,a,p", "1.avi,b,p"],
            "0.avi: all clips are of one person or source, 'p', so that none can",
        ),
    ],
)
def test_a_table_that_no_study_could_use_is_refused_before_it_is_taken(
    tmp_path: Path, lines: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("0.avi", "1.avi"):
        write(tmp_path / name)
    write_lines(tmp_path / "mine.csv", lines)
    assert main(["init", str(tmp_path), "--csv", str(tmp_path / "mine.csv")]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (tmp_path / "clips.csv").exists()
