"""Every interval, chance level and average precision of the project: arrays only, no torch.

Two kinds of interval, both at CONFIDENCE. An interval over the groups of test items of one trial says what other test items
would give; a t interval over the seeds of a setting says what other trainings would give. Neither says anything about the
other. `make coverage` measures how often each holds the truth.

An `ItemMetric` is computed again for selections of the test items: `kept` (R, N) says which of N items each of R selections
keeps, always whole groups of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import (  # scipy.stats, which has the t intervals, takes half a second to import
    expit,
    logit,
    nctdtr,
    stdtr,
    stdtrit,
)

Array = NDArray[np.float64]
Kept = NDArray[np.bool_]
Number = TypeVar("Number", float, Array)

CONFIDENCE = 0.95
LEAST_GROUPS = 5  # fewer have no interval
FEW_GROUPS = 10  # of fewer an interval holds the truth less often than it says
MOST_BLOCKS = 200  # groups beyond this number are left out together, so many at a time
RESAMPLES = 1000  # of a bootstrap over seeds
MOST_SEEDS = 1000
_POWER = 0.8
_TAILS = ((1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2)
_DIGITS = 12  # of an average precision and its chance level: where nothing is told they are equal to the last bit


@dataclass(frozen=True)
class ItemMetric:
    """One metric of one trial, which can be computed again for selections of its N test items by group.

    `items`: their names. `groups`: the source or person of each, by name: items of one group are no independent evidence, so
    that an interval leaves out whole groups. `metric`: kept (R, N) -> (R,), at most 1, NaN where it is not defined.
    `least`: the smallest value it can have.
    """

    items: tuple[str, ...]
    groups: tuple[str, ...]
    metric: Callable[[Kept], Array]
    least: float = 0.0


@dataclass(frozen=True)
class Interval:
    """A value and the ends of its interval, in the metric's own unit; NaN where fewer than LEAST_GROUPS leave none."""

    value: float
    low: float
    high: float
    items: int
    groups: int

    @property
    def lacking(self) -> str:
        """Why there is no interval, in words; empty where there is one."""
        if not math.isnan(self.low):
            return ""
        if self.groups < LEAST_GROUPS:
            return f"the {self.items} test items are of {self.groups} sources or people, and it takes {LEAST_GROUPS}"
        return f"the figure rests on a single one of {self.groups} sources or people"


UNKNOWN = Interval(math.nan, math.nan, math.nan, 0, 0)


