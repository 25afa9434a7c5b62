"""Utility and leakage figures, all as fractions in [0, 1]. Arrays only: no torch, so that tests and analysis can use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainables.statistics import Array, above_chance, average_precision, numbered

# Of a probability. Answers that differ by less owe it to the batches they were computed in: blank frames must tie.
DIGITS = 6


def topk_accuracy(probabilities: Array, labels: NDArray[np.int64], k: int) -> float:
    """Share of rows of (N, K) whose label is among the k most probable classes; with fewer than k classes, all of them."""
    top = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float((top == labels[:, None]).any(axis=1).mean())


def chance_top1(labels: NDArray[np.int64]) -> float:
    """Accuracy of always answering the most frequent class."""
    return float(np.bincount(labels).max() / len(labels))


@dataclass(frozen=True)
class Leakage:
    """How much of the private attributes can be read. `skipped` names attributes of one value only: they have no AP.

    Chance is what a guesser is expected to have (`statistics.average_precision`), `prevalence` the share of the items that
    have an attribute, which publications take for chance.
    """

    cmap: float
    chance_cmap: float
    prevalence: float
    macro_f1: float
    leakage: float
    ap: dict[str, float]
    ap_chance: dict[str, float]
    prevalences: dict[str, float]
    skipped: tuple[str, ...]


def leakage_of(
    probabilities: Array, labels: Array, names: tuple[str, ...], groups: Sequence[str], threshold: float = 0.5
) -> Leakage:
    """cMAP, its chance level, F1 at probability `threshold`, and leakage above chance.

    probabilities, labels: (N, A), labels 0 or 1. groups: the source or person of each of the N. An attribute with no positive
    or no negative among the N is left out of every mean and named in `skipped`. Raises ValueError if none is left.
    """
    kept = [a for a in range(len(names)) if 0 < labels[:, a].sum() < len(labels)]
    if not kept:
        raise ValueError(f"no attribute of {', '.join(names)} has both values among the {len(labels)} test items")
    every = np.ones((1, len(labels)), dtype=bool)
    numbers = numbered(groups)
    found = {a: average_precision(probabilities[:, a], labels[:, a], numbers, every) for a in kept}
    ap, ap_chance = ({names[a]: float(levels[which][0]) for a, levels in found.items()} for which in (0, 1))
    prevalences = {names[a]: float(labels[:, a].mean()) for a in kept}
    cmap, chance = float(np.mean(list(ap.values()))), float(np.mean(list(ap_chance.values())))
    return Leakage(
        cmap=cmap,
        chance_cmap=chance,
        prevalence=float(np.mean(list(prevalences.values()))),
        macro_f1=float(np.mean([_f1(labels[:, a], probabilities[:, a] >= threshold) for a in kept])),
        leakage=above_chance(cmap, chance),
        ap=ap,
        ap_chance=ap_chance,
        prevalences=prevalences,
        skipped=tuple(name for a, name in enumerate(names) if a not in kept),
    )


def _f1(labels: Array, said: NDArray[np.bool_]) -> float:
    """F1 of (N,) predictions for labels of which at least one is 1."""
    return float(2.0 * labels[said].sum() / (labels.sum() + said.sum()))


@dataclass(frozen=True)
class Retrieval:
    """A search for the same person. `asked`: of all queries, those with a right and a wrong candidate; the rest is of these Q.

    `similarity`, `same`, `candidates`: (Q, G); who may not be looked for has a similarity of minus infinity.
    `hits`, `chances`: (Q,), the expected rank-1 (of equal candidates one by lot), and the share of candidates that are right.
    `best`: (Q,), the most similar candidate of each, `margins` by how much it is above the mean one.
    """

    asked: NDArray[np.bool_]
    similarity: Array
    same: NDArray[np.bool_]
    candidates: NDArray[np.bool_]
    hits: Array
    chances: Array
    margins: Array
    best: NDArray[np.int64]

    @cached_property
    def mean_ap(self) -> float:
        """The mean over queries of the average precision; equal candidates are taken together."""
        order = np.argsort(-self.similarity, axis=1, kind="stable")
        ranked = np.take_along_axis(self.similarity, order, axis=1)
        right = np.take_along_axis(self.same & self.candidates, order, axis=1)
        places = np.arange(ranked.shape[1])
        ends = np.full(ranked.shape, len(places) - 1)
        ends[:, :-1] = np.where(ranked[:, :-1] != ranked[:, 1:], places[:-1], len(places))
        last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]  # of the candidates that are equally similar
        precision = np.take_along_axis(right.cumsum(axis=1), last, axis=1) / (last + 1.0)
        return float(np.mean((precision * right).sum(axis=1) / right.sum(axis=1)))

    @cached_property
    def eer(self) -> float:
        """The rate where as many pairs of two people pass for one person as pairs of one person for two."""
        from sklearn.metrics import roc_curve  # takes 1.5 seconds to import, which every worker would spend

        false_alarm, found, _ = roc_curve(self.same[self.candidates], self.similarity[self.candidates], drop_intermediate=False)
        crossing = int(np.argmin(abs(false_alarm - (1.0 - found))))
        return float((false_alarm[crossing] + 1.0 - found[crossing]) / 2)


def retrieve(similarity: Array, same: NDArray[np.bool_], candidates: NDArray[np.bool_]) -> Retrieval:
    """(Q, G) similarities, who is the same person, and who may be looked for. Raises ValueError if no query has an answer."""
    asked: NDArray[np.bool_] = np.logical_and((same & candidates).any(axis=1), (~same & candidates).any(axis=1))
    if not asked.any():
        raise ValueError("no test clip has both another clip of the same person and one of somebody else")
    similarity = np.where(candidates, similarity, -np.inf)[asked]
    same, candidates = same[asked], candidates[asked]
    top = similarity == similarity.max(axis=1, keepdims=True)
    hits = (top & same).sum(axis=1) / top.sum(axis=1)
    chances = (same & candidates).sum(axis=1) / candidates.sum(axis=1)
    return Retrieval(
        asked=asked,
        similarity=similarity,
        same=same,
        candidates=candidates,
        hits=hits,
        chances=chances,
        margins=similarity.max(axis=1) - similarity.mean(axis=1, where=candidates),
        best=similarity.argmax(axis=1),
    )
