"""How sure a figure is: bootstrap over the test items of one trial, two trials item by item, and how many seeds it takes.

Items that share a source (or a person) tell much the same, so whole groups are drawn, never frames and never single items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtrit  # scipy.stats takes half a second to import

from analysis.measure.settings import CONFIDENCE

Array = NDArray[np.float64]
Figure = Callable[[Array], Array]  # how often each item counts (R, N) -> the figure (R,)

RESAMPLES = 2000
FEW_GROUPS = 10  # percentile intervals of fewer are too narrow
MOST_SEEDS = 1000
_POWER = 0.8
_AT_ONCE = 200  # resamples in memory


@dataclass(frozen=True)
class ItemMetric:
    """What a judge answered to N test items, as the figure it makes of them.

    `items`: their names; `groups`: what each was cut from, a name; `figure` gives the metric where items count so often.
    """

    items: tuple[str, ...]
    groups: tuple[str, ...]
    figure: Figure


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % bootstrap interval (NaN where a single group leaves nothing to draw), in the figure's own unit."""

    value: float
    low: float
    high: float
    items: int
    groups: int

    def text(self, percent: bool = True, signed: bool = False) -> str:
        """`12.3 (10.1 to 14.9)`; a figure without an interval says so."""
        scale, digits = (100, 1) if percent else (1, 3)

        def said(value: float) -> str:
            return f"{scale * value:{'+' if signed else ''}z.{digits}f}".replace("-", "−")

        if math.isnan(self.value):
            return "–"
        return said(self.value) + (" (no interval)" if math.isnan(self.low) else f" ({said(self.low)} to {said(self.high)})")


@dataclass(frozen=True)
class Comparison:
    """Two trials on the test items that both were asked. `difference` is first minus second, over the same draws.

    `first_larger`: share of the draws in which the first is larger, ties counting half. `p`: two-sided, twice the share of
    draws on the rarer side of zero, never below one draw. `left_out`: items only one of them was asked.
    """

    first: Interval
    second: Interval
    difference: Interval
    first_larger: float
    p: float
    left_out: int


def bootstrap(answers: ItemMetric) -> Interval:
    """The figure and its percentile interval over RESAMPLES draws of groups with replacement; the same each time."""
    draws = _draws(answers.groups)
    value = float(answers.figure(np.ones((1, len(answers.items))))[0])
    return _interval(value, answers.groups, _figures(answers.figure, draws))


def compare(first: ItemMetric, second: ItemMetric) -> Comparison:
    """The paired bootstrap: each draw of groups is given to both.

    Raises ValueError where the two share no item.
    """
    where = {name: place for place, name in enumerate(second.items)}
    pairs = [(here, where[name]) for here, name in enumerate(first.items) if name in where]
    if not pairs:
        raise ValueError(f"no test item in common: one was asked {first.items[0]} and so on, the other {second.items[0]}")
    ours, theirs = np.array(pairs).T
    groups = tuple(first.groups[place] for place in ours)
    figures = [_at(first, ours), _at(second, theirs)]
    draws = _draws(groups)
    a, b = (_figures(figure, draws) for figure in figures)
    known = ~np.isnan(a) & ~np.isnan(b)
    values = [float(figure(np.ones((1, len(groups))))[0]) for figure in figures]
    above = float(np.mean((a > b)[known])) if known.any() else math.nan
    below = float(np.mean((a < b)[known])) if known.any() else math.nan
    return Comparison(
        first=_interval(values[0], groups, a),
        second=_interval(values[1], groups, b),
        difference=_interval(values[0] - values[1], groups, a - b),
        first_larger=above + (1 - above - below) / 2,
        p=min(1.0, max(2 * (1 - max(above, below)), 1 / RESAMPLES)),
        left_out=len(first.items) + len(second.items) - 2 * len(groups),
    )


def mean(values: Iterable[float]) -> Figure:
    """Of one number per item; accuracy, if it is 1 for a right answer and 0 for a wrong one."""
    each = np.asarray(list(values), dtype=float)
    return lambda weights: weights @ each / weights.sum(axis=1)


def above_chance(figure: Figure, chance: Figure) -> Figure:
    """`(figure - chance) / (1 - chance)`: 0 is guessing, 1 is perfect."""
    return lambda weights: (figure(weights) - chance(weights)) / (1 - chance(weights))


def cmap(probabilities: Array, labels: Array) -> Figure:
    """Mean average precision of (N, A) answers over the attributes that have both values among the items that count."""
    return lambda weights: _cmap(probabilities, labels, weights)[0]


