"""Utility and leakage figures, all as fractions in [0, 1]. Arrays only: no torch, so that tests and analysis can use them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score

Array = NDArray[np.float64]


def topk_accuracy(probabilities: Array, labels: NDArray[np.int64], k: int) -> float:
    """Share of rows of (N, K) whose label is among the k most probable classes; with fewer than k classes, all of them."""
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((top == labels[:, None]).any(axis=1).mean())


def chance_top1(labels: NDArray[np.int64]) -> float:
    """Accuracy of always answering the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class Leakage:
    """How much of the private attributes can be read. `skipped` names attributes of one value only: they have no AP."""

    cmap: float
    chance_cmap: float
    macro_f1: float
    leakage: float
    ap: dict[str, float]
    ap_chance: dict[str, float]
    skipped: tuple[str, ...]


def leakage_of(probabilities: Array, labels: Array, names: tuple[str, ...], threshold: float = 0.5) -> Leakage:
    """cMAP, its chance level (the mean prevalence), F1 at probability `threshold`, and leakage above chance.

    probabilities, labels: (N, A), labels 0 or 1. An attribute with no positive or no negative among the N is left out
    of every mean and named in `skipped`. Raises ValueError if none is left.
    """
    kept = [a for a in range(len(names)) if 0 < labels[:, a].sum() < len(labels)]
    if not kept:
        raise ValueError(f"no attribute of {', '.join(names)} has both values among the {len(labels)} test items")
    ap = {names[a]: float(average_precision_score(labels[:, a], probabilities[:, a])) for a in kept}
    ap_chance = {names[a]: float(labels[:, a].mean()) for a in kept}
    cmap, chance = float(np.mean(list(ap.values()))), float(np.mean(list(ap_chance.values())))
    return Leakage(
        cmap=cmap,
        chance_cmap=chance,
        macro_f1=float(np.mean([f1_score(labels[:, a], probabilities[:, a] >= threshold, zero_division=0.0) for a in kept])),
        leakage=(cmap - chance) / (1.0 - chance),
        ap=ap,
        ap_chance=ap_chance,
        skipped=tuple(name for a, name in enumerate(names) if a not in kept),
    )
