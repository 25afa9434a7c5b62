"""What leaves the camera: clips that a real codec has encoded and decoded, H.264 of libx264 through PyAV.

Encoding is deterministic (see `trainables.x264`): one thread, the same options for every clip, and each clip by itself, so that
what else is in a batch changes nothing. Another build of libx264 may give other pixels, as another build of PyTorch gives other
sums.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from fractions import Fraction
from typing import Any, Literal

import av
import numpy as np
import torch
from torch import Tensor

from trainables.config import ConfigError
from trainables.shapes import Clips
from trainables.x264 import repeatable

RATE = 25  # frames a second: libx264 weighs a frame by how long it is shown
CACHE_BYTES = 128 * 2**20


def coded(clips: Clips, codec: str, repeated: bool = False) -> Tensor:
    """(B, T, C, H, W) -> the same shape, in [0, 1]: every clip rounded to 8 bits, encoded and decoded by `codec`.

    codec: `none`, which leaves the clips as they are, or `h264_crfN`, N being the constant rate factor: 18 is hardly told from
    the original, 28 is common for cameras, 35 is coarse. repeated: the same clips come again, as in validation, so that what
    became of them is kept. Raises ConfigError where PyAV has no libx264.
    """
    if codec == "none":
        return clips
    pixels = (clips.detach().float().clamp(0.0, 1.0) * 255.0).round().byte().permute(0, 1, 3, 4, 2).cpu().numpy()
    height, width = pixels.shape[2:4]
    even = np.pad(pixels, ((0, 0), (0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")  # colours have half the sides
    found = [_CACHE.of(codec, clip) if repeated else through_h264(clip, crf_of(codec)) for clip in even]
    decoded = torch.from_numpy(np.stack(found)[:, :, :height, :width])
    return (decoded.permute(0, 1, 4, 2, 3).float() / 255.0).to(clips.device)


def crf_of(codec: str) -> int:
    """28 of `h264_crf28`."""
    return int(codec.removeprefix("h264_crf"))


def through_h264(frames: np.ndarray, crf: int) -> np.ndarray:
    """(T, H, W, 3) uint8 RGB with even sides -> the same shape, encoded at a constant rate factor and decoded.

    The options are libx264's own (preset medium, high profile, colours at half the sides).
    """
    time, height, width, _ = frames.shape
    encoder: Any = _context("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.time_base = Fraction(RATE), Fraction(1, RATE)
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": "medium", **repeatable()}
    decoder: Any = _context("h264", "r")
    decoder.thread_count = 1
    packets = []
    for number, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture.pts, picture.time_base = number, encoder.time_base
        packets += encoder.encode(picture)
    packets += encoder.encode(None)
    pictures = [picture for packet in packets for picture in decoder.decode(packet)] + decoder.decode(None)
    if len(pictures) != time:
        raise RuntimeError(f"H.264 at CRF {crf}: {time} frames were encoded and {len(pictures)} decoded; report this clip")
    return np.stack([picture.to_ndarray(format="rgb24") for picture in pictures])


def _context(name: str, mode: Literal["r", "w"]) -> Any:
    try:
        return av.CodecContext.create(name, mode)
    except Exception as error:  # the class differs between versions of PyAV
        raise ConfigError(
            f"codec: this PyAV has no {name} ({error}); install the one of requirements.txt, or codec=none"
        ) from None


class _Cache:
    """The last clips that were coded, by what was in them, up to CACHE_BYTES."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, bytes], np.ndarray] = OrderedDict()
        self._bytes = 0

    def of(self, codec: str, clip: np.ndarray) -> np.ndarray:
        clip = np.ascontiguousarray(clip)
        key = f"{codec} {clip.shape}", hashlib.blake2b(clip.data, digest_size=16).digest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._kept[key] = through_h264(clip, crf_of(codec))
        self._bytes += found.nbytes
        while self._bytes > CACHE_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return found


_CACHE = _Cache()
