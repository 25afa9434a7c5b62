"""Telling training clips from others by one number of each."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from analysis.measure.membership import MembershipFigures, membership_figures


def figures(inside: list[float], outside: list[float], each: int = 1) -> MembershipFigures:
    """`each`: consecutive items of a group."""
    score = np.array([*inside, *outside])
    names = [f"clip {number}" for number in range(len(score))]
    member = np.arange(len(score)) < len(inside)
    groups = [f"{is_member} {number // each}" for number, is_member in enumerate(member)]
    return membership_figures(names, groups, member, score)


def test_the_auc_is_that_of_the_roc_curve_and_equal_scores_count_half() -> None:
    random = np.random.default_rng(0)
    inside, outside = random.integers(0, 6, 30).tolist(), random.integers(0, 5, 50).tolist()
    found = figures(inside, outside)
    assert found.auc.value == pytest.approx(roc_auc_score([1] * 30 + [0] * 50, inside + outside))
    assert found.auc.low < found.auc.value < found.auc.high
    assert figures([1.0] * 10, [1.0] * 10).auc.value == 0.5


def test_the_share_found_is_that_above_all_but_a_hundredth_of_the_others() -> None:
    others = [float(number) for number in range(200)]  # two of 200 may pass: the third highest is 197
    assert figures([198.0, 197.5, 197.0, 3.0], others).found == 0.5
    assert figures([99.0, 98.5], [float(number) for number in range(99)]).found == 1.0, "of fewer than 100 none may pass"
    assert figures([98.0, 97.0], [float(number) for number in range(99)]).found == 0.0


def test_the_interval_is_by_group() -> None:
    random = np.random.default_rng(1)
    inside, outside = (np.repeat(random.normal(shift, 1.0, 20), 4).tolist() for shift in (0.5, 0.0))
    alone, grouped = figures(inside, outside), figures(inside, outside, each=4)
    assert alone.auc.value == grouped.auc.value
    assert grouped.auc.high - grouped.auc.low > 1.5 * (alone.auc.high - alone.auc.low), "four copies are no evidence"


def test_it_holds_one_half_where_nothing_is_told() -> None:
    """95 % of 200 intervals, within what chance allows."""
    random = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        found = figures(random.normal(size=40).tolist(), random.normal(size=40).tolist()).auc
        held += found.low <= 0.5 <= found.high
    assert 0.91 <= held / 200 <= 0.99


def test_members_alone_are_told_from_nobody() -> None:
    with pytest.raises(ValueError, match="members and others"):
        figures([1.0], [])
