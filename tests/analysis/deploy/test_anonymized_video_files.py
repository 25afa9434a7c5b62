"""Video files: damaged, cut short, overwritten, with sound, rotated, live, and what is no video."""

import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
import torch

from analysis.deploy import video_input, video_output
from analysis.deploy.anonymize import anonymize
from analysis.deploy.one_video import anonymize_video
from analysis.deploy.video import VideoOptions
from analysis.deploy.video_input import Shot, VideoInput
from analysis.read.store import AnalysisError
from tests.support.numbered import numbers_of, write_numbered
from tests.support.odd_videos import cut, place_of_corner, turned_video
from tests.support.videos import Inverse, damage, facts_of, frame_times, moving_noise, read_video, write_video

LOSSLESS = VideoOptions(codec="ffv1")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def said(output: list[str]) -> str:
    return "\n".join(output)


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mp4", "mpeg4")])
def test_frames_that_cannot_be_decoded_are_black(tmp_path: Path, suffix: str, codec: str) -> None:
    source = write_video(tmp_path / f"in{suffix}", moving_noise(60, 48, 64), codec)
    whole = facts_of(source)
    damage(source)
    output: list[str] = []
    target = tmp_path / "out.mkv"
    assert anonymize(str(source), target, Inverse(), LOSSLESS, output.append) == 1
    pictures = read_video(target)
    black = (pictures == 0).all(axis=(1, 2, 3))
    with VideoInput(str(source)) as again:
        shots = [item for item in again if isinstance(item, Shot)]
    assert len(pictures) == whole[0] == len(shots)
    assert [shot.picture is None for shot in shots] == black.tolist()
    assert 0 < black.sum() < 40
    assert f"{black.sum()} of 60 frames are black: {black.sum()} could not be decoded, 0 not anonymized" in said(output)
    for shot, picture in zip(shots, pictures, strict=True):
        if shot.picture is not None:
            assert (picture == 255 - shot.picture).all()
    assert frame_times(target) == pytest.approx([number / 25 for number in range(60)], abs=0.001)


def _packet(pts: int, dts: int, frames: Sequence[int] | None) -> Any:
    """A packet as of a decoder that gives these frames for it; None: it fails."""

    def decode() -> list[Any]:
        if frames is None:
            raise av.InvalidDataError(1, "damaged")
        return [SimpleNamespace(pts=time, is_corrupt=False) for time in frames]

    return SimpleNamespace(pts=pts, dts=dts, duration=1, size=9, is_discard=False, is_keyframe=pts == 0, decode=decode)


@pytest.mark.parametrize(
    ("packets", "expected"),
    [
        ([(0, 0, [0]), (1, 1, [1]), (2, 2, [2])], [0, 1, 2]),
        ([(0, -1, []), (2, 0, [0]), (1, 1, [1]), (3, 3, [2, 3])], [0, 1, 2, 3]),
        ([(0, -1, [0]), (2, 0, [2]), (1, 1, [1]), (3, 3, [3])], [0, 1, 2, 3]),  # given early: put into order
        ([(0, 0, [0]), (1, 1, None), (2, 2, [2])], [0, None, 2]),
        ([(0, 0, [0]), (1, 1, []), (2, 2, []), (3, 3, [3]), (4, 4, [1, 4])], [0, None, None, 3, 4]),  # given too late
        ([(0, 0, [0]), (1, 1, None), (2, 2, None)], [0, None, None]),
        ([(-2, -2, None), (-1, -1, []), (0, 0, [0])], [0]),  # before the first key frame
        ([(0, 0, [0]), (1, 1, [1]), (2, 2, [])], [0, 1, None]),
    ],
)
def test_frames_come_in_order_and_lost_ones_as_none(packets: list[Any], expected: list[int | None]) -> None:

    def shown(time: int, duration: int, frame: Any) -> Shot:
        return Shot(time, duration, None if frame is None else frame.pts)

    file = SimpleNamespace(timed=True, period=1, shot=shown)
    order = video_input._FrameOrder(file)  # type: ignore[arg-type]
    shots = [shot for packet in packets for shot in order.of(_packet(*packet))] + list(order.rest())
    assert [shot.picture for shot in shots] == expected
    assert [shot.time for shot in shots] == list(range(len(expected)))


def test_a_file_cut_short_is_told(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.avi", moving_noise(100, 96, 96), "mpeg4")
    source.write_bytes(source.read_bytes()[: source.stat().st_size * 6 // 10])
    output: list[str] = []
    assert anonymize(str(source), tmp_path / "out.avi", Inverse(), VideoOptions(), output.append) == 1
    assert "ends early" in said(output)
    assert 20 < facts_of(tmp_path / "out.avi")[0] < 80


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, OSError])
def test_nothing_is_left_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(9, 24, 32))
    target = tmp_path / "out.mkv"
    target.write_bytes(b"before")
    right, calls = video_output.VideoOutput.write, []

    def failing(self: video_output.VideoOutput, shot: Shot, picture: Any) -> None:
        calls.append(shot)
        if len(calls) == 5:
            raise error
        right(self, shot, picture)

    monkeypatch.setattr(video_output.VideoOutput, "write", failing)
    with pytest.raises(error):
        anonymize(str(source), target, Inverse(), VideoOptions(overwrite=True, batch=2))
    assert target.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv", "out.mkv"]


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    for target, message in (
        (tmp_path / "in.mkv", "the input itself"),
        (write_video(tmp_path / "o.mkv", moving_noise(2, 8, 8)), "there already"),
    ):
        before = target.read_bytes()
        with pytest.raises(AnalysisError, match=message):
            anonymize(str(source), target, Inverse(), VideoOptions())
        assert target.read_bytes() == before
    with pytest.raises(AnalysisError, match="the input itself"):
        anonymize(str(source), source, Inverse(), VideoOptions(overwrite=True))
    with pytest.raises(AnalysisError, match="is no folder"):
        anonymize(str(source), tmp_path / "no" / "o.mkv", Inverse(), VideoOptions())


