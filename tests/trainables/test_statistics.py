"""Chance, intervals over groups of test items, two trials item by item, and the number of seeds."""

import math
from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from trainables import statistics
from trainables.metrics import leakage_of
from trainables.statistics import LEAST_GROUPS, Interval, ItemMetric, average_precision, compare, interval, seeds_needed

Array = np.ndarray


def right_or_wrong(right: Sequence[float], groups: list[str] | None = None, first: int = 0) -> ItemMetric:
    names = [f"v{first + number}" for number in range(len(right))]
    return statistics.mean(names, groups or names, right)


def attributes(n: int, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    labels = (random.random((n, 3)) < 0.4).astype(float)
    return np.clip(0.3 * labels + random.random((n, 3)) * 0.7, 0, 1).round(1), labels  # rounded: with many equal ones


def names(n: int) -> list[str]:
    return [str(number) for number in range(n)]


def every(n: int) -> Array:
    return np.ones((1, n), dtype=bool)


# Average precision and chance.


def test_average_precision_is_that_of_scikit_learn_in_every_selection() -> None:
    probabilities, labels = attributes(30)
    kept = np.random.default_rng(1).random((5, 30)) < 0.6
    found, _ = average_precision(probabilities[:, 0], labels[:, 0], names(30), kept)
    for row, value in zip(kept, found, strict=True):
        assert value == pytest.approx(average_precision_score(labels[row, 0], probabilities[row, 0]), abs=1e-9)


def mean_over_all_orders(scores: list[float], labels: list[float]) -> float:
    orders = list(permutations(labels))
    return float(np.mean([average_precision_score(order, scores) for order in orders]))


@pytest.mark.parametrize("scores", [[6, 5, 4, 3, 2, 1], [3, 3, 3, 2, 2, 1], [1, 1, 1, 1, 1, 1]])
def test_chance_is_the_mean_over_all_orders_of_the_labels(scores: list[float]) -> None:
    labels = [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    _, chance = average_precision(np.array(scores, dtype=float), np.array(labels), names(6), every(6))
    assert chance[0] == pytest.approx(mean_over_all_orders(scores, labels), abs=1e-9)


def test_chance_of_whoever_ranks_groups_is_the_mean_over_all_orders_of_the_groups() -> None:
    """Three clips of each of five people, two of whom have the attribute; all clips of a person score alike."""
    groups = [f"p{number // 3}" for number in range(15)]
    scores = np.repeat([5.0, 4.0, 3.0, 2.0, 1.0], 3)
    people = [1.0, 1.0, 0.0, 0.0, 0.0]
    wanted = np.mean([average_precision_score(np.repeat(order, 3), scores) for order in permutations(people)])
    _, by_group = average_precision(scores, np.repeat(people, 3), groups, every(15))
    _, by_item = average_precision(scores, np.repeat(people, 3), names(15), every(15))
    assert by_group[0] == pytest.approx(wanted, abs=1e-9)
    assert by_item[0] < by_group[0] - 0.05


def test_chance_by_hand() -> None:
    """Two items, one positive: it is first or second, so that the guesser has (1 + 1/2) / 2."""
    _, chance = average_precision(np.array([0.9, 0.1]), np.array([0.0, 1.0]), names(2), every(2))
    assert chance[0] == 0.75


@pytest.mark.parametrize("n", [7, 29, 97])
def test_predictions_that_say_nothing_are_at_chance_to_the_last_bit(n: int) -> None:
    labels = (np.random.default_rng(n).random((n, 5)) < 0.3).astype(float)
    groups = [f"g{number // 2}" for number in range(n)]
    found = interval(statistics.leakage(names(n), groups, np.full((n, 5), 0.7), labels))
    assert found.value == 0.0
    assert leakage_of(np.full((n, 5), 0.7), labels, tuple("abcde"), groups).leakage == 0.0
    if len(set(groups)) >= LEAST_GROUPS:
        assert (found.low, found.high) == pytest.approx((0.0, 0.0), abs=1e-9)


@pytest.mark.parametrize(("people", "clips", "of_group"), [(29, 1, False), (96, 1, False), (12, 8, True), (30, 3, False)])
def test_random_answers_have_no_leakage(people: int, clips: int, of_group: bool) -> None:
    """Of clips whose labels are those of a person, answers drawn for each clip or for each person."""
    random = np.random.default_rng(people)
    person = np.repeat(np.arange(people), clips)
    found = []
    for _ in range(120):
        labels = (random.random((people, 3)) < 0.4).astype(float)[person]
        answers = random.random((people, 3))[person] if of_group else random.random((len(person), 3))
        found.append(interval(statistics.leakage(names(len(person)), list(map(str, person)), answers, labels)).value)
    assert abs(np.mean(found)) < 3 * np.std(found) / math.sqrt(120)
    assert abs(np.mean(found)) < 0.03


def test_leakage_is_that_of_the_groups_selected() -> None:
    probabilities, labels = attributes(40)
    groups = [f"g{number % 10}" for number in range(40)]
    kept = np.tile(np.random.default_rng(2).random((20, 10)) < 0.5, 4)
    found = statistics.leakage(names(40), groups, probabilities, labels).metric(kept)
    for row, leakage in zip(kept, found, strict=True):
        own = [group for group, is_kept in zip(groups, row, strict=True) if is_kept]
        assert leakage == pytest.approx(leakage_of(probabilities[row], labels[row], ("a", "b", "c"), own).leakage)


def test_a_part_of_a_group_cannot_be_selected() -> None:
    """Items that no selection has are as if they were not there: the trials of a comparison may lack some."""
    scores, labels, groups = np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.0, 1.0, 0.0, 1.0]), list("aabb")
    with pytest.raises(ValueError, match="some items of a group that another has"):
        average_precision(scores, labels, groups, np.array([[True, True, True, True], [True, False, True, True]]))
    found, chance = average_precision(scores, labels, groups, np.array([[True, True, True, False]]))
    alone, chance_alone = average_precision(scores[:3], labels[:3], groups[:3], every(3))
    assert (found[0], chance[0]) == (alone[0], chance_alone[0]) == (0.5, pytest.approx((1 + 1 / 2 + 1 / 3) / 3))


