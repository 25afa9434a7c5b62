"""Data of which every file can be read and whose figures would be wrong: each flaw is said, and refused unless accepted."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.data_sets import append, refused, write, write_lines
from tests.support.fake_data import Files
from tests.support.videos import write_video
from trainables.config import ActionData, DataConfig, PrivacyData, TestPrivacyData, TrialConfig
from trainables.data.contents import PART, PARTS, contents_of
from trainables.data.flaws import flaws_of
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits
from trainables.data.readers.places import spelled_alike
from trainables.data.registry import load_stills, load_videos
from trainables.data.trial_data import TrialData


def make(folder: Path) -> VideoSplits:
    """Two classes, one source a video, one attribute with both values on both sides."""

    def videos(part: str) -> Iterator[Video]:
        for number in range(4):
            name = f"{part}{number}"
            yield Video(name, write(folder / name), number % 2, name, (float(number > 1),))

    return VideoSplits("set", ("a", "b"), ("tall",), *(tuple(videos(part)) for part in ("train", "validation", "test")))


def with_item(splits: VideoSplits, part: str, number: int, **values: object) -> VideoSplits:
    items = list(getattr(splits, part))
    items[number] = dataclasses.replace(items[number], **values)
    return dataclasses.replace(splits, **{part: tuple(items)})


def test_good_data_have_no_flaw(tmp_path: Path) -> None:
    assert flaws_of(make(tmp_path)) == []


@pytest.mark.parametrize("part", ["train", "validation"])
def test_a_source_in_training_and_test(tmp_path: Path, part: str) -> None:
    splits = with_item(make(tmp_path), part, 1, group="test0")
    [flaw] = flaws_of(splits)
    assert flaw.falsifies
    assert flaw.says.startswith(
        "set: 1 sources, such as 'test0', are in training and in test (1 of 4 test items): test figures"
    )
    [flaw] = flaws_of(dataclasses.replace(splits, published=True))
    assert not flaw.falsifies, "the split of a published set is not to be changed"
    assert flaw.says.endswith("as published")


def test_a_class_and_an_attribute_that_nobody_can_have_learned(tmp_path: Path) -> None:
    splits = make(tmp_path)
    for part in range(4):
        splits = with_item(splits, "train", part, label=0)
    [flaw] = flaws_of(splits)
    assert (flaw.falsifies, "1 classes without a training item, such as 'b', have 2 test items" in flaw.says) == (True, True)
    splits = make(tmp_path)
    for part in range(4):
        splits = with_item(splits, "train", part, attributes=(0.0,))
    [flaw] = flaws_of(splits)
    assert flaw.falsifies
    assert "1 attributes, such as 'tall', have one value in all training items and two in test: nobody can learn" in flaw.says


def test_one_class_alone(tmp_path: Path) -> None:
    """It says nothing where it is recognised; clips with labels of privacy may still serve to measure leakage."""
    splits = dataclasses.replace(make(tmp_path), classes=("a",))
    for part in ("train", "validation", "test"):
        for number in range(4):
            splits = with_item(splits, part, number, label=0)
    [flaw] = flaws_of(splits)
    assert (flaw.falsifies, flaw.says) == (
        False,
        "set: one class alone, 'a': every answer is right; give clips of another class too",
    )
    for part in ("train", "validation", "test"):
        for number in range(4):
            splits = with_item(splits, part, number, attributes=None)
    assert [flaw.falsifies for flaw in flaws_of(dataclasses.replace(splits, attributes=()))] == [True]


def test_copies(tmp_path: Path) -> None:
    splits = with_item(make(tmp_path), "train", 3, attributes=(0.0,))
    write(tmp_path / "train3", (tmp_path / "train1").read_text())
    [flaw] = flaws_of(splits)
    assert (flaw.falsifies, flaw.says) == (
        False,
        "set: 1 files are there more than once, counted as different items, first 'train1' and 'train3'; list one of them",
    )
    write(tmp_path / "test2", (tmp_path / "train0").read_text())
    across, within = flaws_of(splits)
    assert (across.falsifies, within.falsifies) == (True, False)
    assert "1 files are there more than once, one in training and one in test, first 'train0' and 'test2'" in across.says


def test_files_that_differ_between_the_parts_that_are_hashed_are_no_copies(tmp_path: Path) -> None:
    """As raw videos of a still scene may."""
    splits, content = make(tmp_path), bytearray(10 * PART * PARTS)
    one, two = splits.train[0].path, splits.test[2].path
    one.write_bytes(content)
    content[2 * PART] = 1
    two.write_bytes(content)
    assert len(set(contents_of([one, two]).values())) == 1
    assert flaws_of(splits) == []
    two.write_bytes(one.read_bytes())
    [flaw] = flaws_of(splits)
    assert (flaw.falsifies, "1 files are there more than once" in flaw.says) == (True, True)


def test_frames_of_one_video_are_no_copies(tmp_path: Path) -> None:
    path = write(tmp_path / "v.avi")
    stills = tuple(Still(f"v.avi#{n}", path, (float(n),), "v", frame=n) for n in (0, 1))
    assert flaws_of(StillSplits("set", ("tall",), (), (), stills)) == []


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A data set of one's own whose test person is in training as well."""
    rows, images = ["filename,group"], ["filename,tall"]
    for part, count in (("train", 8), ("test", 2)):
        names = [f"{label}/{part}{n}.avi" for n in range(count) for label in ("a", "b")]
        for number, name in enumerate(names):
            write(tmp_path / "videos" / name)
            rows.append(f"{name},person{number // 2 if part == 'train' else 0}")
        pictures = [f"{part}{n}.jpg" for n in range(count)]
        for number, name in enumerate(pictures):
            write(tmp_path / "images" / name)
            images.append(f"{name},{number % 2}")
        write_lines(tmp_path / "splits" / f"{part}.txt", names)
        write_lines(tmp_path / "splits" / f"images_{part}.txt", pictures)
    write_lines(tmp_path / "clip_attributes.csv", rows)
    write_lines(tmp_path / "image_attributes.csv", images)
    return tmp_path