def leakage(probabilities: Array, labels: Array) -> Figure:
    """As `trainables.metrics.leakage_of`: chance is the prevalence among the items that count."""

    def figure(weights: Array) -> Array:
        found, chance = _cmap(probabilities, labels, weights)
        return (found - chance) / (1 - chance)

    return figure


def largest(answers: Sequence[ItemMetric]) -> ItemMetric:
    """The largest of several figures in every draw, over the items that any of them was asked: the strongest attacker."""
    groups = {name: group for each in answers for name, group in zip(each.items, each.groups, strict=True)}
    place = {name: number for number, name in enumerate(groups)}
    columns = [np.array([place[name] for name in each.items]) for each in answers]

    def figure(weights: Array) -> Array:
        found = [each.figure(weights[:, column]) for each, column in zip(answers, columns, strict=True)]
        return np.asarray(np.fmax.reduce(found))

    return ItemMetric(tuple(groups), tuple(groups.values()), figure)


def seeds_needed(differences: Iterable[float], power: float = _POWER) -> int | None:
    """Seeds for a paired t-test (two-sided, 5 %) to find a difference as large as the mean of those seen, with this power.

    None where fewer than two differences leave their spread unknown, where there is no difference, or beyond MOST_SEEDS.
    """
    known = np.array([value for value in differences if not math.isnan(value)])
    if len(known) < 2 or known.mean() == 0:
        return None
    if known.std() == 0:
        return 2
    effect = abs(known.mean()) / known.std(ddof=1)
    for n in range(2, MOST_SEEDS + 1):
        critical = stdtrit(n - 1, 0.5 + CONFIDENCE / 2)
        if 1 - nctdtr(n - 1, effect * math.sqrt(n), critical) >= power:  # the other tail adds nothing at such a power
            return n
    return None


def _cmap(probabilities: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
    """cMAP and its chance level (R,), over the attributes that have both values where the weights (R, N) are not 0."""
    total = weights.sum(axis=1)
    precision, prevalence = [], []
    for a in range(labels.shape[1]):
        positive = weights @ labels[:, a]
        both = (positive > 0) & (positive < total)
        prevalence.append(np.where(both, positive / total, np.nan))
        precision.append(np.where(both, _average_precision(probabilities[:, a], labels[:, a], weights), np.nan))
    some = ~np.isnan(prevalence).all(axis=0)
    found = np.full((2, len(weights)), np.nan)
    found[0, some], found[1, some] = np.nanmean(np.array(precision)[:, some], 0), np.nanmean(np.array(prevalence)[:, some], 0)
    return found[0], found[1]


def _average_precision(scores: Array, labels: Array, weights: Array) -> Array:
    """As scikit-learn's, for many weightings (R, N) at once: equal scores are one threshold."""
    order = np.argsort(-scores, kind="stable")
    ends = np.flatnonzero(np.diff(scores[order], append=np.nan) != 0)
    counted = np.cumsum(weights[:, order], axis=1)[:, ends]
    right = np.cumsum(weights[:, order] * labels[order], axis=1)[:, ends]
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(counted > 0, right / counted, 0.0)
        return np.asarray((np.diff(right, axis=1, prepend=0.0) * precision).sum(axis=1) / right[:, -1])


def _draws(groups: Sequence[str]) -> Array | None:
    """How often each item counts in each draw (R, N); None for a single group, of which every draw is the same."""
    names, member = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    drawn = np.random.default_rng(0).multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES)
    return drawn[:, member].astype(float)


def _figures(figure: Figure, draws: Array | None) -> Array:
    if draws is None:
        return np.full(1, np.nan)
    return np.concatenate([figure(draws[first : first + _AT_ONCE]) for first in range(0, len(draws), _AT_ONCE)])


def _at(answers: ItemMetric, places: NDArray[np.int64]) -> Figure:
    """The figure as a function of how often the items at `places` count; all others do not."""

    def figure(weights: Array) -> Array:
        every = np.zeros((len(weights), len(answers.items)))
        every[:, places] = weights
        return answers.figure(every)

    return figure


def _interval(value: float, groups: Sequence[str], figures: Array) -> Interval:
    known = figures[~np.isnan(figures)]
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(known, [tail, 100 - tail]) if len(known) else (math.nan, math.nan)
    return Interval(value, float(low), float(high), len(groups), len(set(groups)))
