"""The readers on the official annotation files, every video and image a few bytes: counts, sources, and what may not train.

The annotation files are not part of this repository (PA-HMDB51's may not be passed on): `shared/` beside it holds them.
"""

import json
from pathlib import Path

import pytest

from tests.support import SHARED
from trainables.config import ActionData, PrivacyData
from trainables.data.__main__ import main
from trainables.data.items import VideoSplits
from trainables.data.readers.pa_annotations import annotated_names
from trainables.data.readers.vispr import ATTRIBUTE_SETS
from trainables.data.registry import load_stills, load_videos
from trainables.data.validation import held_out

VISPR1 = ATTRIBUTE_SETS["vispr1"]
ANNOTATIONS = SHARED / "annotations"
UCF101_LISTS = ANNOTATIONS / "official_splits" / "data" / "ucf101_splits"
HMDB51_LISTS = ANNOTATIONS / "official_splits" / "data" / "hmdb51_splits"
PA_LABELS = ANNOTATIONS / "pa_hmdb51" / "PrivacyAttributes"
VP_LABELS = ANNOTATIONS / "vp_annotations" / "annotations"
VISPR_LISTS = ANNOTATIONS / "vispr_lists"

pytestmark = pytest.mark.skipif(not ANNOTATIONS.is_dir(), reason=f"the official annotation files are not at {ANNOTATIONS}")


def place_files(folder: Path, names: set[str]) -> None:
    """A small file under every name, no two alike."""
    folder.mkdir(parents=True)
    for parent in {str(Path(name).parent) for name in names}:
        (folder / parent).mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text(name)


@pytest.fixture(scope="module")
def ucf101_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("ucf101")
    lists = [UCF101_LISTS / f"{part}list01.txt" for part in ("train", "test")]
    names = {line.split()[0] for path in lists for line in path.read_text().splitlines()}
    place_files(root / "UCF-101", names)
    (root / "ucfTrainTestlist").symlink_to(UCF101_LISTS)
    (root / "ucf101_privacy_attribute_label.pickle").symlink_to(VP_LABELS / "ucf101_privacy_attribute_label.pickle")
    return root


@pytest.fixture(scope="module")
def hmdb51_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hmdb51")
    names = {
        f"{path.name.removesuffix('_test_split1.txt')}/{line.split()[0]}"
        for path in HMDB51_LISTS.glob("*_test_split1.txt")
        for line in path.read_text().splitlines()
    }
    place_files(root / "hmdb51_org", names)
    (root / "testTrainMulti_7030_splits").symlink_to(HMDB51_LISTS)
    (root / "VP-HMDB51").symlink_to(VP_LABELS)
    return root


