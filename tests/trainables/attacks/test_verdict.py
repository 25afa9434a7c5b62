"""The verdict on attacks: controls, and who is the strongest. How often they err: test_coverage.py."""

from __future__ import annotations

import math

import numpy as np

from tests.benchmarks.coverage import Clips, attacked, result_of
from trainables.attacks.shared.verdict import Candidate, figures_of, holds, worst_of


def test_an_attack_that_reads_passes_the_positive_control_and_no_negative_one() -> None:
    found = attacked(np.random.default_rng(0), Clips(40, 9, 1.0, 0.5), 1.5)
    assert holds("raw", found)
    assert not holds("permuted", found)
    assert not holds("blank", found)


def test_controls_of_too_few_people_hold_only_where_nothing_is_read() -> None:
    few = Clips(4, 9)
    found = attacked(np.random.default_rng(0), few, 2.0)
    assert found.sure.lacking
    assert not holds("raw", found)
    assert not holds("blank", found)
    nothing = figures_of(result_of([np.full((36, 1), 0.5)], np.tile([[0.0], [1.0]], (18, 1)), few.who, [math.nan]))
    assert nothing.leakage == 0.0
    assert holds("blank", nothing)


def test_the_member_that_counts_is_chosen_on_validation_items() -> None:
    labels = np.tile([[0.0], [1.0]], (20, 1))
    right, wrong = labels * 0.9, 1 - labels
    assert figures_of(result_of([right, wrong], labels, range(40), [0.1, 0.2])).leakage < 0
    assert figures_of(result_of([right, wrong], labels, range(40), [math.nan, 0.2])).member == 1
    assert figures_of(result_of([right, wrong], labels, range(40), [math.nan, math.nan])).member == 0


def test_the_strongest_attacker_is_chosen_on_validation_data_and_reported_on_test_data() -> None:
    candidates = [
        Candidate("leakage", 0.4, 0.3, 0.5, 0.2),
        Candidate("attack.retrained", 0.3, 0.2, 0.4, 0.6),
        Candidate("attack.probe", 0.9, 0.8, 1.0, math.nan),
    ]
    assert worst_of(candidates) == {
        "worst_leakage": 0.3,
        "worst_leakage_low": 0.2,
        "worst_leakage_high": 0.4,
        "validation_worst_leakage": 0.6,
        "strongest.attack.retrained": 1.0,
    }
    assert worst_of([Candidate("leakage", 0.4, math.nan, math.nan, math.nan)]) == {
        "worst_leakage": 0.4,
        "strongest.leakage": 1.0,
    }


def test_of_equal_attackers_the_chosen_one_is_not_above_the_truth() -> None:
    """The largest of eight test figures is: by 1.4 standard deviations."""
    random = np.random.default_rng(0)
    chosen, largest = [], []
    for _ in range(400):
        drawn = [Candidate(str(n), *random.normal(size=1), math.nan, math.nan, *random.normal(size=1)) for n in range(8)]
        chosen.append(worst_of(drawn)["worst_leakage"])
        largest.append(max(each.leakage for each in drawn))
    assert abs(np.mean(chosen)) < 0.15
    assert np.mean(largest) > 1.2