def test_figures_are_those_of_the_trial() -> None:
    probabilities, labels = attributes(60)
    labels[:, 2] = 1  # one value only: no average precision
    expected = leakage_of(probabilities, labels, ("a", "b", "c"), names(60))
    for metric, value in ((statistics.leakage, expected.leakage), (statistics.cmap, expected.cmap)):
        assert interval(metric(names(60), names(60), probabilities, labels)).value == pytest.approx(value, abs=1e-12)


# Intervals by group.


def test_interval_of_a_share_is_the_known_one() -> None:
    """The error of a share p of n items is sqrt(p (1 - p) / (n - 1)); on the logit scale it is divided by p (1 - p)."""
    found = interval(right_or_wrong([1.0] * 60 + [0.0] * 40))
    reach = 1.98422 * math.sqrt(0.6 * 0.4 / 99) / (0.6 * 0.4)  # t with 99 degrees of freedom
    expected = [1 / (1 + math.exp(-(math.log(1.5) + side * reach))) for side in (-1, 1)]
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-5)
    assert (found.items, found.groups) == (100, 100)


def test_items_of_one_source_are_no_independent_evidence() -> None:
    right = [1.0] * 60 + [0.0] * 40
    alone = interval(right_or_wrong(right))
    together = interval(right_or_wrong(right, [f"g{number // 10}" for number in range(100)]))
    assert together.groups == 10
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_too_few_groups_have_no_interval_and_say_so() -> None:
    found = interval(right_or_wrong([1.0, 0.0] * 8, [f"g{number % (LEAST_GROUPS - 1)}" for number in range(16)]))
    assert found.value == 0.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert found.lacking == f"the 16 test items are of {LEAST_GROUPS - 1} sources or people, and it takes {LEAST_GROUPS}"
    assert interval(right_or_wrong([1.0, 0.0] * 8)).lacking == ""


def test_a_figure_that_rests_on_one_group_has_no_interval() -> None:
    """Without the only positive item there is no average precision."""
    labels = np.zeros((12, 1))
    labels[0] = 1
    found = interval(statistics.leakage(names(12), names(12), labels * 0.9, labels))
    assert found.value == 1.0
    assert math.isnan(found.low)
    assert "rests on a single one of 12" in found.lacking