@pytest.fixture(scope="module")
def pa_hmdb51_root(hmdb51_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pa_hmdb51")
    for name in ("hmdb51_org", "testTrainMulti_7030_splits", "VP-HMDB51"):
        (root / name).symlink_to(hmdb51_root / name)
    (root / "PrivacyAttributes").symlink_to(PA_LABELS)
    return root


def assert_apart(splits: VideoSplits) -> None:
    """No source on both sides of the cut, about the asked fraction held out, of each class as of all."""
    assert not {video.group for video in splits.train} & {video.group for video in splits.validation}
    assert 0.09 < len(splits.validation) / (len(splits.train) + len(splits.validation)) < 0.11
    shares = [one.share for one in held_out(splits) if one.what.startswith("class ")]
    assert len(shares) == len(splits.classes)
    assert min(shares) > 0.05
    assert max(shares) < 0.18


@pytest.mark.parametrize(("split", "train", "test"), [(1, 9_537, 3_783), (2, 9_586, 3_734), (3, 9_624, 3_696)])
def test_ucf101_has_the_official_counts(ucf101_root: Path, split: int, train: int, test: int) -> None:
    splits = load_videos(ActionData(name="ucf101", split=split), ucf101_root)
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (train, test)
    assert len(splits.classes) == 101
    assert splits.classes[0] == "ApplyEyeMakeup"
    assert splits.attributes == ()
    assert_apart(splits)
    groups = {video.group for video in (*splits.train, *splits.validation, *splits.test)}
    assert len(groups) == 101 * 25, "25 groups a class, which have nothing to do with each other"
    assert len({video.group for video in splits.test}) == 101 * 7
    assert not {video.group for video in splits.test} & {video.group for video in (*splits.train, *splits.validation)}


@pytest.mark.parametrize("split", [1, 2, 3])
def test_hmdb51_has_the_official_counts(hmdb51_root: Path, split: int) -> None:
    splits = load_videos(ActionData(name="hmdb51", split=split), hmdb51_root)
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (3_570, 1_530)
    assert len(splits.classes) == 51
    assert_apart(splits)


def test_hmdb51_sources_are_the_names_before_the_class(hmdb51_root: Path) -> None:
    splits = load_videos(ActionData(name="hmdb51"), hmdb51_root)
    groups = {video.name: video.group for video in (*splits.train, *splits.validation, *splits.test)}
    assert groups["brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi"] == "April_09"
    assert groups["climb/Alban_Hayoz_solo_climb_(klettern)_climb_f_cm_np1_ba_med_0.avi"] == "Alban_Hayoz_solo_climb_(klettern)"
    # every clip's name tells its source, so hardly any stands alone
    assert len(set(groups.values())) < len(groups) / 3


@pytest.mark.parametrize("name", ["hmdb51", "vp_hmdb51"])
def test_labels_of_pa_hmdb51_in_the_root_change_no_split(hmdb51_root: Path, pa_hmdb51_root: Path, name: str) -> None:
    splits = load_videos(ActionData(name=name), pa_hmdb51_root)
    assert (len(splits.train) + len(splits.validation), len(splits.test)) == (3_570, 1_530)
    assert splits.fingerprint == load_videos(ActionData(name=name), hmdb51_root).fingerprint


@pytest.mark.parametrize(("name", "asked"), [("hmdb51", False), ("pa_hmdb51", None), ("vp_hmdb51", False)])
@pytest.mark.parametrize(("split", "in_training"), [(1, 286), (2, 303), (3, 311)])
def test_no_video_of_pa_hmdb51_trains_where_it_is_tested_on(
    pa_hmdb51_root: Path, name: str, asked: bool | None, split: int, in_training: int
) -> None:
    annotated = annotated_names(pa_hmdb51_root)
    assert len(annotated) == 515
    splits = load_videos(ActionData(name=name, split=split, train_on_pa_hmdb51=asked), pa_hmdb51_root)
    training = {video.name for video in (*splits.train, *splits.validation)}
    assert not training & annotated
    assert len(training) == 3_570 - in_training
    assert_apart(splits)
    if name == "pa_hmdb51":
        assert {video.name for video in splits.test} == annotated
        assert all(splits.classes[video.label] == video.name.split("/")[0] for video in splits.test)
    else:
        assert len(splits.test) == 1_530


def test_pa_hmdb51_stills_have_the_published_chance_level(pa_hmdb51_root: Path) -> None:
    splits = load_stills(PrivacyData(name="pa_hmdb51"), pa_hmdb51_root)
    assert splits.attributes == ("skin_color", "face", "gender", "nudity", "relationship")
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (0, 0, 3_483)
    assert len({still.path for still in splits.test}) == 515
    prevalence = [sum(column) / len(splits.test) for column in zip(*(still.attributes for still in splits.test), strict=True)]
    assert sum(prevalence) / 5 == pytest.approx(0.691, abs=0.001)
    labels = {still.name: still.attributes for still in splits.test}
    # nudity starts at frame 1, the other attributes at 0: the first still is the first frame that all of them label
    kiss = "kiss/Hangingbyamomentfavoritekisses_kiss_u_cm_np2_le_goo_8.avi"
    assert f"{kiss}#1" in labels
    assert f"{kiss}#0" not in labels
    # frame 16 has no label for face: the 16th labelled frame after 0 is 17
    kick = "kick_ball/Lattenknaller_-_M_nner_wie_wir_(Teil_11)_kick_ball_f_cm_np1_fr_goo_0.avi"
    assert f"{kick}#17" in labels
    assert f"{kick}#16" not in labels


def test_vp_labels_cover_every_video_of_the_splits(ucf101_root: Path, hmdb51_root: Path) -> None:
    for name, root, official in (("vp_ucf101", ucf101_root, 0.582), ("vp_hmdb51", hmdb51_root, 0.584)):
        splits = load_videos(ActionData(name=name), root)
        assert splits.name == name
        assert splits.attributes == ("skin_color", "face", "gender", "nudity", "relationship")
        rows = [video.attributes for video in splits.test]
        assert sum(map(sum, rows)) / (5 * len(rows)) == pytest.approx(official, abs=0.02)


def test_vispr_has_the_official_counts(tmp_path: Path) -> None:
    # the lists are real; the labels of the images are not to be had, so each image gets one
    folder = tmp_path / "VISPR"
    names: list[str] = []
    for path in VISPR_LISTS.glob("*2017.txt"):
        names += path.read_text().split()
    images = {name.replace("annotations/", "images/").replace(".json", ".jpg") for name in names}
    place_files(folder, images)
    for split in ("train2017", "val2017", "test2017"):
        (folder / f"{split}.txt").symlink_to(VISPR_LISTS / f"{split}.txt")
        (folder / "annotations" / split).mkdir(parents=True)
    for number, name in enumerate(names):
        image = name.replace("annotations/", "images/").replace(".json", ".jpg")
        (folder / name).write_text(json.dumps({"image_path": image, "labels": [VISPR1[number % 7]]}))
    splits = load_stills(PrivacyData(name="vispr"), tmp_path)
    assert splits.attributes == VISPR1
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (10_000, 4_167, 8_000)


def test_check_confirms_the_official_counts(
    ucf101_root: Path, pa_hmdb51_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for source in (ucf101_root, pa_hmdb51_root):
        for path in source.iterdir():
            (tmp_path / path.name).symlink_to(path)
    assert main(["check", str(tmp_path)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    found = {" ".join(row[:-6]): row[-1] for row in rows if "found" in row}
    assert found == {
        **{f"{name} split {split}": "yes" for name in ("ucf101", "hmdb51") for split in (1, 2, 3)},
        **{f"{name} split 1": "yes" for name in ("pa_hmdb51", "vp_ucf101", "vp_hmdb51")},
        **{f"{name} labels": "yes" for name in ("vp_ucf101", "vp_hmdb51")},
        "pa_hmdb51 images": "yes",
    }
