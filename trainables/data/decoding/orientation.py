"""Which way is up: a phone writes its pictures as the sensor lay, and says beside them how to turn them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame


@dataclass(frozen=True)
class Orientation:
    """How a stored picture becomes upright: rows and columns change places, then it is mirrored."""

    transposed: bool = False
    left_right: bool = False
    top_bottom: bool = False

    @staticmethod
    def of(frame: VideoFrame) -> Orientation:
        """Reads the display matrix of a frame, by which a pixel at (x, y) is shown at (a x + c y, b x + d y)."""
        from av.sidedata.sidedata import Type

        every: Any = frame.side_data
        found = next((bytes(some) for some in every if some.type == Type.DISPLAYMATRIX), None)
        if found is None:
            return UPRIGHT
        a, b, _, c, d, *_ = np.frombuffer(found, np.int32).tolist()
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return Orientation(False, a < 0, d < 0)
        return Orientation(True, c < 0, b < 0)

    def upright(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turns (H, W, C), or (W, H, C) where rows and columns change places, to (H, W, C) as it is shown."""
        if self.transposed:
            picture = picture.transpose(1, 0, 2)
        return picture[:: -1 if self.top_bottom else 1, :: -1 if self.left_right else 1]


UPRIGHT = Orientation()
