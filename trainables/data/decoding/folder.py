"""A folder of images, one a frame, in the place of a video file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.data.decoding.images import decode_image
from trainables.data.items import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_NO_FRAMES = (".", "flow_x", "flow_y")


@lru_cache(maxsize=4096)
def frames_in(folder: Path) -> tuple[Path, ...]:
    """The images of a folder in the order of the numbers in their names: img_2 before img_10. Those of optical flow, which
    mmaction2 puts beside them, are left out.

    Raises DataError for a folder without images, or with two for one number.
    """
    found = [
        path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(_NO_FRAMES)
    ]
    if not found:
        raise DataError(f"{folder}: no frames in this folder; put images there, numbered in their order")
    numbered = {path: [int(number) for number in re.findall(r"\d+", path.stem)] for path in found}
    ordered = sorted(found, key=lambda path: (numbered[path], path.name))
    for first, second in pairwise(ordered):
        if numbered[first] == numbered[second]:
            raise DataError(f"{first} and {second.name}: both are the same frame; leave one of them out")
    return tuple(ordered)


class FolderReader:
    """Reads frames of a folder, as `VideoReader` does of a video."""

    def __init__(self, folder: Path, size: int | None = None) -> None:
        self._folder, self._size = folder, size

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Returns frames `indices` as (T, H, W, 3) RGB, upright. Raises DataError for one that is no image."""
        paths = frames_in(self._folder)
        pictures = {index: decode_image(paths[index], self._size) for index in dict.fromkeys(indices)}
        if len({picture.shape for picture in pictures.values()}) > 1:
            raise DataError(f"{self._folder}: its frames have different sizes; make them alike")
        return np.stack([pictures[index] for index in indices])

    def close(self) -> None: ...