def test_a_perfect_figure_has_the_interval_of_clopper_and_pearson() -> None:
    found = interval(right_or_wrong([1.0] * 30))
    assert (found.low, found.high) == pytest.approx((0.025 ** (1 / 30), 1.0))
    found = interval(right_or_wrong([0.0] * 30))
    assert (found.low, found.high) == pytest.approx((0.0, 1 - 0.025 ** (1 / 30)))


def test_many_groups_are_left_out_in_blocks() -> None:
    right = np.random.default_rng(0).random(3000) < 0.7
    found = interval(right_or_wrong(right))
    assert found.groups == 3000
    assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(0.21 / 3000), rel=0.2)


def held(truth: float, metrics: Sequence[ItemMetric]) -> float:
    found = [interval(metric) for metric in metrics]
    return float(np.mean([each.low <= truth <= each.high for each in found]))


def test_coverage_of_an_accuracy_by_source() -> None:
    random = np.random.default_rng(3)
    drawn = []
    for _ in range(150):
        source = np.repeat(np.arange(25), 6)
        easy = random.beta(3, 1.5, 25)[source]  # the truth is 2/3
        drawn.append(right_or_wrong(random.random(150) < easy, list(map(str, source))))
    assert 0.90 <= held(2 / 3, drawn) <= 0.98


@pytest.mark.parametrize(("people", "clips"), [(10, 9), (25, 9)])
def test_coverage_of_leakage_by_person(people: int, clips: int) -> None:
    """Labels are those of a person, scores have a part of the person's and a part of the clip's: the truth is 45.9 %."""
    random = np.random.default_rng(people)
    person = np.repeat(np.arange(people), clips)
    drawn = []
    for _ in range(80):
        labels = (random.random((people, 3)) < 0.4).astype(float)[person]
        noise = (random.normal(size=(people, 3))[person] + random.normal(size=labels.shape)) / math.sqrt(2)
        drawn.append(statistics.leakage(names(len(person)), list(map(str, person)), labels + noise, labels))
    assert 0.88 <= held(0.459, drawn) <= 0.99
    item_by_item = [statistics.leakage(each.items, each.items, labels + noise, labels) for each in drawn[-1:]]
    by_item, by_person = interval(item_by_item[0]), interval(drawn[-1])
    assert by_person.high - by_person.low > 1.3 * (by_item.high - by_item.low)


# Two trials.


def test_pairs_see_what_two_intervals_hide() -> None:
    """A is right wherever B is, and on 8 more of 200: unpaired intervals overlap widely, the paired one excludes zero."""
    b = [1.0] * 100 + [0.0] * 100
    a = [1.0] * 108 + [0.0] * 92
    found = compare(right_or_wrong(a), right_or_wrong(b))
    assert found.first.low < found.second.high
    assert found.difference.low > 0
    assert found.difference.value == pytest.approx(0.04)
    assert found.p < 0.01
    assert found.first_larger > 0.99


def test_p_is_that_of_a_paired_t_test() -> None:
    """The jackknife of a mean is its t interval; p of scipy.stats.ttest_rel for these eight pairs."""
    a, b = [0.9, 0.7, 0.8, 0.6, 0.9, 0.5, 0.7, 0.8], [0.7, 0.8, 0.5, 0.6, 0.6, 0.4, 0.6, 0.7]
    found = compare(right_or_wrong(a), right_or_wrong(b))
    difference = np.subtract(a, b)
    error = difference.std(ddof=1) / math.sqrt(8)
    assert found.difference.high == pytest.approx(difference.mean() + 2.364624 * error, abs=1e-6)
    from scipy.stats import ttest_rel

    assert found.p == pytest.approx(ttest_rel(a, b).pvalue)


def test_equal_trials_do_not_differ() -> None:
    same = compare(right_or_wrong([1.0, 0.0] * 20), right_or_wrong([1.0, 0.0] * 20))
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)
    assert (same.first_larger, same.p) == (0.5, 1.0)


def test_no_p_below_that_of_a_sign_test() -> None:
    found = compare(right_or_wrong([1.0] * 6), right_or_wrong([0.0] * 6))
    assert found.p == 2**-5


