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


def _plane(points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    plane = np.asarray(points, dtype=float).reshape(-1, 2) + 0.0  # -0.0 becomes 0.0: equal points compare as equal
    return plane, np.asarray(~np.isnan(plane).any(axis=1), dtype=bool)


def _maximise(directions: Directions) -> list[bool]:
    return [direction == "higher" for direction in directions]
