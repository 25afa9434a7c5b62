"""Whether an attacker has learned all it can: one rule, for the epochs of a training and for efforts beside each other.

Needs no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, variance

Curve = list[dict[str, float]]
RISE = 0.02  # of leakage, that does not count


def has_stopped(rise: float, error: float) -> bool:
    """Whether leakage that rose by `rise`, with this standard error, has stopped rising: at most by RISE, or by 2 errors."""
    return rise <= max(RISE, 2.0 * error)


def flattened(curve: Curve) -> bool | None:
    """Whether leakage has stopped rising with effort; None where the curve cannot tell.

    The rise is that of its mean over the last quarter of the effort above that over the quarter before; its standard error is
    taken from the scatter of the points in each quarter. None where one of the two quarters has no point.
    """
    whole = curve[-1]["effort"] if curve else 0.0
    last = [point["leakage"] for point in curve if 0.75 * whole < point["effort"]]
    before = [point["leakage"] for point in curve if 0.5 * whole < point["effort"] <= 0.75 * whole]
    if not last or not before:
        return None
    error = math.sqrt(sum(variance(values) / len(values) for values in (last, before) if len(values) > 1))
    return has_stopped(fmean(last) - fmean(before), error)


def curve_of(history: Sequence[dict[str, float]]) -> Curve:
    """The leakage after each epoch that measured it."""
    return [
        {"effort": float(epoch), "leakage": row["leakage"]} for epoch, row in enumerate(history, start=1) if "leakage" in row
    ]