def test_trials_meet_on_the_items_both_were_asked() -> None:
    found = compare(right_or_wrong([1, 1, 1, 0], first=0), right_or_wrong([0, 0, 1, 1], first=2))  # v2 and v3 are common
    assert (found.first.items, found.left_out) == (2, 4)
    assert (found.first.value, found.second.value) == (0.5, 0.0)
    assert math.isnan(found.difference.low)
    assert math.isnan(found.p)
    with pytest.raises(ValueError, match="no test item in common"):
        compare(right_or_wrong([1.0]), right_or_wrong([1.0], first=5))


def test_a_comparison_of_equally_good_trials_finds_a_difference_in_one_of_twenty() -> None:
    random = np.random.default_rng(5)
    found = 0
    for _ in range(200):
        source = list(map(str, np.repeat(np.arange(30), 5)))
        easy = np.repeat(random.random(30), 5)
        a, b = ((random.random(150) < easy).astype(float) for _ in range(2))
        found += compare(right_or_wrong(a, source), right_or_wrong(b, source)).p < 0.05
    assert 0.02 <= found / 200 <= 0.08


# Seeds.


@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)])
def test_seeds_needed_are_those_of_power_tables(effect: float, seeds: int) -> None:
    """Paired t-test, two-sided 5 %, power 80 %: the values of G*Power."""
    spread = np.array([-1.0, 0.0, 1.0])  # sd 1
    assert seeds_needed(effect + spread) == seeds
    assert seeds_needed(-effect - spread) == seeds


def test_seeds_needed_where_nothing_can_be_said() -> None:
    assert seeds_needed([0.1]) is None
    assert seeds_needed([0.1, -0.1]) is None
    assert seeds_needed([0.0001, 0.2, -0.2]) is None
    assert seeds_needed([0.1, 0.1, math.nan]) == 2


# A share of what was measured elsewhere.


def around(value: float, half: float) -> Interval:
    return Interval(value, value - half, value + half, 0, 0)


def test_a_share_has_fieller_s_interval_where_both_intervals_are_symmetric() -> None:
    """Its ends are the roots r of `(a - r b)^2 = h_a^2 + r^2 h_b^2`."""
    found = statistics.share(around(0.3, 0.1), around(0.6, 0.12))
    roots = np.sort(np.roots([0.6**2 - 0.12**2, -2 * 0.3 * 0.6, 0.3**2 - 0.1**2]))
    assert (found.value, found.low, found.high) == pytest.approx((0.5, *roots))


@pytest.mark.parametrize("part", [Interval(0.3, 0.2, 0.5, 0, 0), Interval(0.1, -0.1, 0.2, 0, 0), Interval(0.7, 0.5, 0.8, 0, 0)])
@pytest.mark.parametrize("whole", [Interval(0.6, 0.5, 0.7, 0, 0), Interval(0.4, 0.1, 0.9, 0, 0)])
def test_at_the_ends_of_a_share_the_part_cannot_be_told_from_the_share_of_the_whole(part: Interval, whole: Interval) -> None:
    found = statistics.share(part, whole)
    for share, end in ((found.low, "low"), (found.high, "high")):
        low, high = sorted((share * whole.low, share * whole.high))
        difference = statistics.apart(part, Interval(share * whole.value, low, high, 0, 0))
        assert getattr(difference, end) == pytest.approx(0, abs=1e-9)


def test_a_share_of_an_exact_whole_and_of_one_without_an_interval() -> None:
    part = Interval(0.3, 0.2, 0.5, 0, 0)
    for whole in (around(0.5, 0.0), Interval(0.5, math.nan, math.nan, 0, 0)):
        found = statistics.share(part, whole)
        assert (found.value, found.low, found.high) == pytest.approx((0.6, 0.4, 1.0))


def test_the_interval_of_a_share_covers_and_that_of_the_part_alone_does_not() -> None:
    random = np.random.default_rng(0)
    parts, wholes = random.normal(0.3, 0.05, 4000), random.normal(0.6, 0.1, 4000)
    found = [statistics.share(around(p, 1.96 * 0.05), around(w, 1.96 * 0.1)) for p, w in zip(parts, wholes, strict=True)]
    assert np.mean([each.low <= 0.5 <= each.high for each in found]) == pytest.approx(0.95, abs=0.01)
    assert np.mean(np.abs(parts / wholes - 0.5) <= 1.96 * 0.05 / wholes) < 0.85