@dataclass(frozen=True)
class Comparison:
    """Two trials on the test items that both predicted. `difference` is first minus second, item by item.

    `first_larger`: the confidence that the first is larger on other test items, from 0 to 1. `p`: two-sided, of no difference.
    `left_out`: the number of items only one predicted.
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


# Intervals over groups of test items: the delete-a-group jackknife. A bootstrap draws items twice, which then rank right
# behind themselves: it overstates average precision, and its percentile intervals are too narrow where groups are few.


def interval(item_metric: ItemMetric, confidence: float = CONFIDENCE) -> Interval:
    """The value of a metric, and its interval over groups.

    The standard error is that of the delete-a-group jackknife (Efron and Stein, 1981). The interval is a t interval, with a
    degree of freedom less than there are groups, of the value on the logit scale of what lies between `least` and 1: it is
    wider on the side of chance, as the spread of an average precision is, and never leaves the range. At an end of the range,
    where no group differs, the other end is that of Clopper and Pearson for as many trials as there are groups. NaN for fewer
    than LEAST_GROUPS groups, and where the metric cannot be computed without one of them.
    """
    return _interval(item_metric, *_jackknife(item_metric), confidence)


def apart(first: Interval, second: Interval) -> Interval:
    """The difference, first minus second, of two values that were measured on different items, from their own intervals.

    With a value v and the ends l and u of each, the ends are `v1 - v2 - sqrt((v1 - l1)^2 + (u2 - v2)^2)` and
    `v1 - v2 + sqrt((u1 - v1)^2 + (v2 - l2)^2)`, at the confidence of the two (Zou and Donner, Statistics in Medicine 27, 2008).
    It is too wide where both hold items of one group, which rise and fall together. NaN where either has no interval.
    """
    difference = first.value - second.value
    low = difference - math.hypot(first.value - first.low, second.high - second.value)
    high = difference + math.hypot(first.high - first.value, second.value - second.low)
    return Interval(difference, low, high, first.items + second.items, min(first.groups, second.groups))


def share(part: Interval, whole: Interval) -> Interval:
    """The part over the whole, which is surely above 0, of two values with their own intervals; a whole that has none is taken
    as exact.

    The ends are the shares r at which those of `part - r * whole` by `apart` are 0 (Donner and Zou, Statistical Methods in
    Medical Research 21, 2012). It is too wide where both are of the same items, which rise and fall together.
    """
    items, groups = whole.items + part.items, min(whole.groups, part.groups)
    if math.isnan(whole.low):
        return Interval(part.value / whole.value, part.low / whole.value, part.high / whole.value, items, groups)
    product = part.value * whole.value
    # the square of the value less that of its distance to the end
    below, above = (end * (2 * part.value - end) for end in (part.low, part.high))
    smallest, largest = (end * (2 * whole.value - end) for end in (whole.low, whole.high))
    nearest = largest if part.low >= 0 else smallest
    root = math.sqrt(product**2 - nearest * below)
    low = below / (product + root) if below else 0.0
    high = (product + math.sqrt(product**2 - smallest * above)) / smallest
    return Interval(part.value / whole.value, low, high, items, groups)


def each_of(questions: int, confidence: float = CONFIDENCE) -> float:
    """The confidence of each of so many intervals with which all of them hold at `confidence` (Bonferroni), whatever they have
    in common.
    """
    return 1.0 - (1.0 - confidence) / max(1, questions)


def compare(first: ItemMetric, second: ItemMetric) -> Comparison:
    """The paired comparison: the difference with its jackknife t interval over the groups of the common items.

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
    (a, without_a), (b, without_b) = map(_jackknife, both)
    difference, error, freedom = a - b, _standard_error(without_a - without_b), len(without_a) - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.float64(difference) / error if difference or math.isnan(error) else 0.0
    reach = float(stdtrit(freedom, _TAILS[1])) * error if freedom else math.nan
    # as many groups that all point one way: a sign test finds no smaller p
    p = max(2.0 * float(stdtr(freedom, -abs(t))), 2.0**-freedom) if freedom else math.nan
    size = len(pairs), len(set(groups))
    return Comparison(
        first=_interval(both[0], a, without_a),
        second=_interval(both[1], b, without_b),
        difference=Interval(difference, difference - reach, difference + reach, *size),
        first_larger=float(stdtr(freedom, t)) if freedom else math.nan,
        p=math.nan if math.isnan(error) else min(1.0, p),
        left_out=len(first.items) + len(second.items) - 2 * len(pairs),
    )


# Metrics by test item.


def above_chance(score: Number, chance: Number) -> Number:
    """Leakage: `(score - chance) / (1 - chance)`, 0 at chance and 1 for a perfect attacker."""
    return (score - chance) / (1.0 - chance)


def mean(items: Iterable[str], groups: Iterable[str], values: Iterable[float]) -> ItemMetric:
    """The mean of one number per item, from 0 to 1; the accuracy, if it is 1 for a right prediction and 0 for a wrong one."""
    each = np.asarray(list(values), dtype=float)
    return ItemMetric(tuple(items), tuple(groups), lambda kept: _mean_of(each, kept))


def mean_leakage(items: Iterable[str], groups: Iterable[str], scores: Iterable[float], chances: Iterable[float]) -> ItemMetric:
    """The leakage above chance of one score and one chance level per item, each averaged over the items first."""
    score, chance = (np.asarray(list(values), dtype=float) for values in (scores, chances))
    return ItemMetric(
        tuple(items),
        tuple(groups),
        lambda kept: above_chance(_mean_of(score, kept), _mean_of(chance, kept)),
        least=above_chance(0.0, float(chance.mean())),
    )


def cmap(items: Iterable[str], groups: Iterable[str], probabilities: Array, labels: Array) -> ItemMetric:
    """The mean average precision of (N, A) probabilities over the attributes that have both values among the items."""
    names = tuple(groups)
    numbers = numbered(names)
    return ItemMetric(tuple(items), names, lambda kept: _mean_precision(probabilities, labels, numbers, kept)[0])


