"""Which frames of a video make a clip. Frame numbers are the file's own, whatever its frame rate (as in the paper)."""

from __future__ import annotations

import numpy as np

from trainables.config import ClipConfig


def fitting_skip(length: int, clip: ClipConfig) -> int:
    """The configured skip, or the largest smaller one with which the clip fits into `length` frames (at least 1)."""
    return max(1, min(clip.skip, (length - 1) // max(1, clip.frames - 1)))


def clip_indices(length: int, clip: ClipConfig, position: float) -> list[int]:
    """Frame numbers of one clip; `position` in [0, 1] places it between the first and the last possible start.

    A video shorter than `frames` frames starts over from its first frame, so that none is dropped.
    """
    skip = fitting_skip(length, clip)
    last_start = max(0, length - 1 - (clip.frames - 1) * skip)
    start = min(last_start, int(position * (last_start + 1)))
    return [(start + i * skip) % length for i in range(clip.frames)]


def other_clip_indices(length: int, clip: ClipConfig, position: float, other: float) -> list[int] | None:
    """Frame numbers of a clip of the same video that starts elsewhere than the one at `position`; None if there is none.

    `other` in [0, 1) chooses among the other starts, each as likely.
    """
    start = clip_indices(length, clip, position)[0]
    skip = fitting_skip(length, clip)
    starts = max(0, length - 1 - (clip.frames - 1) * skip) + 1
    if starts == 1:
        return None
    elsewhere = (start + 1 + int(other * (starts - 1))) % starts
    return [elsewhere + i * skip for i in range(clip.frames)]


def test_positions(clip: ClipConfig) -> list[float]:
    """`test_clips` positions spread evenly over the video (one: its middle)."""
    return [0.5] if clip.test_clips == 1 else [float(x) for x in np.linspace(0.0, 1.0, clip.test_clips)]


def pair_indices(length: int, distance: int, position: float) -> tuple[int, int]:
    """Two frames `distance` apart (or as far as the video allows): the positive pair of the supplement, Eq. 6."""
    distance = min(distance, length - 1)
    start = min(length - 1 - distance, int(position * (length - distance)))
    return start, start + distance


def evenly(count: int, wanted: int) -> list[int]:
    """`wanted` numbers below `count`, or as many as there are, evenly apart."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()
