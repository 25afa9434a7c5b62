"""Average precision, chance, leakage, F1 and their intervals on cases small enough for pencil and paper."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trainables.metrics import leakage_of
from trainables.statistics import (
    LEAST_GROUPS,
    ItemMetric,
    average_precision,
    change,
    cmap,
    compare,
    draws,
    estimate,
    interval,
    leakage,
    mean,
    mean_leakage,
    seeds_needed,
    t_half_width,
)


def names(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def precision_by_hand(scores: list[float], labels: list[int]) -> float:
    """Over the positives: the share of positives among those that score as high or higher."""
    each = [
        sum(truth for score, truth in zip(scores, labels, strict=True) if score >= own) / sum(score >= own for score in scores)
        for own, positive in zip(scores, labels, strict=True)
        if positive
    ]
    return sum(each) / len(each)


SCORES = [0.9, 0.7, 0.7, 0.4, 0.4, 0.1]


@pytest.mark.parametrize("labels", [[1, 0, 0, 1, 0, 0], [0, 1, 1, 0, 0, 1], [1, 1, 0, 1, 0, 1]])
def test_chance_is_the_mean_over_all_exchanges_of_labels(labels: list[int]) -> None:
    """Items that are each of their own source: every order of the labels is as likely."""
    every = np.ones((1, 6), dtype=bool)
    precision, chance = average_precision(np.array(SCORES), np.array(labels, float), names(6), every)
    orders = [precision_by_hand(SCORES, list(order)) for order in set(itertools.permutations(labels))]
    assert precision[0] == pytest.approx(precision_by_hand(SCORES, labels))
    assert chance[0] == pytest.approx(np.mean(orders))
    assert chance[0] > np.mean(labels)


def test_chance_of_whole_groups_is_the_mean_over_exchanges_of_their_labels() -> None:
    """Two items a group with one label: a ranking of groups has more by luck than one of items."""
    scores, groups = np.array([0.9, 0.8, 0.6, 0.5, 0.3, 0.2, 0.15, 0.1]), list("aabbccdd")
    labels = np.repeat([1.0, 0.0, 1.0, 0.0], 2)
    chance = average_precision(scores, labels, groups, np.ones((1, 8), dtype=bool))[1][0]
    orders = [
        precision_by_hand(scores.tolist(), np.repeat(order, 2).tolist()) for order in itertools.permutations([1, 0, 1, 0])
    ]
    assert chance == pytest.approx(np.mean(orders))
    alone = average_precision(scores, labels, names(8), np.ones((1, 8), dtype=bool))[1][0]
    assert chance > alone > 0.5


def test_who_tells_nobody_apart_is_at_chance_exactly() -> None:
    labels = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
    for groups in (names(5), ("a", "a", "b", "b", "c")):
        precision, chance = average_precision(np.full(5, 0.3), labels, groups, np.ones((1, 5), dtype=bool))
        assert precision[0] == chance[0] == 0.4


def test_only_chosen_items_count() -> None:
    scores, labels = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.0, 1.0, 0.0, 1.0])
    kept = np.array([[True, True, True, True], [False, True, True, True], [True, False, True, False]])
    third = average_precision(scores[:3], np.array([0.0, 0.0, 1.0]), names(3), kept[:1, :3])[0]
    assert third[0] == 0.333333333333, "twelve digits: where nothing is told precision and chance are equal to the last bit"
    precision = average_precision(scores, labels, names(4), kept)[0]
    assert precision[:2].tolist() == [pytest.approx((1 / 2 + 2 / 4) / 2), pytest.approx((1 + 2 / 3) / 2)]
    assert math.isnan(precision[2])


def test_the_figures_of_two_attributes_and_one_that_everybody_has() -> None:
    """a: ranked perfectly; b: the one positive is last of four; c: no negative, so it counts nowhere."""
    probabilities = np.array([[0.9, 0.8, 0.5], [0.6, 0.7, 0.5], [0.5, 0.6, 0.5], [0.1, 0.2, 0.5]])
    labels = np.array([[1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    found = leakage_of(probabilities, labels, ("a", "b", "c"), names(4))
    assert found.ap == {"a": 1.0, "b": 0.25}
    # the expected average precision of two positives among four at random, and of one: the mean of 1/1, 1/2, 1/3, 1/4
    two = np.mean([precision_by_hand([4, 3, 2, 1], list(order)) for order in set(itertools.permutations([1, 1, 0, 0]))])
    one = (1 + 1 / 2 + 1 / 3 + 1 / 4) / 4
    assert found.ap_chance == {"a": pytest.approx(two), "b": pytest.approx(one)}
    assert (found.cmap, found.chance_cmap) == (0.625, pytest.approx((two + one) / 2))
    assert found.leakage == pytest.approx((0.625 - (two + one) / 2) / (1 - (two + one) / 2))
    assert (found.prevalences, found.prevalence) == ({"a": 0.5, "b": 0.25}, 0.375)
    assert found.skipped == ("c",)
    # a: three are said to have it, 0.5 counts as yes, and two have it; b: three are said to, and none of them has it
    assert found.macro_f1 == pytest.approx((2 * 2 / (2 * 2 + 1 + 0) + 0.0) / 2)


@pytest.mark.parametrize(("threshold", "f1"), [(0.5, 0.8), (0.55, 1.0), (0.95, 0.0), (0.0, 2 / 3)])
def test_f1_at_a_threshold(threshold: float, f1: float) -> None:
    labels, probabilities = np.array([[1.0], [1.0], [0.0], [0.0]]), np.array([[0.9], [0.6], [0.5], [0.1]])
    assert leakage_of(probabilities, labels, ("a",), names(4), threshold).macro_f1 == pytest.approx(f1)


def test_macro_f1_is_the_mean_of_f1_and_not_the_f1_of_all() -> None:
    """a: nine of ten have it, and all are said to; b: one of ten has it, and nobody is said to."""
    labels = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    probabilities = np.array([[0.9, 0.1]] * 10)
    macro, micro = (2 * 9 / (2 * 9 + 1) + 0.0) / 2, 2 * 9 / (2 * 9 + 1 + 1)
    assert leakage_of(probabilities, labels, ("a", "b"), names(10)).macro_f1 == pytest.approx(macro)
    assert macro != pytest.approx(micro, abs=0.1)


GROUPS = tuple("aabbccddeeff")
RIGHT = [1, 1, 1, 0, 1, 0, 0, 0, 1, 1, 0, 1]


def by_hand(values: list[float], groups: tuple[str, ...]) -> tuple[float, float, float]:
    """The mean, and the ends of its interval: a t interval on the logit scale, of the jackknife's standard error by group."""
    each = [np.mean([v for v, g in zip(values, groups, strict=True) if g != left]) for left in dict.fromkeys(groups)]
    count, value = len(each), float(np.mean(values))
    error = math.sqrt((count - 1) / count * sum((x - np.mean(each)) ** 2 for x in each))
    reach = stats.t.ppf(0.975, count - 1) * error / (value * (1 - value))
    ends = [1 / (1 + math.exp(-(math.log(value / (1 - value)) + side * reach))) for side in (-1, 1)]
    return value, ends[0], ends[1]