def leakage(items: Iterable[str], groups: Iterable[str], probabilities: Array, labels: Array) -> ItemMetric:
    """The leakage above chance of (N, A) probabilities; see `average_precision` for chance.

    An attribute of which a selection of items has one value only is left out of it.
    """
    names = tuple(groups)
    numbers = numbered(names)

    def metric(kept: Kept) -> Array:
        return above_chance(*_mean_precision(probabilities, labels, numbers, kept))

    [chance] = _mean_precision(probabilities, labels, numbers, np.ones((1, len(labels)), dtype=bool))[1]
    return ItemMetric(tuple(items), names, metric, least=above_chance(0.0, float(chance)))


def numbered(groups: Sequence[Hashable]) -> list[int]:
    """The group of each item as a number, from 0 in the order of their first items."""
    number: dict[Hashable, int] = {}
    return [number.setdefault(group, len(number)) for group in groups]


def average_precision(scores: Array, labels: Array, groups: Sequence[Hashable], kept: Kept) -> tuple[Array, Array]:
    """scikit-learn's average precision of R selections, and what a guesser is expected to have: (R,) and (R,).

    scores, labels: (N,), labels 0 or 1. groups: the group of each item. kept: (R, N), which items are selected: of the items
    that any of the selections has, each has whole groups (ValueError). Equal scores are one threshold. NaN where a selection
    lacks a positive or a negative.

    The guesser gives the scores as they are, ties and all, to items whose labels were exchanged between the groups. Item i
    stands among the n_i items that score as high or higher, w_i of them others of its own group. With P positives among N
    items, and the share of pairs of items of one group (q_w), and of two groups (q_b), of which both are positive,
    `E[AP] = 1/P sum_i 1/n_i (P/N + w_i q_w + (n_i - 1 - w_i) q_b)`. It is above the prevalence P/N, the more the fewer items,
    because the ranks of positives count and the first are few; equal to it if all scores are equal. If each item is a group of
    its own, `q_b = P (P - 1) / (N (N - 1))` (Bestgen, Exact expected average precision of the random baseline, 2015).
    Whoever ranks whole groups is expected to have more than whoever ranks items: this is in w_i and q_w.
    """
    some = kept.any(axis=0)
    number = np.unique(np.asarray(groups)[some], return_inverse=True)[1]
    scores, labels, kept = scores[some], labels[some].astype(float), kept[:, some]
    order = np.argsort(-scores, kind="stable")
    ranked, truth, number = -scores[order], labels[order], number[order]
    last = np.searchsorted(ranked, ranked, side="right") - 1  # of the items that score the same
    whole = kept[:, order[np.unique(number, return_index=True)[1]]]  # (R, groups)
    if not np.array_equal(whole[:, number], kept[:, order]):
        raise ValueError("a selection has some items of a group that another has, and not all of them")
    chosen, hit = kept[:, order].astype(float), np.flatnonzero(truth)
    above = _at(chosen.cumsum(axis=1), last)
    hits = _at(chosen[:, hit].cumsum(axis=1), truth.cumsum().astype(int)[last[hit]] - 1)
    inverse = chosen / np.maximum(above, 1.0)
    within = _above_within_groups(number, last)
    size, has = np.bincount(number), np.bincount(number, truth)
    items, positives, pairs_within, hits_within = (whole @ each for each in (size, has, _pairs(size), _pairs(has)))
    both_within = hits_within / np.maximum(pairs_within, 1.0)
    both_between = (_pairs(positives) - hits_within) / np.maximum(_pairs(items) - pairs_within, 1.0)
    first, others = inverse.sum(axis=1), inverse @ within  # the sums of 1 / n_i and of w_i / n_i
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = (inverse[:, hit] * hits).sum(axis=1) / positives
        expected = positives / items * first + both_within * others + both_between * (items - first - others)
        chance = expected / positives
    defined = (positives > 0) & (positives < items)
    return np.where(defined, precision, np.nan).round(_DIGITS), np.where(defined, chance, np.nan).round(_DIGITS)


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


def draws(n: int) -> NDArray[np.int32]:
    """How often each of n seeds is drawn when n are drawn with replacement: (RESAMPLES, n), the same in every call."""
    return np.random.default_rng(0).multinomial(n, np.full(n, 1.0 / n), size=RESAMPLES).astype(np.int32)


def _mean_of(values: Array, kept: Kept) -> Array:
    return np.asarray(kept @ values / kept.sum(axis=1))


