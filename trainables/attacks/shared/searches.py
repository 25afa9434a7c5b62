"""Searches for people among anonymized and among ordinary clips: what is read, and what those leave that learn nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.data.items import Video
from trainables.metrics import Retrieval
from trainables.statistics import above_chance

GALLERIES = ("anonymized", "ordinary")  # clips that are searched, in the order of the results
DIGITS = 5  # of a similarity; smaller differences come from the size of the batch it was computed in


def leakage_of_searches(found: Sequence[Retrieval] | None) -> list[float]:
    """Rank-1 above chance of the search of each gallery; NaN where nobody can be searched for."""
    if found is None:
        return [math.nan] * len(GALLERIES)
    return [above_chance(float(one.hits.mean()), float(one.chances.mean())) for one in found]


def strongest_search(found: Sequence[Retrieval], validated: Sequence[float]) -> Retrieval:
    """The search that reads most in validation clips."""
    return found[strongest_member(list(validated))]


def result_of_searches(
    asked: Sequence[Video],
    people: Sequence[str],
    found: Sequence[Retrieval],
    validated: Sequence[float],
    members: Sequence[str],
    others: Mapping[str, float],
) -> AttackResult:
    """Of searches for which nothing is learned.

    asked: the queries that count, with the people they show. members: a name for the search of each gallery.
    """
    best = strongest_search(found, validated)
    return AttackResult(
        ids=[item.name for item in asked],
        groups=list(people),
        members=list(members),
        validated=list(validated),
        answers=torch.from_numpy(np.stack([one.hits for one in found])),
        chances=torch.from_numpy(best.chances),
        sureness=torch.from_numpy(best.hits * (1.0 + best.margins)),
        effort={"epochs": 0.0, "items": 0.0, "parameters": 0.0},
        converged=True,  # there is nothing to learn
        others=dict(others),
    )
