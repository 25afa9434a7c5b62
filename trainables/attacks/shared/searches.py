"""Searches for people among anonymized and among ordinary clips: what is read, and what those leave that learn nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.attacks.shared.people_at_risk import RISKS, PeopleClips, risk_points
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


def risks_of_searches(
    known: NDArray[np.float64], published: NDArray[np.float64], clips: Sequence[Video], people: Sequence[str], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """The curves of singling out and linking people, as the state of a stage keeps them.

    `known`, `published`: (N, D), embeddings of N test clips as the attacker has them of people by name, and as they were
    published. `people`: (N,), whom each shows. A row of NaN is a clip in which the attacker finds nothing: it is like nobody.
    """
    found = PeopleClips(
        known=np.nan_to_num(known),
        published=np.nan_to_num(published),
        people=people,
        sources=[clip.group for clip in clips],
        actions=[clip.label for clip in clips],
    )
    return {RISKS: [asdict(point) for point in risk_points(found, seed)]}


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
