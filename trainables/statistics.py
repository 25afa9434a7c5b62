"""Every interval and every resampled average precision of the project: arrays only, no torch.

Two kinds of interval, both at CONFIDENCE. A bootstrap over the test items of one trial says what other test items would give;
a t interval over the seeds of a setting says what other trainings would give. Neither says anything about the other.

A `WeightedMetric` maps weights `(R, N)`, how often each of N test items counts in each of R resamples, to R values.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import nctdtr, stdtrit  # scipy.stats, which has the t intervals, takes half a second to import

Array = NDArray[np.float64]
Counts = NDArray[Any]
WeightedMetric = Callable[[Counts], Array]
Number = TypeVar("Number", float, Array)

CONFIDENCE = 0.95
RESAMPLES = 1000  # of every bootstrap
FEW_GROUPS = 10  # intervals of fewer groups are too narrow
MOST_SEEDS = 1000
_POWER = 0.8
_TAILS = ((1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2)
_AT_ONCE = 200  # resamples computed at once, to bound memory


@dataclass(frozen=True)
class ItemMetric:
    """One metric of one trial that can be computed again for any weighting of the N test items.

    `items`: their names. `groups`: the source each was cut from, by name; a bootstrap draws whole groups, because items
    of one source (or of one person) are no independent evidence.
    """

    items: tuple[str, ...]
    groups: tuple[str, ...]
    metric: WeightedMetric


@dataclass(frozen=True)
class Interval:
    """A value and its bootstrap interval (NaN where a single group leaves nothing to draw), in the metric's own unit."""

    value: float
    low: float
    high: float
    items: int
    groups: int


