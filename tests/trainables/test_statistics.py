"""Bootstrap over groups of test items, two trials item by item, and the number of seeds."""

import math

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from trainables import statistics
from trainables.metrics import leakage_of
from trainables.statistics import ItemMetric, bootstrap, compare, draws, interval, largest, resampled, seeds_needed


def right_or_wrong(right: list[float], groups: list[str] | None = None, first: int = 0) -> ItemMetric:
    names = tuple(f"v{first + number}" for number in range(len(right)))
    return ItemMetric(names, tuple(groups or names), statistics.mean(right))


def attributes(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = (random.random((n, 3)) < 0.4).astype(float)
    return np.clip(0.3 * labels + random.random((n, 3)) * 0.7, 0, 1).round(2), labels  # rounded: with ties


def test_figures_are_those_of_the_trial() -> None:
    probabilities, labels = attributes(60)
    labels[:, 2] = 1  # one value only: no average precision
    expected = leakage_of(probabilities, labels, ("a", "b", "c"))
    once = np.ones((1, 60))
    assert statistics.leakage(probabilities, labels)(once)[0] == pytest.approx(expected.leakage, abs=1e-12)
    assert statistics.cmap(probabilities, labels)(once)[0] == pytest.approx(expected.cmap, abs=1e-12)


def test_weights_count_items_as_often() -> None:
    probabilities, labels = attributes(30)
    weights = np.random.default_rng(1).integers(0, 4, (5, 30)).astype(float)
    found = statistics.cmap(probabilities[:, :1], labels[:, :1])(weights)
    for row, value in zip(weights, found, strict=True):
        drawn = np.repeat(np.arange(30), row.astype(int))
        assert value == pytest.approx(average_precision_score(labels[drawn, 0], probabilities[drawn, 0]), abs=1e-12)


def test_interval_of_a_share_is_the_known_one() -> None:
    """The standard error of a share p of n items is sqrt(p (1 - p) / n)."""
    found = bootstrap(right_or_wrong([1.0] * 60 + [0.0] * 40))
    assert found.value == pytest.approx(0.6)
    assert (found.low, found.high) == pytest.approx((0.6 - 1.96 * 0.049, 0.6 + 1.96 * 0.049), abs=0.02)
    assert found == bootstrap(right_or_wrong([1.0] * 60 + [0.0] * 40))
    assert (found.items, found.groups) == (100, 100)


def test_items_of_one_source_are_no_independent_evidence() -> None:
    right = [1.0] * 60 + [0.0] * 40
    alone = bootstrap(right_or_wrong(right))
    together = bootstrap(right_or_wrong(right, [f"g{number // 10}" for number in range(100)]))
    assert together.groups == 10
    assert together.high - together.low > 2 * (alone.high - alone.low)
    single = bootstrap(right_or_wrong(right, ["g"] * 100))
    assert math.isnan(single.low)
    assert math.isnan(single.high)
    assert single.value == pytest.approx(0.6)


def test_coverage_of_the_interval() -> None:
    """Of a known truth: 95 % intervals of 40 groups hold it in about 95 % of data sets."""
    random = np.random.default_rng(3)
    held = 0
    for _ in range(100):
        level = random.normal(0.5, 0.2, 40)
        found = bootstrap(ItemMetric(tuple(map(str, range(40))), tuple(map(str, range(40))), statistics.mean(level)))
        held += found.low <= 0.5 <= found.high
    assert 88 <= held <= 100


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


def test_equal_trials_do_not_differ() -> None:
    same = compare(right_or_wrong([1.0, 0.0] * 20), right_or_wrong([1.0, 0.0] * 20))
    assert (same.difference.low, same.difference.value, same.difference.high) == (0, 0, 0)
    assert (same.first_larger, same.p) == (0.5, 1.0)


def test_trials_meet_on_the_items_both_were_asked() -> None:
    found = compare(right_or_wrong([1, 1, 1, 0], first=0), right_or_wrong([0, 0, 1, 1], first=2))  # v2 and v3 are common
    assert (found.first.items, found.left_out) == (2, 4)
    assert (found.first.value, found.second.value) == (0.5, 0.0)
    with pytest.raises(ValueError, match="no test item in common"):
        compare(right_or_wrong([1.0]), right_or_wrong([1.0], first=5))


def test_a_draw_without_one_value_of_an_attribute_is_passed_over() -> None:
    labels = np.zeros((12, 1))
    labels[0] = 1
    found = bootstrap(ItemMetric(tuple("abcdefghijkl"), tuple("abcdefghijkl"), statistics.leakage(labels * 0.9, labels)))
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_the_strongest_attacker_is_found_anew_in_every_draw() -> None:
    strong, weak = right_or_wrong([1.0, 1.0, 0.0, 0.0]), right_or_wrong([0.0, 0.0, 1.0], first=2)
    worst = largest([strong, weak])
    assert len(worst.items) == 5
    assert worst.metric(np.ones((1, 5)))[0] == 0.5
    assert worst.metric(np.array([[0.0, 0.0, 0.0, 1.0, 1.0]]))[0] == 0.5  # strong 0, weak 0 of v3 and 1 of v4


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


def test_the_leakage_of_a_resample_is_that_of_its_items() -> None:
    rng = np.random.default_rng(3)
    labels = (rng.random((40, 3)) < 0.4).astype(float)
    probabilities = np.round(rng.random((40, 3)) * 0.6 + labels * 0.2, 1)  # with many equal ones
    counts = draws(range(40))[:50]
    found = statistics.leakage(probabilities, labels)(counts)
    for row, leakage in zip(counts, found, strict=True):
        drawn = np.repeat(np.arange(40), row)
        assert leakage == pytest.approx(leakage_of(probabilities[drawn], labels[drawn], ("a", "b", "c")).leakage)


def test_predictions_that_say_nothing_are_at_chance_in_every_resample() -> None:
    labels = (np.random.default_rng(0).random((30, 2)) < 0.3).astype(float)
    found = resampled(statistics.leakage(np.full((30, 2), 0.7), labels), range(30))
    assert np.abs(found).max() < 1e-12
    assert interval(found, 0.0) == pytest.approx((0.0, 0.0), abs=1e-12)


def test_an_interval_lies_around_the_estimate() -> None:
    low, high = interval(np.linspace(0.2, 0.4, 1001), estimate=0.25)
    assert (low, high) == pytest.approx((0.155, 0.345), abs=1e-3)