@pytest.mark.parametrize(("content", "message"), [(None, "no such"), (b"", "empty"), (b"text" * 100, "not a readable video")])
def test_inputs_that_are_no_videos(tmp_path: Path, content: bytes | None, message: str) -> None:
    source = tmp_path / "in.mp4"
    if content is not None:
        source.write_bytes(content)
    with pytest.raises(AnalysisError, match=message) as caught:
        anonymize(str(source), tmp_path / "out.mp4", Inverse(), VideoOptions())
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.mp4").exists()


def test_an_unknown_codec(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mkv", moving_noise(3, 24, 32))
    with pytest.raises(AnalysisError, match=r"cannot be made with nothing"):
        anonymize(str(source), tmp_path / "out.mkv", Inverse(), VideoOptions(codec="nothing"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mkv"]


def test_without_libx264_the_fallback_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_video(tmp_path / "in.mp4", moving_noise(5, 37, 51), "mpeg4")
    monkeypatch.setattr(video_output.av, "codecs_available", {"mpeg4"})
    output: list[str] = []
    assert anonymize(str(source), tmp_path / "out.mp4", Inverse(), VideoOptions(), output.append) == 0
    assert "codec mpeg4, yuv420p (this PyAV has no libx264)" in said(output)


def test_sound(tmp_path: Path) -> None:
    source = write_video(tmp_path / "in.mp4", moving_noise(25, 48, 64), "libx264", sound=True)
    output: list[str] = []
    anonymize(str(source), tmp_path / "silent.mp4", Inverse(), VideoOptions(), output.append)
    anonymize(str(source), tmp_path / "sound.mp4", Inverse(), VideoOptions(keep_audio=True), output.append)
    for name, count in (("silent.mp4", 0), ("sound.mp4", 1)):
        with av.open(str(tmp_path / name)) as container:
            assert len(container.streams.audio) == count
            if count:
                assert sum(frame.samples for frame in container.decode(audio=0)) >= 16000
        assert facts_of(tmp_path / name)[0] == 25
    assert "sound dropped" in said(output)
    assert "sound kept" in said(output)


def test_turned_videos_are_upright(tmp_path: Path) -> None:
    pictures = moving_noise(4, 32, 48)
    source = write_video(tmp_path / "in.mp4", pictures, "libx264", rotation=90)
    result = anonymize_video(str(source), tmp_path / "out.mkv", Inverse(), LOSSLESS)
    assert result.black == 0
    made = read_video(tmp_path / "out.mkv")
    assert made.shape == (4, 48, 32, 3)
    assert np.abs(made.astype(int) - (255 - np.rot90(pictures, 1, axes=(1, 2)).astype(int))).mean() < 6


def test_what_a_player_shows_is_anonymized(tmp_path: Path) -> None:
    """Mirrored where the file says so; only what the edit list shows, which is no file that ends early."""
    mirrored = turned_video(tmp_path / "selfie.mp4", 0, mirrored=True)
    anonymize_video(str(mirrored), tmp_path / "out.mkv", Inverse(), LOSSLESS)
    assert place_of_corner(255 - read_video(tmp_path / "out.mkv")[3]) == "top right, level"
    options = {"preset": "ultrafast", "x264-params": "keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}
    whole = write_numbered(tmp_path / "whole.mp4", range(60), "libx264", options)
    result = anonymize_video(str(cut(whole, tmp_path / "cut.mp4", 17, 39)), tmp_path / "cut.mkv", Inverse(), LOSSLESS)
    assert not result.cut
    assert numbers_of(255 - read_video(tmp_path / "cut.mkv")) == list(range(17, 40))


def test_live_source(tmp_path: Path) -> None:
    """An address that sends a stream; RTSP itself and cameras are not there in tests."""
    stream = write_video(tmp_path / "live.ts", moving_noise(50, 48, 64), "libx264").read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(stream)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        result = anonymize_video(address, tmp_path / "out.mp4", Inverse(), VideoOptions(seconds=1.0))
        thread.join(10)
    assert result.black == 0
    assert facts_of(tmp_path / "out.mp4")[0] == 25


def test_an_address_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(AnalysisError, match="not a readable video"):
        anonymize("rtsp://127.0.0.1:9/none", tmp_path / "out.mp4", Inverse(), VideoOptions())