def test_the_interval_of_an_accuracy_by_group() -> None:
    found = interval(mean(names(12), GROUPS, RIGHT))
    value, low, high = by_hand(list(map(float, RIGHT)), GROUPS)
    assert (found.value, found.low, found.high) == (pytest.approx(value), pytest.approx(low), pytest.approx(high))
    assert (found.items, found.groups, found.lacking) == (12, 6, "")
    alone = interval(mean(names(12), names(12), RIGHT))
    assert found.high - found.low > alone.high - alone.low, "items of one group are no independent evidence"


def test_the_interval_of_a_leakage_is_that_of_what_was_reached_counted_from_chance() -> None:
    """With the same chance for all items, leakage is a share on another scale: so are the ends of its interval."""
    share, chance = interval(mean(names(12), GROUPS, RIGHT)), 0.25
    found = interval(mean_leakage(names(12), GROUPS, RIGHT, [chance] * 12))
    wanted = [(end - chance) / (1 - chance) for end in (share.value, share.low, share.high)]
    assert [found.value, found.low, found.high] == pytest.approx(wanted)
    for right in (0.0, 1.0):
        end = interval(mean_leakage(names(6), names(6), [right] * 6, [chance] * 6))
        edge = 0.025 ** (1 / 6)
        ends = (edge, 1.0) if right else (0.0, 1 - edge)
        assert (end.low, end.high) == pytest.approx([(share - chance) / (1 - chance) for share in ends])


