"""Videos as people have them, of numbered frames: cut, turned, joined, damaged, with other things beside the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.support.numbered import HEIGHT, RATE, WIDTH, numbered, write_numbered

X264 = {"preset": "ultrafast", "x264-params": "keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}


def told(numbers: Sequence[int]) -> str:
    """The frames in words: `frames 3 to 7` where they follow each other."""
    if list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"frames {numbers[0]} to {numbers[-1]}"
    return f"frames {', '.join(map(str, numbers))}"


def cut(source: Path, path: Path, first: int, last: int) -> Path:
    """Cuts frames `first` .. `last` without coding them again: from the key frame before `first`, hidden by an edit list."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        from_stream = given.streams.video[0]
        stream = container.add_stream_from_template(from_stream)
        packets = [packet for packet in given.demux(from_stream) if packet.size]
        period = Fraction(1, RATE) / from_stream.time_base
        start = max(packet.dts for packet in packets if packet.is_keyframe and packet.pts <= first * period)
        for packet in packets:
            if packet.dts >= start and packet.pts <= last * period:
                packet.pts -= round(first * period)
                packet.dts -= round(first * period)
                packet.stream = stream
                container.mux(packet)
    return path


def turned_video(path: Path, degrees: int, mirrored: bool) -> Path:
    """A video whose display matrix turns it counter-clockwise by `degrees`, after it was mirrored from left to right."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored)
        for number in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_corner(number), "rgb24")))
        container.mux(stream.encode())
    return path


def _corner(number: int) -> np.ndarray:
    """A dark picture with a bright corner at the top left; the top edge is half bright, so that mirroring shows."""
    picture = numbered(number) // 8
    picture[: HEIGHT // 4, : WIDTH // 2] = 220
    return picture


def place_of_corner(picture: np.ndarray) -> str:
    """Which corner is bright, and along which edge."""
    bright = picture[..., 1] > 120
    y, x = (float(values.mean()) / side for values, side in zip(np.nonzero(bright), bright.shape, strict=True))
    high, wide = (int(bright.any(1).sum()) / bright.shape[0], int(bright.any(0).sum()) / bright.shape[1])
    return f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}, {'level' if wide > high else 'upright'}"


def with_cover(path: Path, frames: int) -> Path:
    """An MP4 file with a picture for its cover as the first stream."""
    from av.stream import Disposition

    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        container.mux(cover.encode())
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(stream.encode())
    return path


def half_of_a_file(path: Path, codec: str, options: Mapping[str, str], mux: Mapping[str, str] | None = None) -> Path:
    """The first half of the bytes of a video of 150 frames. mux: options of the container."""
    whole = path.with_name(f"whole{path.suffix}")
    with av.open(str(whole), "w", options=dict(mux or {})) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(150):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(stream.encode())
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def damaged(path: Path, frames: int, packets: slice) -> Path:
    """An MP4 file, of whose `packets` all bytes but the first four are 0."""
    write_numbered(path, range(frames), "libx264", X264)
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for pos, size in places[packets]:
        content[pos + 4 : pos + size] = bytes(size - 4)
    path.write_bytes(content)
    return path


def joined(path: Path, parts: Sequence[Path]) -> Path:
    """One file after another."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def of_two_sizes(path: Path) -> Path:
    """A transport stream of 12 frames, and 12 of twice the size."""
    sizes = ((0, 1), (12, 2))
    return joined(
        path,
        [write_numbered(path.with_name(f"{n}.ts"), range(n, n + 12), "mpeg2video", size=(96 * by, 64 * by)) for n, by in sizes],
    )


def sound_alone(path: Path) -> Path:
    """Two seconds of silence, and no pictures."""
    with av.open(str(path), "w") as container:
        add_silence(container, container.add_stream("aac", rate=16000), 2 * 16000)
    return path


def add_silence(container: Any, stream: Any, samples: int) -> None:
    silence = av.AudioFrame.from_ndarray(np.zeros((1, samples), np.float32), "fltp", "mono")
    silence.sample_rate = 16000
    container.mux(stream.encode(silence))
    container.mux(stream.encode())
