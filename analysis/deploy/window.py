"""The frames before the present one, for an anonymizer that sees time: a camera has no others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.float32]  # (N, 3, H, W), RGB


class Before:
    """What a network with a window is given, batch after batch of one video.

    window: how many frames it is given to show the last of them, 1 for that one alone. skip: two of them are so many frames of
    the video apart. Before a video begins, its first frame stands still.
    """

    def __init__(self, window: int, skip: int) -> None:
        self.window, self._skip = window, skip
        self._past: Frames | None = None
        self._coming: Frames | None = None

    def forget(self) -> None:
        """Another video begins."""
        self._past = self._coming = None

    def seen(self, frames: Frames) -> Frames:
        """The next frames of the video (N, 3, H, W) -> (N, window, 3, H, W), in order; the same frames for a window of 1.

        They count as shown only after `keep`: a batch that fails may be given again, frame by frame.
        """
        far = (self.window - 1) * self._skip
        if not far:
            return frames
        past = frames[:1].repeat(far, axis=0) if self._past is None else self._past
        every = np.concatenate([past, frames])
        self._coming = every[-far:]
        count = len(frames)
        return np.stack([every[first : first + count] for first in range(0, far + 1, self._skip)], axis=1)

    def keep(self) -> None:
        """The last frames that were given have been anonymized."""
        self._past = self._coming