def test_groups_are_left_out_one_by_one_or_in_two_hundred_blocks() -> None:
    for groups, rows in ((199, 199), (200, 200), (201, 200), (1000, 200)):
        asked: list[np.ndarray] = []

        def metric(kept: np.ndarray, asked: list[np.ndarray] = asked) -> np.ndarray:
            asked.append(kept)
            return kept.mean(axis=1) / 2

        interval(ItemMetric(names(2 * groups), tuple(str(n % groups) for n in range(2 * groups)), metric))
        [kept] = asked
        assert kept[0].all()
        assert len(kept) - 1 == rows
        assert ((~kept[1:]).sum(axis=0) == 1).all(), "each item is left out once"
        assert (kept[:, :groups] == kept[:, groups:]).all(), "with its group"
        left = (~kept[1:]).sum(axis=1)
        assert left.max() - left.min() <= 2, "blocks differ by one group at most"


@pytest.mark.parametrize("groups", [1, LEAST_GROUPS - 1])
def test_few_groups_have_no_interval_and_it_is_said(groups: int) -> None:
    found = interval(mean(names(12), [str(number % groups) for number in range(12)], RIGHT))
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert f"of {groups} sources" in found.lacking
    assert interval(mean(names(12), [str(number % LEAST_GROUPS) for number in range(12)], RIGHT)).lacking == ""
    assert LEAST_GROUPS == 5


def test_at_the_end_of_the_range_the_other_end_is_that_of_clopper_and_pearson() -> None:
    found = interval(mean(names(12), GROUPS, [1] * 12))
    assert (found.low, found.high) == (pytest.approx(0.025 ** (1 / 6)), 1.0)
    none = interval(mean(names(12), GROUPS, [0] * 12))
    assert (none.low, none.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 6)))


def test_a_figure_without_spread_is_both_ends_of_its_interval_to_the_last_bit() -> None:
    """Who tells nobody apart has a leakage of 0, and no end above it, which would be a sign of learning, or below it."""
    for chance in np.arange(1, 400) / 401:
        found = interval(mean_leakage(names(6), names(6), [chance] * 6, [chance] * 6))
        assert (found.value, found.low, found.high) == (0.0, 0.0, 0.0), chance


def test_the_leakage_of_a_search_is_that_of_the_means() -> None:
    hits, chances = [1.0, 0.0, 1.0, 1.0, 0.5, 0.5], [0.5, 0.25, 0.25, 0.5, 0.25, 0.25]
    chance = sum(chances) / 6
    assert interval(mean_leakage(names(6), names(6), hits, chances)).value == pytest.approx((4 / 6 - chance) / (1 - chance))


