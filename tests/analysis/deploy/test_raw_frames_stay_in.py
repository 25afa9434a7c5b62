"""Whatever a network does to a frame, what is written is what the network made, or black, and never the raw frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from analysis.deploy import one_video, video_input
from analysis.deploy.anonymize import anonymize
from analysis.deploy.beside import Behind
from analysis.deploy.one_video import anonymize_video
from analysis.deploy.video import VideoOptions, VideoResult
from analysis.deploy.video_input import Shot, VideoInput
from analysis.read.store import AnalysisError
from tests.support.videos import Inverse, moving_noise, read_video, write_video

COUNT, HEIGHT, WIDTH = 11, 24, 32
NAN = float("nan")
Frames = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Failing(Inverse):
    """Inverts its frames; at those in `at` it does what `how` says: raises, or gives this instead of a picture."""

    def __init__(self, at: Sequence[int], how: Callable[[Frames], Frames] | None) -> None:
        super().__init__()
        self._at, self._how, self._known = at, how, {}

    def __call__(self, frames: Frames) -> Frames:
        output = 1 - frames
        for place, frame in enumerate(frames):
            number = self._number(frame)
            if number not in self._at:
                continue
            if self._how is None:
                raise RuntimeError("out of memory")
            output[place] = self._how(frame)
        return output

    def know(self, pictures: np.ndarray) -> None:
        self._known = {picture.tobytes(): number for number, picture in enumerate(pictures)}

    def _number(self, frame: Frames) -> int:
        return self._known.get((frame * 255).round().astype(np.uint8).transpose(1, 2, 0).tobytes(), -1)


def partly_nan(frame: Frames) -> Frames:
    made = 1 - frame
    made[0, 0, 0] = NAN
    return made


FAILURES: dict[str, Callable[[Frames], Frames] | None] = {
    "raises": None,
    "one pixel is NaN": partly_nan,
    "all is NaN": lambda frame: np.full_like(frame, NAN),
    "infinite": lambda frame: np.full_like(frame, float("inf")),
}


@pytest.mark.parametrize("side_by_side", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 32])
@pytest.mark.parametrize("how", FAILURES)
def test_a_frame_that_the_network_fails_at_is_black(tmp_path: Path, how: str, batch: int, side_by_side: bool) -> None:
    pictures, at = moving_noise(COUNT, HEIGHT, WIDTH), (0, 2, 5, 6, 10)
    source = write_video(tmp_path / "in.mkv", pictures)
    model = Failing(at, FAILURES[how])
    model.know(pictures)
    options = VideoOptions(codec="ffv1", batch=batch, side_by_side=side_by_side)
    result = anonymize_video(str(source), tmp_path / "out.mkv", model, options, lambda line: None)
    made = read_video(tmp_path / "out.mkv")
    assert (result.frames, result.failed, result.lost, result.black, result.whole) == (COUNT, 5, 0, 5, False)
    for number, (raw, shown) in enumerate(zip(pictures, made, strict=True)):
        wanted = np.zeros_like(shown) if number in at else np.concatenate([raw, 255 - raw], axis=1)
        assert (shown == (wanted if side_by_side or number in at else 255 - raw)).all(), number


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_a_lost_frame_takes_no_other_one_s_place(batch: int) -> None:
    """Frames that could not be decoded lie between those that could: each keeps its own picture."""
    pictures = moving_noise(5, HEIGHT, WIDTH)
    shots = [Shot(number, 1, None if number in (0, 3) else pictures[number]) for number in range(5)]
    written: list[np.ndarray] = []

    class Output:
        height, width = HEIGHT, WIDTH

        def write(self, shot: Shot, picture: np.ndarray) -> None:
            written.append(picture)

    result, done = VideoResult(Path("out")), list[int]()
    write = one_video._Writer(Output(), VideoOptions(), result)  # type: ignore[arg-type]
    with Behind(write, 9) as behind, one_video._Network(Inverse(), result, batch, 5, behind, done.append) as network:
        for shot in shots:
            network.put(shot)
        network.finish()
    assert sum(done) == 5
    wanted = [np.zeros_like(pictures[0]) if number in (0, 3) else 255 - pictures[number] for number in range(5)]
    assert all((a == b).all() for a, b in zip(written, wanted, strict=True))
    assert (result.frames, result.lost, result.failed) == (5, 2, 0)


def test_a_corrupt_frame_is_lost() -> None:
    """A decoder gives a frame of a damaged file with a mark that it is wrong: what it shows is not passed on."""

    def shown(time: int, duration: int, frame: Any) -> Shot:
        return Shot(time, duration, None if frame is None else frame.pts)

    frames = [SimpleNamespace(pts=number, is_corrupt=number == 1) for number in range(3)]
    packets = [
        SimpleNamespace(
            pts=n, dts=n, duration=1, size=9, is_discard=False, is_keyframe=n == 0, decode=lambda frame=frame: [frame]
        )
        for n, frame in enumerate(frames)
    ]
    order = video_input._FrameOrder(SimpleNamespace(timed=True, period=1, shot=shown))  # type: ignore[arg-type]
    shots = [shot for packet in packets for shot in order.of(packet)] + list(order.rest())
    assert [(shot.time, shot.picture) for shot in shots] == [(0, 0), (1, None), (2, 2)]


def test_black_frames_are_an_error_of_a_file_and_of_a_folder(tmp_path: Path) -> None:
    folder, said = tmp_path / "videos", []
    folder.mkdir()
    source = write_video(folder / "in.mkv", moving_noise(6, HEIGHT, WIDTH))
    assert anonymize(str(source), tmp_path / "out.mkv", Inverse(nan_at=(2,)), VideoOptions(codec="ffv1"), said.append) == 1
    assert "1 of 6 frames are black" in "\n".join(said)
    assert anonymize(str(source), tmp_path / "fine.mkv", Inverse(), VideoOptions(codec="ffv1"), said.append) == 0
    for name, model, code in (("bad", Inverse(nan_at=(2,)), 1), ("good", Inverse(), 0)):
        assert anonymize(str(folder), tmp_path / name, model, VideoOptions(codec="ffv1"), said.append) == code
        assert anonymize(str(folder), tmp_path / name, model, VideoOptions(codec="ffv1"), said.append) == code, "left as it is"


def test_nothing_is_left_of_a_file_that_is_broken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(COUNT, HEIGHT, WIDTH))
    shots = VideoInput.__iter__

    def broken_off(source: VideoInput) -> object:
        for number, shot in enumerate(shots(source)):
            if number == 7:
                raise KeyboardInterrupt
            yield shot

    monkeypatch.setattr(VideoInput, "__iter__", broken_off)
    with pytest.raises(KeyboardInterrupt):
        anonymize_video(str(source), tmp_path / "out.mkv", Inverse(), VideoOptions(codec="ffv1", batch=2), lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_model_that_changes_the_size_writes_nothing(tmp_path: Path) -> None:
    class Cropping(Inverse):
        def __call__(self, frames: Frames) -> Frames:
            return frames[..., 1:]

    source = write_video(tmp_path / "in.mkv", moving_noise(3, HEIGHT, WIDTH))
    with pytest.raises(AnalysisError, match="the model fails"):
        anonymize_video(str(source), tmp_path / "out.mkv", Cropping(), VideoOptions(codec="ffv1"), lambda line: None)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]
