"""Videos of which each frame shows its own number, in the codecs and containers that people have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 96, 64, 25
_ROWS, _COLUMNS = 3, 4  # of the squares that are bright for a bit that is set; no codec at any size loses one
_XVID = b"\x00\x00\x01\xb2DivX503b1393p"  # by which XviD says that it puts two frames into a packet
_VOP = b"\x00\x00\x01\xb6"


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> NDArray[np.uint8]:
    """(H, W, 3): a square for each of the 12 bits of the number, over a texture that moves."""
    bits = [number >> bit & 1 for bit in range(_ROWS * _COLUMNS)]
    squares = np.array(bits).reshape(_ROWS, _COLUMNS).repeat(-(-height // _ROWS), 0).repeat(-(-width // _COLUMNS), 1)
    y, x = np.mgrid[:height, :width]
    texture = (x + 2 * number + y) // 4 % 8
    return np.broadcast_to((40 + 160 * squares[:height, :width] + texture)[..., None], (height, width, 3)).astype(np.uint8)


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a picture shows, whatever its size."""
    height, width = picture.shape[:2]
    found = 0
    for bit in range(_ROWS * _COLUMNS):
        row, column = divmod(bit, _COLUMNS)
        y, x = int((row + 0.5) * height / _ROWS), int((column + 0.5) * width / _COLUMNS)
        around = max(1, height // _ROWS // 4)
        found |= int(picture[y - around : y + around, x - around : x + around].mean() > 128) << bit
    return found


def numbers_of(pictures: Iterable[NDArray[np.uint8]]) -> list[int]:
    return [number_of(picture) for picture in pictures]


def write_numbered(
    path: Path,
    numbers: Sequence[int],
    codec: str = "mpeg4",
    options: Mapping[str, str] | None = None,
    pixels: str = "yuv420p",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    packed: bool = False,
    form: str | None = None,
) -> Path:
    """Writes a frame for each number. `packed`: MPEG-4 as XviD does it, a frame and the B-frame before it in one packet."""
    with av.open(str(path), "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=dict(options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.codec_context.thread_count = 1
        packets = _encoded(stream, numbers, size)
        for packet in _packed(packets) if packed else packets:
            container.mux(packet)
    return path


def _encoded(stream: Any, numbers: Sequence[int], size: tuple[int, int]) -> Iterator[Any]:
    for time, number in enumerate(numbers):
        frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="rgb24").reformat(format=stream.pix_fmt)
        frame.pts, frame.time_base = time, Fraction(1, RATE)
        yield from stream.encode(frame)
    yield from stream.encode()


def _packed(packets: Iterator[Any]) -> Iterator[Any]:
    """I P B B P B -> I, P with B, B, nothing, P with B, nothing."""
    found = list(packets)
    for place, packet in enumerate(found):
        content, changed = bytes(packet), b""
        following = bytes(found[place + 1]) if place + 1 < len(found) else b""
        if place == 0:
            content = _XVID + content
        if _is_b(content) and _is_b(following):
            changed = following
        elif _is_b(content):
            changed = _VOP + bytes([0b01_0_1_0000, 0b0_1_0_01111])  # a frame that is not coded; 5 bits of time for 25/s
        elif _is_b(following):
            changed = content + following
        else:
            changed = content
        other = av.Packet(changed)
        other.pts = other.dts = place
        other.time_base, other.stream, other.is_keyframe = Fraction(1, RATE), packet.stream, packet.is_keyframe
        yield other


def _is_b(content: bytes) -> bool:
    place = content.find(_VOP)
    return place >= 0 and content[place + 4] >> 6 == 2


def decoded_numbers(path: Path) -> list[int]:
    """What a player shows: the numbers of all frames, as a plain decode of the whole file gives them."""
    with av.open(str(path)) as container:
        return [number_of(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
