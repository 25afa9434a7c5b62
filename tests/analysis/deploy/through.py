"""Videos through `analysis anonymize` with a network that changes nothing: what came out and what was said, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from analysis.deploy.anonymize import anonymize
from analysis.deploy.dial import Dial
from analysis.deploy.measured import MeasuredAt
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from tests.support.numbered import RATE, numbered, numbers_of
from tests.support.odd_videos import X264, told

FRAMES = 24


class Same:
    """A network that changes nothing."""

    size: tuple[int, int] | None = None
    measured_at: MeasuredAt | None = None
    dial: Dial | None = None
    device, digest, kind = "cpu", "same", "test"

    def begin(self) -> None:
        """Frames are anonymized each by itself."""

    def at_once(self, count: int) -> int:
        return 1

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        return frames


def result(source: Path, name: str = "out.mp4", seen: Callable[[list[Any]], str] | None = None, **options: Any) -> str:
    """What comes of a video in words: frames, seconds, notes, and the error if the exit code is not 0."""
    said = list[str]()
    output = source.parent / name
    code = anonymize(str(source), output, Same(), VideoOptions(**options), said.append)
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        lasts = float(stream.duration * (stream.time_base or 0)) if stream.duration else (container.duration or 0) / 1e6
        frames = list(container.decode(stream))
    record = Record.read(output)
    assert record is not None
    assert record.found["frames"] == len(frames)
    words = [f"{told(numbers_of(frame.to_ndarray(format='rgb24') for frame in frames))}, {lasts:.2f} s"]
    words = [f"{seen(frames)}, {lasts:.2f} s"] if seen else words
    errors = [line.partition("error: ")[2].replace(str(source), source.name) for line in said if "error: " in line]
    return "; ".join([*words, *record.found["notes"], *(f"exit {code}, {error}" for error in errors)])


def count(frames: list[Any]) -> str:
    return f"{len(frames)} frames"


def write(
    path: Path,
    times: Sequence[int] = range(0, 40 * FRAMES, 40),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    change: Callable[[Any], None] = lambda stream: None,
    packet: Callable[[Any], None] = lambda packet: None,
    picture: Callable[[int], NDArray[np.uint8]] = numbered,
    mux: Mapping[str, str] | None = None,
) -> Path:
    """Frames at `times` in milliseconds; `change`, `packet`: what is done to the stream, and to each packet."""
    with av.open(str(path), "w", options=dict(mux or {})) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=dict(X264) if codec == "libx264" else {})
        first = picture(0)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        change(stream)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            for one in stream.encode(frame):
                packet(one)
                container.mux(one)
        for one in stream.encode():
            packet(one)
            container.mux(one)
    return path


def rgb(frame: Any) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
