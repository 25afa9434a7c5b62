"""Singling out and linking people by embeddings: figures of the authors' package, of a plain count, and of known truths."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from trainables.attacks.shared import people_at_risk
from trainables.attacks.shared.people_at_risk import (
    CHANCE_SINGLED_OUT,
    PeopleClips,
    RiskPoint,
    linked,
    risk_points,
    singled_out,
)

PEOPLE, WIDTH, EACH = 40, 6, 7


def package_case(clips: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores (P, P) and of calibration (P, P, M): three clips of each are known, the next `clips` are published, and all
    combinations of so many of the rest are calibration. The embeddings have a closed form, so that anybody can repeat it.
    """
    who = np.sin(np.outer(np.arange(1, PEOPLE + 1), np.arange(1, WIDTH + 1)) * 1.7)
    found = who[:, None] + 0.9 * np.cos(np.arange(PEOPLE * EACH * WIDTH).reshape(PEOPLE, EACH, WIDTH) ** 1.5)
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    rest = list(combinations(range(3 + clips, EACH), clips))
    known, published = found[:, :3].mean(axis=1), found[:, 3 : 3 + clips].mean(axis=1)
    calibration = np.stack([found[:, list(chosen)].mean(axis=1) for chosen in rest], axis=1)
    known, published, calibration = (
        each / np.linalg.norm(each, axis=-1, keepdims=True) for each in (known, published, calibration)
    )
    return known @ published.T, np.einsum("pd,qmd->pqm", known, calibration)


@pytest.mark.parametrize(
    ("clips", "among", "expected"),
    [
        (1, 2, 0.8506410256410326),
        (1, 10, 0.5438493626542913),
        (1, 25, 0.3632737308395154),
        (1, 40, 0.275),
        (2, 2, 0.9108974358974441),
        (2, 10, 0.6831725060577561),
        (2, 25, 0.4817803468987095),
        (2, 40, 0.375),
    ],
)
def test_linking_is_that_of_the_package(clips: int, among: int, expected: float) -> None:
    """legal_eval.metrics.linkability.linkability(..., estimator="exact") of voice-anonymization-legal-eval 2.1.0."""
    assert linked(package_case(clips)[0], among).mean() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("clips", "among", "expected"),
    [(1, 5, 0.52), (1, 20, 0.335), (1, 40, 0.35), (2, 5, 0.65), (2, 20, 0.5), (2, 40, 0.425)],
)
def test_singling_out_is_that_of_the_package(clips: int, among: int, expected: float) -> None:
    """legal_eval.metrics.singling_out.singling_out(n_runs=5, seed=0) of the same version, in the draws that it makes."""
    scores, calibration = package_case(clips)
    means = []
    for run in range(5):
        drawn = []
        for row in range(PEOPLE):
            others = np.random.default_rng((0, among, 0, row, run)).choice(PEOPLE - 1, size=among - 1, replace=False)
            drawn.append([row, *np.where(others >= row, others + 1, others)])
        means.append(singled_out(scores, calibration, np.array(drawn)).mean())
    assert np.mean(means) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("among", [1, 2, 4, 6])
def test_linking_is_the_mean_over_all_sets_of_people_and_equal_scores_are_decided_by_lot(among: int) -> None:
    scores = np.random.default_rng(0).integers(0, 4, (6, 6)).astype(float)
    for person, value in enumerate(linked(scores, among)):
        right = []
        for others in combinations([other for other in range(6) if other != person], among - 1):
            there = [scores[person, person], *scores[list(others), person]]
            right.append((there[0] == max(there)) / there.count(max(there)))
        assert value == pytest.approx(np.mean(right), abs=1e-8)


def test_more_people_than_there_are_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="7 people cannot be drawn from 6"):
        linked(np.zeros((6, 6)), 7)


def test_whoever_scores_the_same_is_singled_out_by_lot() -> None:
    """Of three people, one calibration item each: a predicate of the three equal scores holds for each with 1/3."""
    everybody = np.tile(np.arange(3), (3, 1))
    blank = singled_out(np.zeros((3, 3)), np.zeros((3, 3, 1)), everybody)
    assert blank.tolist() == pytest.approx([3 * (1 / 3) * (2 / 3) ** 2] * 3)
    # two of the three score highest in calibration and one is meant: it holds for each of such with 1/2; two are published
    two = singled_out(np.array([[1.0, 1.0, 0.0]] * 3), np.array([[[1.0], [1.0], [0.0]]] * 3), everybody)
    assert two.tolist() == pytest.approx([2 * 0.5 * 0.5] * 3)
    # one published item is above what ties in calibration and one ties: exactly one holds where the tied one does not
    above = singled_out(np.array([[2.0, 1.0, 0.0]] * 3), np.array([[[1.0], [1.0], [0.0]]] * 3), everybody)
    assert above.tolist() == pytest.approx([0.5] * 3)


