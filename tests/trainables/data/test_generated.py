"""The data set with known truth: real files in the layouts of UCF101 and VISPR, the same on every machine."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from trainables.config import ActionData, ConfigError, PrivacyData
from trainables.data.generated import ATTRIBUTES, MOTIONS, PERSON_PATTERN, VERSION, GeneratedSpec, ensure
from trainables.data.reading import VideoFile
from trainables.data.registry import load_stills, load_videos

SPEC = GeneratedSpec(train_clips=60, test_clips=36, train_images=200, val_images=20, test_images=60, size=32, frames=16)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure(tmp_path_factory.mktemp("data"), SPEC)


@pytest.mark.parametrize("domain", ["known", "novel"])
def test_the_readers_of_ucf101_and_vispr_read_it(tmp_path: Path, domain: str) -> None:
    made = ensure(tmp_path, replace(SPEC, domain=domain, train_images=30))
    videos, stills = load_videos(ActionData(), made), load_stills(PrivacyData(), made)
    assert videos.classes == tuple(sorted(MOTIONS[domain]))
    assert len(videos.train) + len(videos.validation) == 60
    assert (len(videos.test), len(stills.train), len(stills.validation), len(stills.test)) == (36, 30, 20, 60)
    assert videos.attributes == stills.attributes == tuple(ATTRIBUTES[domain])
    assert not {v.group for v in videos.train} & {v.group for v in videos.validation + videos.test}
    assert not {v.group for v in videos.validation} & {v.group for v in videos.test}


def test_the_two_domains_share_neither_motions_nor_attributes() -> None:
    assert not set(MOTIONS["known"]) & set(MOTIONS["novel"])
    assert not set(ATTRIBUTES["known"]) & set(ATTRIBUTES["novel"])
    assert min(len(names) for names in ATTRIBUTES.values()) >= 5


def test_the_same_spec_makes_the_same_data_and_another_seed_other_data(root: Path, tmp_path: Path) -> None:
    again = ensure(tmp_path, SPEC)
    other = ensure(tmp_path, replace(SPEC, seed=1))
    videos = [load_videos(ActionData(), r) for r in (root, again, other)]
    assert videos[0].fingerprint == videos[1].fingerprint != videos[2].fingerprint
    first, second = (VideoFile(v.train[0].path).frames(range(16)) for v in videos[:2])
    assert np.array_equal(first, second)


def test_it_is_made_once(root: Path) -> None:
    before = (root / "spec.json").stat().st_mtime_ns
    assert ensure(root.parent.parent, SPEC) == root
    assert (root / "spec.json").stat().st_mtime_ns == before
    assert [p for p in root.parent.iterdir() if p.name.startswith(".")] == []


def test_the_attributes_say_nothing_of_the_action(root: Path) -> None:
    """Each attribute is as frequent in every class, up to chance."""
    videos = load_videos(ActionData(), root)
    items = videos.train + videos.validation + videos.test
    labels = np.array([v.attributes for v in items])
    classes = np.array([v.label for v in items])
    for share in labels.mean(axis=0):
        assert 0.1 < share < 0.9
    correlation = [abs(np.corrcoef(labels[:, a], classes == c)[0, 1]) for a in range(labels.shape[1]) for c in range(6)]
    assert np.mean(correlation) < 0.2


def test_a_single_frame_says_nothing_of_the_action(root: Path) -> None:
    """The figure's place in any one frame is uniform in every class: no column or row of the frame is preferred."""
    videos = load_videos(ActionData(), root)
    for label in range(6):
        items = [v for v in (*videos.train, *videos.validation, *videos.test) if v.label == label]
        frames = np.stack([VideoFile(v.path).frames([8])[0].astype(float) for v in items])
        offset = abs(frames - np.median(frames, axis=(1, 2), keepdims=True)).sum(axis=3)
        rows, columns = offset.mean(axis=0).mean(axis=1), offset.mean(axis=0).mean(axis=0)
        assert rows.max() < 4 * rows.mean()
        assert columns.max() < 4 * columns.mean()


def test_what_is_too_small_is_said() -> None:
    with pytest.raises(ConfigError, match="train_clips = 3; give at least"):
        GeneratedSpec(train_clips=3)
    with pytest.raises(ConfigError, match="at least 16 pixels"):
        GeneratedSpec(size=8)


def test_from_the_command_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trainables.data", "generate", str(tmp_path), "--train-clips", "24", "--test-clips", "12"]
    command += ["--train-images", "8", "--val-images", "4", "--test-images", "4", "--domain", "novel"]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    made = Path(found.stdout.strip())
    assert len(list(made.glob("UCF-101/*/*.avi"))) == 36
    check = subprocess.run(
        [sys.executable, "-m", "trainables.data", "check", str(made), "--decode"], capture_output=True, text=True, check=False
    )
    assert check.returncode == 0, check.stdout


def test_people_who_are_in_every_class_are_made_only_where_they_are_asked_for(tmp_path: Path) -> None:
    """One look in all classes of a person, and other people in training clips; hundred of them as well as twenty."""
    with pytest.raises(
        ConfigError, match="people = 100 with train_clips = 60; each is to be in every class: give at least 600"
    ):
        GeneratedSpec(train_clips=60, people=100)
    GeneratedSpec(train_clips=600, test_clips=600, people=100)
    spec = GeneratedSpec(
        train_clips=120, test_clips=120, train_images=2, val_images=1, test_images=1, size=16, frames=8, people=20
    )
    videos = load_videos(ActionData(group_pattern=PERSON_PATTERN), ensure(tmp_path, spec))
    assert len({video.group for video in videos.test}) == 20
    assert not {video.group for video in videos.test} & {video.group for video in (*videos.train, *videos.validation)}
    of_one = [video for video in videos.test if video.group == videos.test[0].group]
    assert {video.label for video in of_one} == set(range(6))
    assert len({video.attributes for video in of_one}) == 1


def test_a_field_at_its_default_leaves_the_data_of_before(root: Path) -> None:
    """The folder of a specification is named by its fields: studies of before find the data they made."""
    sizes = {name: value for name, value in asdict(SPEC).items() if name not in ("domain", "people")}
    assert root.parent.name == hashlib.sha256(json.dumps([VERSION, sizes]).encode()).hexdigest()[:12]
