"""Live sources: a camera that speaks RTSP, by a real server on this machine."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from analysis.__main__ import main
from analysis.deploy import video_input
from analysis.deploy.anonymize import anonymize
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from analysis.deploy.video_input import Shot
from tests.support.ports import free_ports
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import Inverse, frame_times, moving_noise, read_video

SERVE = """
import asyncio, sys
from aio_rtsp_toolkit import server

folder, port, control = sys.argv[1:]
asyncio.run(server.serve(folder, "127.0.0.1", int(port), control_port=int(control)))
"""
LOSSLESS = VideoOptions(codec="ffv1")


def write_h264(path: Path, frames: int) -> Path:
    """As cameras send it, without B-frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "10", "bf": "0", "crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in moving_noise(frames, 48, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, subprocess.Popen[bytes]]]:
    """The address of a server of `short.mp4` (1 s) and `long.mp4` (40 s), its folder and its process."""
    pytest.importorskip("aio_rtsp_toolkit")
    folder = tmp_path_factory.mktemp("camera")
    write_h264(folder / "short.mp4", 25)
    write_h264(folder / "long.mp4", 1000)
    port, control = free_ports(2)
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder), str(port), str(control)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield f"rtsp://127.0.0.1:{port}", folder, process
    process.kill()
    process.wait()


Camera = tuple[str, Path, subprocess.Popen[bytes]]


def test_every_frame_of_a_camera_comes_at_its_time(camera: Camera, tmp_path: Path) -> None:
    address, folder, _ = camera
    said: list[str] = []
    assert anonymize(f"{address}/short.mp4", tmp_path / "out.mkv", Inverse(), LOSSLESS, said.append) == 0, said
    wanted = 255 - read_video(folder / "short.mp4").astype(int)
    assert np.abs(read_video(tmp_path / "out.mkv") - wanted).max() <= 3
    assert frame_times(tmp_path / "out.mkv") == pytest.approx([number / 25 for number in range(25)], abs=1e-3)


def test_first_frames_without_a_time_come_before_those_with_one() -> None:
    """As FFmpeg gives them over RTSP."""

    def packet(pts: int | None) -> Any:
        frame = SimpleNamespace(pts=pts, is_corrupt=False)
        given = {"pts": pts, "dts": pts, "duration": 40, "size": 9, "is_discard": False, "is_keyframe": True}
        return SimpleNamespace(**given, decode=lambda: [frame])

    order = video_input._FrameOrder(SimpleNamespace(timed=True, period=40, shot=Shot))  # type: ignore[arg-type]
    shots = [shot for pts in (None, None, 0, 40) for shot in order.of(packet(pts))] + list(order.rest())
    assert [shot.time for shot in shots] == [0, 40, 80, 120]


def test_a_camera_is_watched_for_as_long_as_asked_and_its_password_is_not_kept(camera: Camera, tmp_path: Path) -> None:
    source = f"{camera[0]}/long.mp4".replace("//", "//me:secret@")
    command = ["anonymize", source, str(tmp_path / "out.mp4"), "--model", str(write_onnx(tmp_path / "a.onnx"))]
    assert main([*command, "--seconds", "0.6"]) == 0
    assert len(frame_times(tmp_path / "out.mp4")) == 15
    record = Record.read(tmp_path / "out.mp4")
    assert record is not None
    assert "secret" not in (tmp_path / "out.mp4.json").read_text()
    assert record.source.name.endswith("/long.mp4")


def test_what_a_camera_has_sent_is_kept_when_it_goes_away(camera: Camera, tmp_path: Path) -> None:
    class Cut(Inverse):
        def __call__(self, frames: np.ndarray) -> np.ndarray:
            if self.seen >= 10:
                camera[2].kill()
            return super().__call__(frames)

    said: list[str] = []
    code = anonymize(f"{camera[0]}/long.mp4", tmp_path / "out.mkv", Cut(), VideoOptions(codec="ffv1", batch=1), said.append)
    assert 10 < len(read_video(tmp_path / "out.mkv")) < 1000
    told = re.search("cannot be read on|1 of .* frames are black: 1 could not be decoded", said[-1])
    assert code == (1 if told else 0), "a connection is reset, closed within a frame, or closed between two"