def world(told: float | None, people: int = 100, clips: int = 6, width: int = 16) -> PeopleClips:
    """`told`: how much a person is to be seen beside a noise of 1 in every number; None of blank frames."""
    random = np.random.default_rng(1)
    who, noise = random.normal(size=(people, 1, width)), random.normal(size=(people, clips, width))
    found = np.ones((people * clips, width)) if told is None else (told * who + noise).reshape(-1, width)
    names = [f"person {number // clips}" for number in range(people * clips)]
    return PeopleClips(found, found, names, names, [number % clips for number in range(people * clips)])


def curve(points: list[RiskPoint], risk: str, clips: int = 1) -> dict[int, RiskPoint]:
    return {point.among: point for point in points if (point.risk, point.clips) == (risk, clips)}


def test_curves_of_known_truth_over_10_to_100_people() -> None:
    """Blank frames at chance, plain ones near 1, and what is partly hidden between them, ordered by how much is told."""
    blank, little, much, plain = (risk_points(world(told)) for told in (None, 0.5, 1.0, 20.0))
    for risk in ("linkability", "singling out"):
        curves = [curve(points, risk) for points in (blank, little, much, plain)]
        assert set(curves[0]) >= {10, 20, 50, 100}
        for among in (10, 20, 50, 100):
            values = [each[among].value for each in curves]
            chance = 1 / among if risk == "linkability" else (1 - 1 / among) ** (among - 1)
            assert values[0] == pytest.approx(chance, abs=1e-6)
            assert curves[0][among].chance == pytest.approx(chance)
            assert values[3] > 0.99
            assert curves[2][among].low <= curves[2][among].value <= curves[2][among].high
            assert curves[1][among].high < curves[2][among].low < curves[2][among].high < values[3]
            assert all(each[among].people == 100 for each in curves)
        assert [curves[2][among].value for among in (10, 20, 50, 100)] == sorted(
            (curves[2][among].value for among in (10, 20, 50, 100)), reverse=True
        ), "among more people a person is harder to find"
    assert curve(blank, "singling out")[100].value == pytest.approx(CHANCE_SINGLED_OUT, abs=0.002)
    assert curve(much, "linkability", 2)[100].low > curve(much, "linkability", 1)[100].high, "two clips tell more than one"


def test_what_tells_nothing_is_not_above_chance() -> None:
    """Noise without a person in it: linking at 1/N; a threshold from a few calibration items makes singling out no easier."""
    points = risk_points(world(0.0))
    for among, point in curve(points, "linkability").items():
        assert point.low <= 1 / among <= point.high
    assert all(point.value < point.chance + 0.02 for point in curve(points, "singling out").values())


def test_points_that_the_clips_do_not_allow_are_not_there() -> None:
    """Two clips are one that is known and one that is published; singling out takes a third to calibrate by."""
    assert {(point.risk, point.clips) for point in risk_points(world(1.0, 10, 2))} == {("linkability", 1)}
    three = {(point.risk, point.clips) for point in risk_points(world(1.0, 10, 4))}
    assert three == {("linkability", 1), ("singling out", 1), ("linkability", 2)}
    assert risk_points(world(1.0, 10, 1)) == []
    assert risk_points(world(1.0, 1, 6)) == []
    few = risk_points(world(1.0, 4, 4))
    assert {point.people for point in few} == {4}
    assert all(math.isnan(point.low) for point in few), "four people leave no interval"


def test_where_the_action_would_tell_the_person_people_of_one_action_are_compared() -> None:
    clips = world(1.0, 12, 4)
    apart = replace(clips, actions=[number // 4 % 2 for number in range(48)])
    assert max(point.among for point in risk_points(clips)) == 12
    assert {point.among for point in risk_points(apart)} == {2, 5, 6}
    assert {point.people for point in risk_points(apart)} == {12}
    # told by the action alone: nothing, where only people of the same action are compared
    by_action = replace(apart, known=np.eye(2)[apart.actions], published=np.eye(2)[apart.actions])
    assert curve(risk_points(by_action), "linkability")[6].value == pytest.approx(1 / 6)


def test_what_is_known_and_what_is_published_are_of_different_clips_and_sources() -> None:
    """A clip is like itself and its source only: who compared a clip with itself would link all."""
    sources = [f"source {number // 2}" for number in range(40)]
    own = np.repeat(np.eye(20), 2, axis=0)
    clips = PeopleClips(
        own, own, [f"person {number // 4}" for number in range(40)], sources, [number % 2 for number in range(40)]
    )
    assert curve(risk_points(clips), "linkability")[10].value == pytest.approx(0.1)


def test_of_very_many_people_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people_at_risk, "_MOST_PEOPLE", 8)
    assert {point.people for point in risk_points(world(1.0, 20, 4))} == {8}
