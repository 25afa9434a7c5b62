"""Boxes of people for stretches of a file and for frames of clips: a box has the number of the frame that the pixels show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from tests.support.data_sets import write_lines
from tests.support.videos import write_video
from trainables.config import ActionData, ClipConfig, DataConfig, ObfuscationConfig, PrivacyData, TrialConfig
from trainables.data.boxes import Boxes, file_of
from trainables.data.items import DataError
from trainables.data.loader import EvaluationClips, SampleId, Stills, TrainingClips
from trainables.data.trial_data import TrialData
from trainables.methods.obfuscation import detect

CLIP = ClipConfig(frames=4, skip=2, size=16, decode_size=16, test_clips=2)
DATA = DataConfig(
    action=ActionData(name="clips", folder="mine"), privacy=PrivacyData(name="frames_of_clips"), clip_privacy=None
)


@pytest.fixture
def data(tmp_path: Path) -> TrialData:
    """Frame n of each video is grey 20 + 4 n, and its only person begins at n / 100 of its width. 10 frames a second."""
    rows, boxes = ["path,label,split,start,end,tall"], ["filename,frame,x0,y0,x1,y1"]
    pictures = np.stack([np.full((16, 16, 3), 20 + 4 * n, np.uint8) for n in range(50)])
    (tmp_path / "mine").mkdir()
    for number in range(6):
        name = f"v{number}.mp4"
        write_video(tmp_path / "mine" / name, pictures, codec="libx264", rate=10)
        split = "test" if number > 3 else "train"
        rows += [f"{name},a,{split},1.0,2.0,{number % 2}", f"{name},{'ab'[number % 2]},{split},3.0,,{number % 2}"]
        boxes += [f"{name},{n},{n / 100},0,1,1" for n in range(50)]
    write_lines(tmp_path / "mine" / "clips.csv", rows)
    write_lines(tmp_path / "mine" / "boxes.csv", boxes)
    return TrialData(TrialConfig(data=DATA), tmp_path)


def numbers(sample: dict[str, Tensor]) -> tuple[list[int], list[int]]:
    """The numbers of a sample's frames by their pixels, and by their boxes."""
    levels = sample["clips"].float().mean(dim=(1, 2, 3))
    return [round(level) for level in ((levels - 20) / 4).tolist()], [
        round(100 * x0) for x0 in sample["boxes"][:, 0, 0].tolist()
    ]


def test_a_stretch_has_the_boxes_of_its_frames(data: TrialData) -> None:
    boxes, videos = data.boxes(ObfuscationConfig(), "action_evaluation"), data.action_evaluation.test
    assert [video.name for video in videos] == ["v4.mp4@1-2", "v4.mp4@3-", "v5.mp4@1-2", "v5.mp4@3-"]
    assert [file_of(video) for video in videos] == ["v4.mp4", "v4.mp4", "v5.mp4", "v5.mp4"]
    for kind in (TrainingClips, EvaluationClips):
        for index, stretch in enumerate((range(10, 20), range(30, 50))):
            pixels, people = numbers(kind(videos, CLIP, seed=0, boxes=boxes)[SampleId(0, index)])
            assert pixels == people
            assert set(people) <= set(stretch)
    whole = [numbers(EvaluationClips(videos, CLIP, 0, boxes=boxes)[SampleId(0, index)])[1] for index in (0, 1)]
    assert whole == [[10, 12, 14, 16, 13, 15, 17, 19], [30, 32, 34, 36, 43, 45, 47, 49]], "first and last of each stretch"


def test_frames_of_clips_have_the_boxes_of_their_frames(data: TrialData) -> None:
    for name in ("privacy_evaluation", "privacy_test"):
        boxes, stills = data.boxes(ObfuscationConfig(), name), data.privacy_test.test
        assert [file_of(still) for still in stills[:4]] == ["v4.mp4"] * 4
        found = [numbers(Stills(stills, CLIP, 0, boxes=boxes)[SampleId(0, index)]) for index in range(6)]
        # 0.2, 0.5 and 0.8 of the ten frames from 10 and of the twenty from 30, to the nearest even where halfway
        assert [people[0] for _, people in found] == [12, 14, 17, 34, 40, 45]
        assert [pixels for pixels, _ in found] == [people for _, people in found]


def test_a_stretch_without_boxes_is_named(data: TrialData) -> None:
    stills, videos = data.privacy_test.test, data.action_evaluation.test
    boxes = Boxes.of("boxes.csv", 1, {"v4.mp4": {n: [] for n in range(20)}})
    with pytest.raises(DataError, match=r"no row for 6 of 12 items of frames, first 'v5.mp4@1-2#0.2'"):
        boxes.require(stills, "frames")
    with pytest.raises(DataError, match=r"no row for frame 34 of 'v4.mp4'; add its rows"):
        Stills(stills, CLIP, 0, boxes=boxes)[SampleId(0, 3)]
    with pytest.raises(DataError, match=r"no row for frame 3\d of 'v4.mp4'"):
        EvaluationClips(videos, CLIP, 0, boxes=boxes)[SampleId(0, 1)]


def test_a_detector_looks_at_the_stretches_and_at_nothing_else(data: TrialData) -> None:
    everybody = lambda frames: [[(0.0, 0.0, 1.0, 1.0)] for _ in frames]  # noqa: E731
    for items in (data.action_evaluation.test, data.privacy_test.test):
        file, other = detect._files(items)
        assert (file.name, other.name) == ("v4.mp4", "v5.mp4")
        assert list(detect._look(file, everybody, every=4)) == [10, 14, 18, 30, 34, 38, 42, 46]  # type: ignore[arg-type]
    assert detect._files(data.action_evaluation.test)[0].place == detect._files(data.privacy_test.test)[0].place
