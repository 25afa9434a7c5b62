"""Where people and their joints are found, by hand and on a photograph, and what becomes of them in anonymized frames."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.support.stages import stage_context
from tests.support.videos import write_video
from trainables.config import AnonymizerConfig, ConfigError, ObfuscationConfig, TrialConfig, with_values
from trainables.data.items import Video, VideoSplits
from trainables.evaluation import pose
from trainables.models import blazepose
from trainables.models.anonymizers import build_anonymizer
from trainables.models.blazepose import JOINTS, BlazePose, Pose
from trainables.models.check import check_weights
from trainables.models.detector import PeopleDetector
from trainables.models.packaged import POSE_DETECTOR, PackagedFile
from trainables.store import Outcome

_ANSWERS = 28 * 28 * 2 + 14 * 14 * 2 + 7 * 7 * 6
_LAST = _ANSWERS - 1  # in the last cell of the coarsest grid, whose centre is at 13 of 14 parts, across and down

Floats = NDArray[np.float32]


def detected(*people: tuple[int, float, tuple[float, float], tuple[float, float]]) -> Any:
    """A first network that sees `people`: the answer, its logit, and the hips and the end of the circle, in shares of its
    picture beside the centre of the answer's cell.
    """

    def answer(picture: Floats) -> list[Floats]:
        assert picture.shape == (1, 224, 224, 3)
        places, logits = np.zeros((1, _ANSWERS, 12), np.float32), np.full((1, _ANSWERS, 1), -90.0, np.float32)
        for number, logit, hips, end in people:
            places[0, number, 4:8], logits[0, number, 0] = np.array([*hips, *end]) * 224, logit
        return [places, logits]

    return answer


def looked_at(present: float = 0.9, at: tuple[float, float] = (128.0, 64.0)) -> Any:
    """A second network that sees every joint at one place of its picture, and the upper half of that as the silhouette."""

    def answer(picture: Floats) -> list[Floats]:
        assert picture.shape == (1, 256, 256, 3)
        joints = np.tile(np.array([*at, 0.0, 4.0, 4.0], np.float32), 39)[None]
        silhouette = np.full((1, 256, 256, 1), -3.0, np.float32)
        silhouette[0, :128] = 3.0
        return [joints, np.array([[present]], np.float32), silhouette]

    return answer


def of(detector: Any, landmarks: Any) -> list[Pose]:
    return BlazePose(0.5, "field", (detector, landmarks))(np.zeros((56, 112, 3), np.uint8))


def test_a_person_who_stands_by_hand() -> None:
    """The frame of 112 x 56 pixels lies in the middle of a square of 112. The hips are at its centre, the circle ends 14
    pixels above: the square around the person has 35 pixels, and joints a quarter down in it are 8.75 above the hips.
    """
    centre = 13 / 14
    [found] = of(detected((_LAST, 2.0, (0.5 - centre, 0.5 - centre), (0.5 - centre, 0.375 - centre))), looked_at())
    assert found.score == pytest.approx(1 / (1 + math.exp(-2.0)))
    assert found.present == pytest.approx(0.9)
    assert found.joints.shape == (33, 3)
    assert found.joints[0].tolist() == pytest.approx([56.0, 28.0 - 8.75, 1 / (1 + math.exp(-4.0))], abs=1e-3)
    pixel = 35 / 256
    expected = [
        (56 - 17.5 + pixel / 2) / 112,
        (28 - 17.5 + pixel / 2) / 56,
        (56 + 17.5 - pixel / 2) / 112,
        (28 - pixel / 2) / 56,
    ]
    assert found.box == pytest.approx(expected, abs=1e-4)


def test_a_person_who_lies_is_turned_upright_for_the_second_network() -> None:
    """The head is to the right: what the second network sees above the hips is right of them in the frame."""
    centre = 13 / 14
    [found] = of(detected((_LAST, 2.0, (0.5 - centre, 0.5 - centre), (0.625 - centre, 0.5 - centre))), looked_at())
    assert found.joints[5, :2].tolist() == pytest.approx([56.0 + 8.75, 28.0], abs=1e-3)


def test_the_cells_of_the_detector_by_hand() -> None:
    """Two answers a cell of the finest grid, row by row; six of the coarsest."""
    anchors = blazepose._anchors()
    assert anchors.shape == (_ANSWERS, 2)
    assert anchors[[0, 1, 2, 56]].tolist() == [[1 / 56, 1 / 56], [1 / 56, 1 / 56], [3 / 56, 1 / 56], [1 / 56, 3 / 56]]
    assert anchors[28 * 28 * 2].tolist() == [1 / 28, 1 / 28]
    assert anchors[[-7, -1]].tolist() == [pytest.approx([11 / 14, 13 / 14]), pytest.approx([13 / 14, 13 / 14])]


def test_one_person_is_found_once_two_are_two_and_nobody_is_nobody() -> None:
    centre = 13 / 14
    left, right = 0.25 - centre, 0.75 - centre
    people = [
        (_LAST, 1.0, (left, 0.5 - centre), (left, 0.45 - centre)),
        (_LAST - 1, 3.0, (left + 0.01, 0.5 - centre), (left + 0.01, 0.45 - centre)),  # the same person
        (_LAST - 2, 2.0, (right, 0.5 - centre), (right, 0.45 - centre)),
        (_LAST - 3, -0.1, (0.5 - centre, 0.5 - centre), (0.5 - centre, 0.45 - centre)),  # below the score
    ]
    assert [round(float(found.joints[0, 0])) for found in of(detected(*people), looked_at())] == [29, 84]
    assert of(detected(*people), looked_at(present=0.4)) == []
    assert of(detected(), looked_at()) == []


_LACKING = "" if POSE_DETECTOR.find() else POSE_DETECTOR.missing


@pytest.mark.skipif(bool(_LACKING), reason=_LACKING)
def test_the_joints_of_a_photograph_turn_with_it() -> None:
    """An astronaut, from the head to the hips: the shoulders are below the nose and to either side; a quarter turn of the
    picture takes the joints with it. Blank frames and what is no person show nobody.
    """
    from skimage import data

    picture = np.ascontiguousarray(data.astronaut())
    find = BlazePose(0.5, "test_pose")
    [upright] = find(picture)
    nose, left, right = (upright.joints[place, :2] for place in (0, 11, 12))
    assert np.abs(nose - [225, 115]).max() < 30
    assert right[0] < nose[0] - 40
    assert left[0] > nose[0] + 40
    assert min(left[1], right[1]) > nose[1] + 40
    assert upright.box[3] > 0.95
    [turned] = find(np.ascontiguousarray(np.rot90(picture)))  # counterclockwise: (x, y) -> (y, 512 - x)
    for place in (0, 11, 12):
        across, down = upright.joints[place, :2]
        assert np.abs(turned.joints[place, :2] - [down, 512 - across]).max() < 25
    assert find(np.zeros((240, 320, 3), np.uint8)) == []
    assert find(np.ascontiguousarray(data.chelsea())) == [], "a cat"
    settings = ObfuscationConfig(detector="blazepose", detector_weights="package")
    assert PeopleDetector.of(settings, torch.device("cpu"))(picture[None]) == [[upright.box]]


def test_what_is_missing_is_one_line_before_anything_starts(tiny_config: TrialConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = with_values(tiny_config, {"method": "raw", "test_pose": True})
    blackening = {"method": "blackening", "obfuscation.detector": "blazepose"}
    monkeypatch.setattr(PackagedFile, "find", lambda self: None)
    with pytest.raises(
        ConfigError, match=r"test_pose: mediapipe is not installed \(pip install --no-deps mediapipe==0.10.14\)"
    ):
        check_weights(tried)
    with pytest.raises(ConfigError, match=r"obfuscation\.detector_weights = 'package': mediapipe is not installed"):
        check_weights(with_values(tiny_config, {**blackening, "obfuscation.detector_weights": "package"}))
    with pytest.raises(ConfigError, match=r"'coco': the weights of blazepose are those of its package; give obfusc.*=package"):
        check_weights(with_values(tiny_config, {**blackening, "obfuscation.detector_weights": "coco"}))
    monkeypatch.setattr(PackagedFile, "find", lambda self: Path("file"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"test_pose: ai-edge-litert is not installed \(pip install .\[attackers\]\)"):
        check_weights(tried)


def frames_of(joints: list[list[tuple[float, float, float]] | None]) -> torch.Tensor:
    """(1, F, 2, 3); None: nobody is found."""
    nobody = [(math.nan, math.nan, math.nan)] * 2
    return torch.tensor([[frame or nobody for frame in joints]])


def test_which_joints_are_kept_by_hand() -> None:
    """The person is 100 pixels high, so that a joint may move by less than 10. One joint cannot be seen in the second frame."""
    raw = frames_of([[(0.0, 0.0, 0.9), (50.0, 100.0, 0.9)], [(0.0, 0.0, 0.9), (50.0, 100.0, 0.2)], None])
    now = frames_of([[(6.0, 7.0, 0.1), (50.0, 110.0, 0.9)], None, [(0.0, 0.0, 0.9), (50.0, 100.0, 0.9)]])
    seen, kept = pose.kept_joints(raw, now)
    assert (seen.tolist(), kept.tolist()) == ([3], [1])
    assert pose.kept_joints(raw, raw)[1].tolist() == [3]


class OfBrightness:
    """In place of BlazePose: in a frame that is bright on the left there is somebody, whose place the right of it says."""

    def __init__(self, *given: object) -> None:
        pass

    def __call__(self, frame: NDArray[np.uint8]) -> list[Any]:
        joints = np.stack([np.arange(33.0), np.full(33, float(frame[0, 60, 0] > 100)) * 40, np.full(33, 0.9)], axis=1)
        return [SimpleNamespace(joints=joints)] if frame[0, 0, 0] > 100 else []


def test_the_figures_of_a_trial_by_hand(tiny_config: TrialConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the raw clips one has four frames with somebody, one two of four, one nobody in two. Anonymized, the first clip shows
    nobody in one frame and somebody elsewhere in another; the second is as it was.
    """
    monkeypatch.setattr(pose, "BlazePose", OfBrightness)
    clear, moved, nobody = (200, 0), (200, 200), (0, 0)
    levels = {"a": [clear] * 4, "b": [clear, nobody, clear, nobody], "c": [nobody] * 2}
    changed = {**levels, "a": [clear, nobody, moved, clear]}
    changes = {"method": "raw", "attacks.recognised_frames": 4, "codec": "none"}
    context: Any = stage_context("other", with_values(tiny_config, changes), tmp_path, tmp_path)
    monkeypatch.setattr(type(context), "boxes", lambda self, name: None)
    monkeypatch.setattr(type(context), "anonymizer", lambda self, name: build_anonymizer(AnonymizerConfig(name="identity")))

    def found(shown: dict[str, list[tuple[int, int]]], folder: str) -> tuple[Outcome, Any]:
        items = []
        for name, clip in shown.items():
            frames = np.stack([np.concatenate([np.full((96, 48, 3), one), np.full((96, 80, 3), two)], 1) for one, two in clip])
            video = write_video(tmp_path / f"{folder}{name}.avi", frames.astype(np.uint8))
            items.append(Video(name, video, 0, name, (1.0,)))
        splits = VideoSplits("set", ("walk",), (), (), (), tuple(items))
        here = replace(context, data=SimpleNamespace(action_evaluation=splits))
        return pose.find(here), here

    (raw, here), (now, _) = found(levels, "raw"), found(changed, "now")
    outcome = pose.compare(replace(here, inputs={"raw_pose": raw, "pose": now}))
    assert outcome.metrics == {
        "pose_found_raw": pytest.approx(6 / 10),
        "pose_found": pytest.approx(5 / 6),
        "pose_kept": pytest.approx((2 / 4 + 2 / 2) / 2),  # clip by clip; of two sources there is no interval
    }
    assert outcome.notes[0].startswith(
        "a pose is found in 60% of the raw test frames, and in 83% of those once they are anonym"
    )
    none = pose.compare(replace(here, inputs={"raw_pose": found({"c": levels["c"]}, "no")[0], "pose": now}))
    assert none.metrics == {"pose_found_raw": 0.0}
    assert none.notes == ("in no raw test frame is a pose found: what becomes of poses cannot be said",)
    assert raw.state["joints"].shape == (3, 4, len(JOINTS), 3)
