"""A test frame with PyTorch's answer, which an exported file carries: whether this machine computes what was measured.

Products of 8-bit numbers saturate on some processors, and a GPU's provider may have an error of its own: what was checked where
the file was exported need not hold where the camera is.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.deploy.measured import Size

Floats = NDArray[np.float32]  # (N, 3, H, W)

KEY = "proof"  # in the metadata of an ONNX file


@dataclass(frozen=True)
class Proof:
    """`frame` (1, 3, H, W) in [0, 1], or a window of frames (1, K, 3, H, W); `answer`, what the original makes of it,
    (1, 3, H, W); and how far off, at most, a machine may be.
    """

    frame: Floats
    answer: Floats
    tolerance: float

    def miss(self, run: Callable[[Floats], Floats]) -> float:
        """The largest difference between what `run` gives and the answer; infinite where it gives anything but numbers."""
        found = np.asarray(run(self.frame))
        if found.shape != self.answer.shape or not np.isfinite(found).all():
            return float("inf")
        return float(np.abs(found - self.answer).max())

    def as_text(self) -> str:
        content = {"shape": self.frame.shape, "tolerance": self.tolerance}
        return json.dumps(content | {name: _packed(getattr(self, name)) for name in ("frame", "answer")})

    @staticmethod
    def of_text(given: str) -> Proof:
        """Raises ValueError for what is not the text of one."""
        try:
            content = json.loads(given)
            shape = tuple(content["shape"])
            answer = _unpacked(content["answer"], (shape[0], *shape[-3:]))
            return Proof(_unpacked(content["frame"], shape), answer, float(content["tolerance"]))
        except (ValueError, TypeError, KeyError, zlib.error) as error:
            raise ValueError(f"its test frame cannot be read ({error})") from None


def smooth_frame(size: Size) -> Floats:
    """(1, 3, H, W): coarse noise between whose points levels change evenly, as they do in pictures; the same in every call."""
    chance = np.random.default_rng(0)
    coarse = chance.random((3, 5, 6)).astype(np.float32)
    rows, columns = (np.linspace(0, count - 1, side, dtype=np.float32) for count, side in zip((5, 6), size, strict=True))
    tall = _between(coarse, rows, 1)
    return np.clip(_between(tall, columns, 2), 0, 1)[None].astype(np.float32)


def _between(values: Floats, at: Floats, axis: int) -> Floats:
    """Linear interpolation along an axis at places between 0 and its length - 1."""
    low = np.minimum(at.astype(int), values.shape[axis] - 2)
    share = (at - low).reshape([-1 if n == axis else 1 for n in range(values.ndim)])
    return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share


def _packed(values: Floats) -> str:
    return base64.b64encode(zlib.compress(values.astype("<f4").tobytes())).decode()


def _unpacked(given: str, shape: tuple[int, ...]) -> Floats:
    values = np.frombuffer(zlib.decompress(base64.b64decode(given)), "<f4")
    return values.reshape(shape).astype(np.float32)
