"""Which points of a privacy-utility plane no other point beats, and how much of the plane they cover."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

Direction = Literal["higher", "lower"]
Directions = tuple[Direction, Direction]

PRIVACY_UTILITY: Directions = ("lower", "higher")  # (leakage, top1)


def non_dominated(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> NDArray[np.bool_]:
    """Mask of the points (n, 2) that no other point beats: as good in both coordinates, better in one.

    Equal points stand or fall together. A point with a NaN is never in the set and beats nothing.
    """
    plane, known = _plane(points)
    mask = np.zeros(len(plane), dtype=bool)
    if known.any():
        mask[known] = moocore.is_nondominated(plane[known], maximise=_maximise(directions), keep_weakly=True)
    return mask


def hypervolume(points: ArrayLike, reference: tuple[float, float], directions: Directions = PRIVACY_UTILITY) -> float:
    """Area that the points (n, 2) dominate, bounded by `reference`, in the product of the two units.

    Points no better than the reference in some coordinate, and points with a NaN, add nothing. No points: 0.
    """
    plane, known = _plane(points)
    if not known.any():
        return 0.0
    return float(moocore.hypervolume(plane[known], ref=np.asarray(reference, float), maximise=_maximise(directions)))


def step_line(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> NDArray[np.float64]:
    """The front as (m, 2) corners of a line with right angles: what can be had at each x without a mixture of settings.

    Between two settings of the front the worse y holds until the x of the next is paid for. Empty for no points.
    """
    plane, _ = _plane(points)
    front = np.unique(plane[non_dominated(plane, directions)], axis=0)
    if directions[0] == "higher":
        front = front[::-1]
    corners = [front[:1]]
    for left, right in pairwise(front):
        corners.append(np.array([[right[0], left[1]], right]))
    return np.concatenate(corners)


def knee(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> int | None:
    """Row of the points (n, 2) where the front bends most: giving up a little more in one coordinate buys least in the other.

    The point of the front furthest beyond the line through its two ends, each coordinate scaled to the front's own range
    (Das, On characterizing the "knee" of the Pareto curve, Structural Optimization 18, 1999), so the units do not matter.
    Of equally far points the one better in the second coordinate, of equal points the first. A front of one point is its
    own knee. None where nothing bends: no point without NaN, a front of two points, or none beyond the line.
    """
    plane, _ = _plane(points)
    front = np.unique(plane[non_dominated(plane, directions)], axis=0)
    if len(front) < 2:
        chosen = front
    else:
        gains = front * np.where(_maximise(directions), 1.0, -1.0)
        low, high = gains.min(axis=0), gains.max(axis=0)
        # Scaled, the ends are (0, 1) and (1, 0): the line is where both gains add up to 1.
        beyond = (((gains - low) / (high - low)).sum(axis=1) - 1).round(12)
        if beyond.max() <= 0:
            return None
        furthest = np.flatnonzero(beyond == beyond.max())
        chosen = front[furthest[[gains[furthest, 1].argmax()]]]
    return int(np.flatnonzero((plane == chosen).all(axis=1))[0]) if len(chosen) else None


def _plane(points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    plane = np.asarray(points, dtype=float).reshape(-1, 2) + 0.0  # -0.0 becomes 0.0: equal points compare as equal
    return plane, np.asarray(~np.isnan(plane).any(axis=1), dtype=bool)


def _maximise(directions: Directions) -> list[bool]:
    return [direction == "higher" for direction in directions]
