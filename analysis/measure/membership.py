"""How well training clips can be told from others by one number of each: the figures of a membership inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainables.statistics import Interval, ItemMetric, interval

FALSE_POSITIVES = 0.01


@dataclass(frozen=True)
class MembershipFigures:
    """`auc`: the probability that a member scores above a non-member, 0.5 for who cannot tell; its interval is by group.

    `found`: the share of members above a threshold that at most a share FALSE_POSITIVES of the non-members passes: none of
    them where they are fewer than 1 / FALSE_POSITIVES. `members`, `others`: how many there are.
    """

    auc: Interval
    found: float
    members: int
    others: int


def membership_figures(
    names: Sequence[str], groups: Sequence[str], member: NDArray[np.bool_], score: NDArray[np.float64]
) -> MembershipFigures:
    """Of a score (N,) of each item, larger for members. Raises ValueError without members or without others."""
    if member.all() or not member.any():
        raise ValueError("it takes members and others to tell them apart")
    inside, outside = score[member], score[~member]
    wins = (inside[:, None] > outside[None]) + 0.5 * (inside[:, None] == outside[None])

    def auc(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        ours, theirs = kept[:, member].astype(float), kept[:, ~member].astype(float)
        pairs = ours.sum(axis=1) * theirs.sum(axis=1)
        with np.errstate(invalid="ignore"):
            return np.asarray(((ours @ wins) * theirs).sum(axis=1) / pairs)

    passing = int(FALSE_POSITIVES * len(outside))
    threshold = np.sort(outside)[len(outside) - 1 - passing]
    sure = interval(ItemMetric(tuple(names), tuple(groups), auc))
    return MembershipFigures(sure, float((inside > threshold).mean()), len(inside), len(outside))