def test_leakage_and_cmap_by_item_are_those_of_the_figures() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((30, 2)) < 0.4).astype(float)
    probabilities, groups = (labels + random.random((30, 2))) / 2, [str(number // 3) for number in range(30)]
    found = leakage_of(probabilities, labels, ("a", "b"), groups)
    assert interval(leakage(names(30), groups, probabilities, labels)).value == pytest.approx(found.leakage)
    assert interval(cmap(names(30), groups, probabilities, labels)).value == pytest.approx(found.cmap)


def test_two_trials_on_the_same_items() -> None:
    """Ten groups of one item; the first trial is right where the second is not, in three of them, and the reverse in one."""
    first, second = [1, 1, 1, 1, 1, 0, 0, 1, 0, 0], [0, 0, 0, 1, 1, 0, 0, 1, 1, 0]
    found = compare(mean(names(10), names(10), first), mean(names(10), names(10), second))
    differences = [a - b for a, b in zip(first, second, strict=True)]
    t, p = stats.ttest_1samp(differences, 0.0)
    assert found.difference.value == pytest.approx(0.2)
    assert found.p == pytest.approx(p)
    assert found.first_larger == pytest.approx(stats.t.cdf(t, 9))
    reach = stats.t.ppf(0.975, 9) * np.std(differences, ddof=1) / math.sqrt(10)
    assert (found.difference.low, found.difference.high) == (pytest.approx(0.2 - reach), pytest.approx(0.2 + reach))
    back = compare(mean(names(10), names(10), second), mean(names(10), names(10), first))
    assert (back.difference.value, back.p, back.first_larger) == (
        pytest.approx(-0.2),
        pytest.approx(found.p),
        pytest.approx(1 - found.first_larger),
    )


def test_two_trials_are_compared_group_by_group() -> None:
    """Twelve items in six groups: the standard error is that of leaving out one group, the freedom one less than groups."""
    other = [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]
    found = compare(mean(names(12), GROUPS, RIGHT), mean(names(12), GROUPS, other))
    differences = [a - b for a, b in zip(RIGHT, other, strict=True)]
    value = sum(differences) / 12
    without = [np.mean([d for d, g in zip(differences, GROUPS, strict=True) if g != left]) for left in dict.fromkeys(GROUPS)]
    error = math.sqrt(5 / 6 * sum((x - np.mean(without)) ** 2 for x in without))
    assert found.difference.value == pytest.approx(value)
    assert found.difference.low == pytest.approx(value - stats.t.ppf(0.975, 5) * error)
    assert found.p == pytest.approx(2 * stats.t.sf(value / error, 5))
    assert (found.difference.items, found.difference.groups) == (12, 6)


def test_trials_are_compared_on_the_items_of_both_and_the_others_are_counted() -> None:
    first = mean(("x", "a", "b", "c", "d", "e", "f"), ("9", *"123456"), [1, 1, 0, 1, 1, 0, 1])
    second = mean(("f", "e", "d", "c", "b", "a", "y", "z"), (*"654321", "7", "8"), [0, 0, 1, 0, 1, 0, 1, 1])
    found = compare(first, second)
    assert (found.first.value, found.second.value, found.left_out) == (pytest.approx(4 / 6), pytest.approx(2 / 6), 3)
    assert (found.first.items, found.first.groups) == (6, 6)
    back = compare(second, first)
    assert (back.first.value, back.second.value, back.left_out) == (pytest.approx(2 / 6), pytest.approx(4 / 6), 3)
    longer = mean(("y", "z", *"abcdef"), names(8), [0, 0, 1, 0, 1, 1, 0, 1])
    assert compare(longer, first).first.value == pytest.approx(4 / 6), "the last items are among those of both"
    with pytest.raises(ValueError, match="no test item in common"):
        compare(first, mean(("q",), ("q",), [1]))


def test_no_difference_has_no_small_p() -> None:
    one = mean(names(8), names(8), [1, 0, 1, 0, 1, 0, 1, 1])
    assert compare(one, one).p == 1.0
    assert compare(one, one).first_larger == 0.5


def test_intervals_over_seeds() -> None:
    values, others = [0.5, 0.6, 0.7], [0.2, 0.4]
    found = estimate(values)
    assert (found.mean, found.n) == (pytest.approx(0.6), 3)
    assert found.half_width == pytest.approx(stats.t.ppf(0.975, 2) * 0.1 / math.sqrt(3))
    assert estimate([*values, math.nan]) == found
    assert math.isnan(estimate([0.5]).half_width)
    welch = stats.ttest_ind(values, others, equal_var=False).confidence_interval(0.95)
    changed = change(values, others)
    assert (changed.mean, changed.n) == (pytest.approx(0.3), 2)
    assert changed.half_width == pytest.approx((welch.high - welch.low) / 2)
    assert math.isnan(change(values, [0.2]).half_width)
    assert float(t_half_width((np.float64(0.0), 2))) == estimate([0.5, 0.5]).half_width == 0.0
    assert math.isnan(float(t_half_width((np.float64(0.0), 1))))
    for nothing in (estimate([]), estimate([math.nan]), change([], [0.5]), change([0.5], [math.nan])):
        assert (math.isnan(nothing.mean), math.isnan(nothing.half_width), nothing.n) == (True, True, 0)
    assert (change([0.75], [0.5]).mean, change([0.75], [0.5]).n) == (0.25, 1)


def test_seeds_are_drawn_as_many_as_there_are_a_thousand_times_and_alike() -> None:
    for n in (1, 4):
        drawn = draws(n)
        assert drawn.shape == (1000, n)
        assert (drawn.sum(axis=1) == n).all()
        assert drawn.mean(axis=0) == pytest.approx(1.0, abs=0.1)
        assert (drawn == draws(n)).all()


def test_the_seeds_that_a_difference_needs() -> None:
    """An effect of one standard deviation takes ten pairs for a power of 80 %, of two five (Cohen, 1988)."""
    one = np.array([-1.0, 0.0, 1.0]) + 1.0
    two = np.array([-1.0, 0.0, 1.0]) + 2.0
    assert (seeds_needed(one), seeds_needed(two)) == (10, 5)
    assert [seeds_needed(effect + two - 2.0) for effect in (0.08870, 0.08866)] == [1000, None], "a thousand are the most"
    assert seeds_needed(two + 40.0) == 2
    assert seeds_needed([1.0]) is None
    assert seeds_needed([1.0, -1.0]) is None
    assert seeds_needed([0.5, 0.5]) == 2