OWN = DataConfig(action=ActionData(name="folders"), privacy=PrivacyData(name="folders"))


def test_a_trial_refuses_what_falsifies_its_figures_unless_asked(own: Path) -> None:
    refused(
        TrialData(TrialConfig(data=OWN), own).require,
        "folders: 1 sources, such as 'person0', are in training and in test (4 of 4 test items)",
        "(1 such flaws in all; accept_flaws=true goes on all the same)",
    )
    accepted = TrialData(TrialConfig(data=OWN, accept_flaws=True), own)
    accepted.require()
    assert [flaw.says.split(",")[0] for flaw in accepted.flaws()] == ["folders: 1 sources"], "it is in the record all the same"


def test_a_set_that_trains_on_what_another_one_tests_on(pa: Path) -> None:
    images = pa / "images.csv"
    assert not images.exists()
    data = {
        "action": {"name": "hmdb51"},
        "privacy": {"name": "pa_hmdb51"},
        "test_privacy": TestPrivacyData(name="pa_hmdb51").model_dump(),
    }
    flaws = TrialData(TrialConfig.model_validate({"data": data}), pa).flaws()
    [flaw] = [flaw for flaw in flaws if flaw.falsifies and "train as action" in flaw.says]
    assert flaw.says.startswith(
        "1 files, first run/#1_Fan;s&run(a)!+_run_f_nm_np1_ba_goo_0.avi, train as action and are tested on as"
    )
    data["action"]["train_on_pa_hmdb51"] = False
    flaws = TrialData(TrialConfig.model_validate({"data": data}), pa).flaws()
    assert not [flaw for flaw in flaws if "train as action" in flaw.says]


@pytest.mark.parametrize("part", ["train", "validation"])
def test_items_of_training_and_validation_that_another_set_tests_on(files: Files, part: str) -> None:
    """An epoch is chosen by validation items, so that they are not apart from training."""
    data = TrialData(TrialConfig(data=DataConfig(evaluate_action=ActionData(folder="e"))), files.root)
    path = getattr(data.action, part)[0].path
    files.changes["e"] = lambda splits: dataclasses.replace(splits, test=(dataclasses.replace(splits.test[0], path=path),))
    said = [flaw.says.partition(";")[0] for flaw in data.flaws() if flaw.falsifies and "train as action " in flaw.says]
    assert said == [f"1 files, first {path.parent.name}/{path.name}, train as action and are tested on as action_evaluation"]


def test_a_class_of_hmdb51_without_a_list(hmdb: Path) -> None:
    write(hmdb / "hmdb51" / "wave" / "a_wave_f_cm_np1_le_med_3.avi")
    splits = load_videos(ActionData(name="hmdb51"), hmdb)
    assert splits.classes == ("kick_ball", "run")
    says = [flaw.says for flaw in flaws_of(splits) if flaw.falsifies]
    assert (
        "hmdb51: no list wave_test_split1.txt for the folder wave, so it is no class: fewer classes make actions easier" in says
    )


