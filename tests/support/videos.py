"""Small videos made by hand: written, read back, measured and damaged."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from analysis.deploy.dial import Dial
from analysis.deploy.measured import MeasuredAt

Pictures = NDArray[np.uint8]  # (T, H, W, 3)


class Inverse:
    """An anonymizer that inverts its frames; it fails from frame `fail_from` on and gives NaN for the frames in `nan_at`."""

    size: tuple[int, int] | None = None
    measured_at: MeasuredAt | None = None
    dial: Dial | None = None
    device, digest, kind = "cpu", "0123", "test"

    def __init__(self, fail_from: int = 10**9, nan_at: Sequence[int] = ()) -> None:
        self.seen, self.fail_from, self.nan_at = -1, fail_from, nan_at  # the first frame is the trial before the video

    def begin(self) -> None:
        """Frames are anonymized each by itself."""

    def at_once(self, count: int) -> int:
        return 1

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.seen + len(frames) > self.fail_from:
            raise RuntimeError("out of memory")
        output = 1 - frames
        for place in range(len(frames)):
            if self.seen + place in self.nan_at:
                output[place, 0, 0, 0] = np.nan
        self.seen += len(frames)
        return output


def moving_noise(frames: int, height: int, width: int) -> Pictures:
    """Coarse noise that moves by two pixels a frame and fades; no frame is black, and no two are equal."""
    chance = np.random.default_rng(0)
    blocks = chance.integers(60, 255, (height // 8 + 1, width // 8 + 1, 3)).repeat(8, 0).repeat(8, 1)[:height, :width]
    return np.stack([np.roll(blocks, 2 * t, 1) * (1 - 0.3 * t / frames) for t in range(frames)]).astype(np.uint8)


def write_video(
    path: Path,
    pictures: Pictures,
    codec: str = "ffv1",
    rate: Fraction | int = 25,
    times: Sequence[int] | None = None,
    sound: bool = False,
    rotation: int = 0,
) -> Path:
    """Writes pictures as a video, at a fixed rate or at `times` in milliseconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options={"g": "10"})
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        if rotation:
            stream.set_display_rotation(rotation)
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        noise = container.add_stream("aac", rate=16000) if sound else None
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if noise is not None:
            samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
            samples.sample_rate = 16000
            container.mux(noise.encode(samples))
            container.mux(noise.encode())
    return path


def read_video(path: Path) -> Pictures:
    """All frames of a video, (T, H, W, 3)."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def frame_times(path: Path) -> list[float]:
    """The seconds from the first frame to each frame; the absolute times of an AVI are guesses of the demuxer."""
    with av.open(str(path)) as container:
        times = [float(frame.time or 0) for frame in container.decode(video=0)]
    return [time - times[0] for time in times]


def facts_of(path: Path) -> tuple[int, Fraction | None, float]:
    """The number of frames, frames/s, and the duration in seconds."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return sum(1 for _ in container.decode(video=0)), stream.average_rate, (container.duration or 0) / 1e6


def damage(path: Path, start: float = 0.4, end: float = 0.6, count: int = 300) -> Path:
    """Overwrites `count` bytes of a file, between two shares of its length, by random ones."""
    content, chance = bytearray(path.read_bytes()), np.random.default_rng(1)
    for place in chance.integers(int(len(content) * start), int(len(content) * end), count):
        content[place] = chance.integers(256)
    path.write_bytes(content)
    return path
