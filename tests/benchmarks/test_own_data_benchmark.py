"""The four folders that the benchmark makes hold the same clips, and the first command of each finds all of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.own_data import STEPS, WAYS, Clip, clips_of, commands, table
from trainables.config import ActionData
from trainables.data.__main__ import main
from trainables.data.flaws import flaws_of
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.reading import VideoFile
from trainables.data.registry import load_videos


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Clip]:
    spec = GeneratedSpec(train_clips=24, test_clips=12, train_images=2, val_images=1, test_images=1, size=32, frames=8)
    return clips_of(ensure(tmp_path_factory.mktemp("clips"), spec), "ucf101", 36)


@pytest.mark.parametrize("name", WAYS)
def test_each_way_brings_the_same_clips(tmp_path: Path, clips: list[Clip], name: str) -> None:
    root = tmp_path / "own"
    root.mkdir()
    first, *_ = commands(root, WAYS[name](root, clips))
    assert first[1:4] == ["-m", "trainables.data", "init"]
    assert main(first[3:]) == 0
    splits = load_videos(ActionData(name="clips"), root)
    found = (*splits.train, *splits.validation, *splits.test)
    assert splits.attributes in (("who:yes",), ("who:no",)), "the rarer word"
    rare = splits.attributes[0].removeprefix("who:")
    assert Counter((splits.classes[video.label], video.attributes) for video in found) == Counter(
        (clip.label, (float(clip.who == rare),)) for clip in clips
    )
    assert len({video.group for video in found}) == len({clip.source for clip in clips})
    assert not [flaw.says for flaw in flaws_of(splits) if flaw.falsifies]
    assert {len(VideoFile(video.path, None, video.span)) for video in found} == {8}
    shown = sorted(VideoFile(video.path, None, video.span).frames([0]).mean() for video in found)
    assert shown == pytest.approx(sorted(VideoFile(clip.path).frames([0]).mean() for clip in clips), abs=4)


def test_the_table() -> None:
    lines = table([("folders", [1.2, 2.0, 3.0, np.float64(60.4)])]).splitlines()
    assert len(lines[0].split("|")) == len(lines[1].split("|")) == len(STEPS) + 4
    assert lines[2] == "| folders | 1 s | 2 s | 3 s | 60 s | 67 s |"