@dataclass(frozen=True)
class Comparison:
    """Two trials on the test items that both predicted. `difference` is first minus second, over the same resamples.

    `first_larger`: share of the resamples in which the first is larger, ties counting half. `p`: two-sided, twice the share
    of resamples on the rarer side of zero, at least 1 / RESAMPLES. `left_out`: the number of items only one predicted.
    """

    first: Interval
    second: Interval
    difference: Interval
    first_larger: float
    p: float
    left_out: int


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` seeds and the half-width of its t interval (NaN for n < 2), in the metric's own unit."""

    mean: float
    half_width: float
    n: int


# Bootstrap over test items. scipy.stats.bootstrap has neither groups nor recentring, and its random draws would change
# the intervals that trials have recorded.


def draws(groups: Sequence[Hashable]) -> NDArray[np.int32]:
    """How often each of N items is drawn, (RESAMPLES, N), where as many groups as there are are drawn with replacement.

    `groups`: the group of each item. The draws depend on the number of groups only and are the same in every call.
    """
    number = {group: place for place, group in enumerate(dict.fromkeys(groups))}
    drawn = np.random.default_rng(0).multinomial(len(number), np.full(len(number), 1.0 / len(number)), size=RESAMPLES)
    return drawn.astype(np.int32).take([number[group] for group in groups], axis=1)


def resampled(metric: WeightedMetric, groups: Sequence[Hashable]) -> Array:
    """The metric in each of the RESAMPLES draws of groups; NaN where it is not defined."""
    weights = draws(groups)
    with np.errstate(invalid="ignore"):
        return np.concatenate([metric(weights[first : first + _AT_ONCE]) for first in range(0, RESAMPLES, _AT_ONCE)])


def interval(values: Array, estimate: float) -> tuple[float, float]:
    """The central CONFIDENCE of resampled values, moved so that their mean is at `estimate`; NaN values are left out.

    An item drawn twice ranks right behind itself: the average precision of resamples is too high, most of all in small
    sets, and a percentile interval would inherit that.
    """
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known - known.mean() + estimate, _TAILS)
    return float(low), float(high)


def bootstrap(item_metric: ItemMetric) -> Interval:
    """The value of a metric and its bootstrap interval by group."""
    return _interval(_value(item_metric.metric, len(item_metric.items)), item_metric.groups, _spread(item_metric))


def compare(first: ItemMetric, second: ItemMetric) -> Comparison:
    """The paired bootstrap: both trials get the same draws of groups.

    Raises ValueError where the two have no item in common.
    """
    where = {name: place for place, name in enumerate(second.items)}
    pairs = [(here, where[name]) for here, name in enumerate(first.items) if name in where]
    if not pairs:
        raise ValueError(
            f"no test item in common: one was tested on {first.items[0]} and so on, the other on {second.items[0]}"
        )
    ours, theirs = np.array(pairs).T
    groups = tuple(first.groups[place] for place in ours)
    both = [_restricted(first, ours, groups), _restricted(second, theirs, groups)]
    a, b = map(_spread, both)
    known = ~np.isnan(a) & ~np.isnan(b)
    values = [_value(each.metric, len(pairs)) for each in both]
    above = float(np.mean((a > b)[known])) if known.any() else math.nan
    below = float(np.mean((a < b)[known])) if known.any() else math.nan
    return Comparison(
        first=_interval(values[0], groups, a),
        second=_interval(values[1], groups, b),
        difference=_interval(values[0] - values[1], groups, a - b),
        first_larger=above + (1 - above - below) / 2,
        p=min(1.0, max(2 * (1 - max(above, below)), 1 / RESAMPLES)),
        left_out=len(first.items) + len(second.items) - 2 * len(pairs),
    )


# Metrics of weighted items.


def above_chance(score: Number, chance: Number) -> Number:
    """Leakage: `(score - chance) / (1 - chance)`, 0 at chance and 1 for a perfect attacker."""
    return (score - chance) / (1.0 - chance)


def mean(values: Iterable[float]) -> WeightedMetric:
    """The mean of one number per item; the accuracy, if it is 1 for a right prediction and 0 for a wrong one."""
    each = np.asarray(list(values), dtype=float)
    return lambda weights: (weights / weights.sum(axis=1, keepdims=True)) @ each


def mean_leakage(scores: Iterable[float], chances: Iterable[float]) -> WeightedMetric:
    """The leakage above chance of one score and one chance level per item, each averaged over the items first."""
    score, chance = mean(scores), mean(chances)
    return lambda weights: above_chance(score(weights), chance(weights))


def cmap(probabilities: Array, labels: Array) -> WeightedMetric:
    """The mean average precision of (N, A) probabilities over the attributes that have both values in the resample."""

    def metric(weights: Counts) -> Array:
        precision, _, attributes = _summed_precision(probabilities, labels, weights)
        return precision / attributes

    return metric


def leakage(probabilities: Array, labels: Array, undefined: float = math.nan) -> WeightedMetric:
    """The leakage above chance of (N, A) probabilities; chance is the mean prevalence in the resample.

    An attribute of which a resample has one value only is left out of it; `undefined` is the leakage of a resample in
    which no attribute has both values.
    """

    def metric(weights: Counts) -> Array:
        precision, prevalence, attributes = _summed_precision(probabilities, labels, weights)
        found = (precision - prevalence) / attributes / (1.0 - prevalence / attributes)
        return np.where(np.isnan(attributes), undefined, found)

    return metric


def largest(item_metrics: Sequence[ItemMetric]) -> ItemMetric:
    """The largest of several metrics in every resample, over the items that any of them has: the strongest attacker."""
    groups = {name: group for each in item_metrics for name, group in zip(each.items, each.groups, strict=True)}
    place = {name: number for number, name in enumerate(groups)}
    columns = [np.array([place[name] for name in each.items]) for each in item_metrics]

    def metric(weights: Counts) -> Array:
        found = [each.metric(weights[:, column]) for each, column in zip(item_metrics, columns, strict=True)]
        return np.asarray(np.fmax.reduce(found))

    return ItemMetric(tuple(groups), tuple(groups.values()), metric)


def average_precision(scores: Array, labels: Array, weights: Counts) -> Array:
    """scikit-learn's average precision for R weightings at once: scores (N,), labels (N,), counts (R, N) -> (R,).

    Equal scores are one threshold. A weighting without a positive gives 0.
    """
    order = np.argsort(-scores, kind="stable")
    positive = labels[order] > 0
    threshold = np.searchsorted(-scores[order], -scores[order], side="right")[positive] - 1  # the last of equal scores
    ranked = weights[:, order]
    drawn = ranked.cumsum(axis=1, dtype=ranked.dtype)[:, threshold]
    hits = np.where(positive, ranked, 0).cumsum(axis=1, dtype=ranked.dtype)[:, threshold]
    found = ranked[:, positive]
    return np.asarray((found * (hits / np.maximum(drawn, 1))).sum(axis=1) / np.maximum(found.sum(axis=1), 1))


# t intervals over seeds.


def estimate(values: Iterable[float]) -> Estimate:
    """The mean over seeds and its t interval; NaN values are not counted."""
    known = _known(values)
    if len(known) == 0:
        return Estimate(math.nan, math.nan, 0)
    half_width = math.nan if len(known) == 1 else float(t_half_width((known.var(ddof=1), len(known))))
    return Estimate(float(known.mean()), half_width, len(known))


def change(values: Iterable[float], baseline: Iterable[float]) -> Estimate:
    """The difference of two means with Welch's t interval; n is the smaller of the two counts, and 1 leaves no interval."""
    ours, theirs = _known(values), _known(baseline)
    n = min(len(ours), len(theirs))
    if n == 0:
        return Estimate(math.nan, math.nan, 0)
    difference = float(ours.mean() - theirs.mean())
    if n == 1:
        return Estimate(difference, math.nan, 1)
    samples = [(each.var(ddof=1), len(each)) for each in (ours, theirs)]
    return Estimate(difference, float(t_half_width(*samples)), n)


def t_half_width(*samples: tuple[Any, Any]) -> Any:
    """The half-width of the t interval of a mean, or of the difference of two means (Welch), elementwise.

    `samples`: variance and size of each, numbers or arrays. NaN where a size is below 2.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        errors = [variance / n for variance, n in samples]
        square = sum(errors)
        # Welch-Satterthwaite; of a single sample this is n - 1
        freedom = square**2 / sum(error**2 / (n - 1) for error, (_, n) in zip(errors, samples, strict=True))
        half_width = stdtrit(freedom, _TAILS[1]) * np.sqrt(square)
    repeated = np.all([np.greater(n, 1) for _, n in samples], axis=0)
    return np.where((square == 0) & repeated, 0.0, half_width)


def seeds_needed(differences: Iterable[float], power: float = _POWER) -> int | None:
    """The seeds a paired t-test (two-sided, 5 %) needs to find a difference as large as the mean given, with this power.

    None where fewer than two differences leave their spread unknown, where their mean is zero, or beyond MOST_SEEDS.
    """
    known = _known(differences)
    if len(known) < 2 or known.mean() == 0:
        return None
    if known.std() == 0:
        return 2
    effect = abs(known.mean()) / known.std(ddof=1)
    for n in range(2, MOST_SEEDS + 1):
        critical = stdtrit(n - 1, _TAILS[1])
        if 1 - nctdtr(n - 1, effect * math.sqrt(n), critical) >= power:  # the other tail adds nothing at such a power
            return n
    return None


def _summed_precision(probabilities: Array, labels: Array, weights: Counts) -> tuple[Array, Array, Array]:
    """Sums of average precision and of prevalence over the attributes with both values, and their number (NaN for none)."""
    precision, prevalence, attributes = np.zeros((3, len(weights)))
    total = weights.sum(axis=1)
    for scores, truth in zip(probabilities.T, labels.T, strict=True):
        share = weights @ truth / total
        both = (share > 0.0) & (share < 1.0)
        precision += np.where(both, average_precision(scores, truth, weights), 0.0)
        prevalence += np.where(both, share, 0.0)
        attributes += both
    return precision, prevalence, np.where(attributes > 0, attributes, np.nan)


def _value(metric: WeightedMetric, items: int) -> float:
    """The metric where every item counts once."""
    return float(metric(np.ones((1, items), dtype=np.int32))[0])


def _spread(item_metric: ItemMetric) -> Array:
    """The resampled metric; a single NaN for a single group, of which every draw is the same."""
    if len(set(item_metric.groups)) < 2:
        return np.full(1, np.nan)
    return resampled(item_metric.metric, item_metric.groups)


def _restricted(item_metric: ItemMetric, places: NDArray[np.int64], groups: tuple[str, ...]) -> ItemMetric:
    """The same metric over the items at `places` alone, of the given groups."""

    def metric(weights: Counts) -> Array:
        every = np.zeros((len(weights), len(item_metric.items)), dtype=weights.dtype)
        every[:, places] = weights
        return item_metric.metric(every)

    return ItemMetric(tuple(item_metric.items[place] for place in places), groups, metric)


def _interval(value: float, groups: Sequence[str], values: Array) -> Interval:
    low, high = interval(values, value)
    return Interval(value, low, high, len(groups), len(set(groups)))


def _known(values: Iterable[float]) -> Array:
    array = np.asarray(list(values), dtype=float)
    return array[~np.isnan(array)]
