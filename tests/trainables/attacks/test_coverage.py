"""Random answers and intervals through the code of the verdict: a small share of what `make coverage` draws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from tests.benchmarks.coverage import (
    SIMULATIONS,
    Clips,
    attacked,
    found_again,
    held,
    linkage,
    simulated,
    true_leakage,
)
from trainables.attacks.shared.verdict import AttackFigures, figures_of, holds
from trainables.statistics import above_chance


@pytest.mark.parametrize(
    "clips", [Clips(29, 1), Clips(96, 1), Clips(360, 1), Clips(25, 6, 1.0, 0.5)], ids=lambda clips: clips.text
)
def test_random_answers_leak_nothing_and_pass_no_positive_control(clips: Clips) -> None:
    """Against the prevalence they would leak 11, 4, 2 and 9 points."""
    random = np.random.default_rng(clips.people)
    found = [attacked(random, clips, 0.0) for _ in range(60)]
    leakages = [each.leakage for each in found]
    bound = 3 * np.std(leakages) / math.sqrt(60)
    assert abs(np.mean(leakages)) < bound
    assert np.mean([above_chance(each.score, _prevalence(each)) for each in found]) > bound
    assert np.mean([holds("raw", each) for each in found]) <= 0.06
    assert np.mean([holds("permuted", each) for each in found]) >= 0.94


def _prevalence(found: AttackFigures) -> float:
    assert found.result.labels is not None
    return float(found.result.labels.mean())


@pytest.mark.parametrize("signal", [0.0, 1.0])
def test_intervals_of_leakage_hold_the_truth_by_person_and_not_by_clip(signal: float) -> None:
    random, clips = np.random.default_rng(6), Clips(25, 9, 1.0, 0.5)
    check([attacked(random, clips, signal) for _ in range(60)], true_leakage(signal))


def test_intervals_of_linkage_hold_the_truth_by_person_and_not_by_clip() -> None:
    random = np.random.default_rng(5)
    found = [found_again(random, 25, 14, 1.0) for _ in range(120)]
    check(found, float(np.mean([each.leakage for each in found])))


def check(found: Sequence[AttackFigures], truth: float) -> None:
    """95 % hold it; 85 % of 60 are 3.5 standard deviations less. The same data as if each clip were of a source of its own."""
    assert held([each.sure for each in found], truth) >= 85
    by_clip = [figures_of(replace(each.result, groups=each.result.ids)).sure for each in found[::2]]
    assert held(by_clip, truth) <= 80


def test_the_draws_of_a_simulation_depend_on_nothing_but_its_name() -> None:
    first, other = partial(linkage, 10, 8, 0.5), partial(linkage, 10, 8, 1.0)
    again = simulated(first, 3)
    simulated(other, 3)
    assert simulated(first, 3) == again
    assert simulated(other, 3) != again


def test_no_two_simulations_have_one_name() -> None:
    names = [(simulation.func, simulation.args) for simulation in SIMULATIONS]
    assert len(set(names)) == len(names)