def _mean_precision(probabilities: Array, labels: Array, groups: Sequence[Hashable], kept: Kept) -> tuple[Array, Array]:
    """Average precision and its chance level, means over the attributes that are defined; NaN where none is."""
    each = [average_precision(scores, truth, groups, kept) for scores, truth in zip(probabilities.T, labels.T, strict=True)]
    precision, chance = np.array(each).transpose(1, 0, 2)  # (A, R)
    known = ~np.isnan(precision)
    with np.errstate(invalid="ignore"):
        return tuple(np.where(known, level, 0.0).sum(axis=0) / known.sum(axis=0) for level in (precision, chance))


def _at(values: Array, places: NDArray[np.int64]) -> Array:
    """The columns of (R, N) at `places`, without a copy where these are all in order, as they are without equal scores."""
    return values if np.array_equal(places, np.arange(values.shape[1])) else values[:, places]


def _above_within_groups(number: NDArray[np.int64], last: NDArray[np.int64]) -> Array:
    """How many other items of its own group score as high as an item, or higher: (N,).

    In the order of falling scores, number: the group of each item; last: the place of the last of equal scores.
    """
    start = number * len(number)
    keys = np.sort(start + last)
    found = np.searchsorted(keys, start + last, side="right") - np.searchsorted(keys, start, side="left") - 1
    return found.astype(float)


def _pairs(count: NDArray[Any]) -> Array:
    """The ordered pairs of so many different items."""
    return count * (count - 1.0)


def _jackknife(item_metric: ItemMetric) -> tuple[float, Array]:
    """The value, and the values without one of the groups, or, of more than MOST_BLOCKS groups, one block of groups."""
    number = np.array(numbered(item_metric.groups))
    groups = int(number.max()) + 1
    if groups < LEAST_GROUPS:
        return _value(item_metric), np.full(groups, np.nan)
    block = np.arange(groups) if groups <= MOST_BLOCKS else np.random.default_rng(0).permutation(groups) % MOST_BLOCKS
    of_item = block[number]
    without = of_item[None] != np.arange(block.max() + 1)[:, None]
    found = item_metric.metric(np.vstack([np.ones((1, len(of_item)), dtype=bool), without]))
    return float(found[0]), found[1:]


def _standard_error(without: Array) -> float:
    """The jackknife's, of the values without one group; NaN if one is NaN."""
    return float(np.sqrt((len(without) - 1) * without.var()))


def _interval(item_metric: ItemMetric, value: float, without: Array, confidence: float = CONFIDENCE) -> Interval:
    tail = (1.0 - confidence) / 2
    size, groups = (len(item_metric.items), len(set(item_metric.groups))), len(without)
    error, width = _standard_error(without), 1.0 - item_metric.least
    place = (value - item_metric.least) / width  # from 0, least, to 1
    if math.isnan(error) or math.isnan(place):
        low, high = math.nan, math.nan
    elif error == 0.0 and 0.0 < place < 1.0:
        return Interval(value, value, value, *size)  # exactly: of who tells nothing no end may be above 0
    elif not 0.0 < place < 1.0:
        edge = float(tail ** (1.0 / groups))
        low, high = (edge, 1.0) if place >= 1.0 else (0.0, 1.0 - edge)
    else:
        reach = float(stdtrit(groups - 1, 1.0 - tail)) * error / width / (place * (1.0 - place))
        low, high = (float(expit(logit(place) + side * reach)) for side in (-1.0, 1.0))
    return Interval(value, item_metric.least + width * low, item_metric.least + width * high, *size)


def _value(item_metric: ItemMetric) -> float:
    """The metric of all items."""
    return float(item_metric.metric(np.ones((1, len(item_metric.items)), dtype=bool))[0])


def _restricted(item_metric: ItemMetric, places: NDArray[np.int64], groups: tuple[str, ...]) -> ItemMetric:
    """The same metric over the items at `places` alone, of the given groups."""

    def metric(kept: Kept) -> Array:
        every = np.zeros((len(kept), len(item_metric.items)), dtype=bool)
        every[:, places] = kept
        return item_metric.metric(every)

    return ItemMetric(tuple(item_metric.items[place] for place in places), groups, metric, item_metric.least)


def _known(values: Iterable[float]) -> Array:
    array = np.asarray(list(values), dtype=float)
    return array[~np.isnan(array)]