def test_an_attribute_spelled_in_two_ways(tmp_path: Path) -> None:
    folder = tmp_path / "VISPR"
    for split, label in (("train2017", "A4_gender"), ("test2017", "a4_gender")):
        for number in range(4):
            labels = f'{{"image_path": "images/{split}/{number}.jpg", "labels": ["{label if number % 2 else "a0_safe"}"]}}'
            write(folder / "annotations" / split / f"{number}.json", labels)
            write(folder / "images" / split / f"{number}.jpg")
        write_lines(folder / f"{split}.txt", [f"annotations/{split}/{number}.json" for number in range(4)])
    refused(
        lambda: load_stills(PrivacyData(attributes=("a4_gender",)), tmp_path),
        "train2017.txt:2: the label 'A4_gender' differs from 'a4_gender' in its letters only (2 such in all)",
    )


def test_an_unreadable_file_is_named(own: Path) -> None:
    append(own / "splits" / "train.txt", "a/gone.avi")
    append(own / "clip_attributes.csv", "a/gone.avi,person9")
    os.symlink(own / "nowhere", own / "videos" / "a" / "gone.avi")
    with pytest.raises(DataError, match=r"gone\.avi is not there"):
        load_videos(ActionData(name="folders"), own)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"classes": ("Hand stand", "hand_stand")}, "the classes 'Hand stand', 'hand_stand' are written in two ways"),
        ({"classes": ("HandStand", "Hand stand")}, "the classes 'Hand stand', 'HandStand' are written in two ways"),
        ({"attributes": ("tall", "Tall")}, "the attributes 'Tall', 'tall' are written in two ways"),
        ({"attributes": ("caf\u00e9", "cafe\u0301")}, "are written in two ways"),
    ],
)
def test_one_name_in_two_spellings(tmp_path: Path, change: dict[str, tuple[str, ...]], says: str) -> None:
    splits = make(tmp_path)
    for part in ("train", "validation", "test"):
        for number, item in enumerate(getattr(splits, part)):
            splits = with_item(splits, part, number, attributes=(*item.attributes, *item.attributes))
    flaws = flaws_of(dataclasses.replace(splits, **({"attributes": ("tall", "thin")} | change)))
    assert [says in flaw.says for flaw in flaws if flaw.falsifies] == [True]


def test_what_is_spelled_alike() -> None:
    """A blank more or less, a hyphen, a letter's case; but numbers stay the numbers they are."""
    names = [
        "1_1",
        "11",
        "take 1 1",
        "take 11",
        "Horse Riding",
        "HorseRiding",
        "horse-riding",
        "p 1",
        "p1",
        "p2",
        "run",
        "runs",
    ]
    assert spelled_alike(names) == [["Horse Riding", "HorseRiding", "horse-riding"], ["p 1", "p1"]]


def test_a_person_on_both_sides_in_two_spellings(tmp_path: Path) -> None:
    splits = with_item(with_item(make(tmp_path), "train", 0, group="Person 1"), "test", 0, group="person_1")
    [flaw] = flaws_of(splits)
    assert (flaw.falsifies, flaw.says) == (
        True,
        "set: the sources 'Person 1', 'person_1' are written in two ways; write each in one",
    )
    assert flaws_of(with_item(splits, "test", 0, group="person11")) == [], "another person"


def test_a_clip_under_two_names_and_labels(tmp_path: Path) -> None:
    splits = make(tmp_path)
    splits = with_item(splits, "train", 1, path=splits.train[0].path)
    assert "set: 1 clips are listed twice, first 'train0' and 'train1'; list each once" in [f.says for f in flaws_of(splits)]
    apart = with_item(with_item(splits, "train", 0, span=(0.0, 1.0)), "train", 1, span=(1.0, 2.0))
    assert flaws_of(apart) == []


def test_copies_with_different_labels(tmp_path: Path) -> None:
    splits = make(tmp_path)
    write(tmp_path / "train2", (tmp_path / "train1").read_text())
    [flaw] = flaws_of(splits)
    assert flaw.falsifies
    assert "1 files are there more than once, with different labels, first 'train1' and 'train2'" in flaw.says


def test_times_past_the_end_of_a_video(tmp_path: Path) -> None:
    splits = make(tmp_path)
    write_video(tmp_path / "train0.mp4", np.zeros((40, 16, 16, 3), np.uint8), codec="libx264", rate=10)
    for span, right in (((0.0, 4.9), True), ((1.0, None), True), ((0.0, 5.1), False), ((4.5, None), False)):
        flaws = flaws_of(with_item(splits, "train", 0, path=tmp_path / "train0.mp4", span=span))
        assert [flaw.says for flaw in flaws if flaw.falsifies] == [
            "set: 1 clips go past the end of their videos, first 'train0', whose video lasts 4.0 s; correct their times"
        ] * (not right)


def test_a_class_that_nobody_tests_is_said(tmp_path: Path) -> None:
    [flaw] = flaws_of(dataclasses.replace(make(tmp_path), classes=("a", "b", "c")))
    assert (flaw.falsifies, "1 classes, such as 'c', have no test item" in flaw.says) == (False, True)
