"""Frames of a video by decord, where it is known to give those that decoding the whole file gives."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.decoding.files import File
from trainables.data.decoding.index import Index, sides_of
from trainables.data.decoding.video import VideoReader

_LEAST = 64  # pixels a side; of narrower pictures decord takes the padding of a row for a fourth colour


@cache
def decord_version() -> str:
    """The version of decord, or nothing where it is not installed: it has no package for some platforms."""
    try:
        import decord  # noqa: F401

        return version("decord")
    except (ImportError, OSError, PackageNotFoundError):
        return ""


def gives_frames(file: File, index: Index, size: int | None) -> bool:
    """Whether decord is known to give the frames of this file, resized to (size, size), with the same pixels as `VideoReader`.

    Frames that are resized in one direction only are not the same, nor some at their own size.
    """
    if index.care or size is None or size < _LEAST or not decord_version():
        return False
    return size not in sides_of(file)


class DecordReader:
    """Reads frames as `VideoReader` does, resized to (size, size), of a file that `gives_frames`.

    Where decord cannot read the file, or finds another number of frames, `VideoReader` reads it.
    """

    def __init__(self, file: File, index: Index, size: int) -> None:
        self._file, self._index, self._size = file, index, size
        self._open: Any = None
        self._other: VideoReader | None = None

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Returns frames `indices` as (T, H, W, 3) RGB. Raises DataError for one that cannot be decoded."""
        import decord

        inside = all(0 <= index < self._index.count for index in indices)  # decord counts negative ones from the end
        if self._other is None and inside:
            try:
                if self._open is None:
                    decord.logging.set_level(decord.logging.QUIET)
                    path, side = str(self._file.path.absolute()), self._size
                    self._open = decord.VideoReader(path, width=side, height=side, num_threads=1)
                if len(self._open) == self._index.count:
                    frames: NDArray[np.uint8] = self._open.get_batch(list(indices)).asnumpy()
                    return frames
            except (decord.DECORDError, RuntimeError, IndexError):
                pass  # what is wrong with the file, the other reader says
        self._open = None
        self._other = self._other or VideoReader(self._file, self._index, self._size)
        return self._other.read(indices)

    def close(self) -> None:
        self._open = None
        if self._other is not None:
            self._other.close()
