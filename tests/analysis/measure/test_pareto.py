"""The front, its area, its knee, and how far seeds agree in it, against brute force and by hand."""

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.measure.pareto import (
    MOST_DRAWS,
    QUARTILES,
    Directions,
    attainment,
    covered,
    dominated_share,
    hypervolume,
    knee,
    non_dominated,
    step_line,
    without_gaps,
)

DIRECTIONS: list[Directions] = [("lower", "higher"), ("lower", "lower"), ("higher", "lower"), ("higher", "higher")]
# Few distinct values make ties and duplicates common.
COORDINATE = st.one_of(st.integers(-3, 3).map(float), st.just(math.nan), st.just(-0.0), st.floats(-10, 10))
POINTS = st.lists(st.tuples(COORDINATE, COORDINATE), max_size=12)


def beats(a: tuple[float, float], b: tuple[float, float], directions: Directions) -> bool:
    """The definition, word for word."""
    signs = [1 if direction == "higher" else -1 for direction in directions]
    gains = [sign * (x - y) for sign, x, y in zip(signs, a, b, strict=True)]
    return all(gain >= 0 for gain in gains) and any(gain > 0 for gain in gains)


def area_by_cells(points: list[tuple[float, float]], reference: tuple[float, float], directions: Directions) -> float:
    """Cuts the plane at every coordinate and adds up the cells that some point covers."""
    sign = np.array([1 if direction == "higher" else -1 for direction in directions])
    gains = [sign * (np.array(point) - reference) for point in points if not np.isnan(point).any()]
    gains = [gain for gain in gains if (gain > 0).all()]
    cuts = [sorted({0.0, *(gain[axis] for gain in gains)}) for axis in (0, 1)]
    cells = product(*(list(pairwise(cut)) for cut in cuts))
    return sum((x1 - x0) * (y1 - y0) for (x0, x1), (y0, y1) in cells if any(gain[0] >= x1 and gain[1] >= y1 for gain in gains))


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None)  # cores are shared: a slow moment is no failure
@given(points=POINTS)
def test_front_is_what_no_point_beats(directions: Directions, points: list[tuple[float, float]]) -> None:
    expected = [
        not any(map(math.isnan, point)) and not any(beats(other, point, directions) for other in points) for point in points
    ]
    assert non_dominated(points, directions).tolist() == expected


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None)  # cores are shared: a slow moment is no failure
@given(points=POINTS, reference=st.tuples(st.integers(-3, 3).map(float), st.integers(-3, 3).map(float)))
def test_hypervolume_is_the_sum_of_covered_cells(
    directions: Directions, points: list[tuple[float, float]], reference: tuple[float, float]
) -> None:
    assert hypervolume(points, reference, directions) == pytest.approx(area_by_cells(points, reference, directions))


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None)  # cores are shared: a slow moment is no failure
@given(points=POINTS)
def test_step_line_has_right_angles_and_passes_through_the_front(
    directions: Directions, points: list[tuple[float, float]]
) -> None:
    line = step_line(points, directions)
    assert ((np.diff(line, axis=0) == 0).sum(axis=1) == 1).all()
    on_front = {
        tuple(np.add(point, 0.0)) for point, kept in zip(points, non_dominated(points, directions), strict=True) if kept
    }
    corners = set(map(tuple, line))
    assert on_front <= corners
    # The corners between two settings of the front promise nothing that no setting gives.
    assert all(any(point == corner or beats(point, corner, directions) for point in on_front) for corner in corners)


def test_empty_and_single() -> None:
    assert non_dominated([]).tolist() == []
    assert hypervolume([], (1.0, 0.0)) == 0.0
    assert step_line([]).shape == (0, 2)
    assert non_dominated([[0.4, 0.9]]).tolist() == [True]
    assert step_line([[0.4, 0.9]]).tolist() == [[0.4, 0.9]]
    assert hypervolume([[0.4, 0.9]], (1.0, 0.0)) == pytest.approx(0.54)


def test_ties_and_duplicates_stand_or_fall_together() -> None:
    points = [[0.5, 0.9], [0.5, 0.9], [0.5, 0.8], [0.6, 0.9], [0.7, 0.95], [math.nan, 1.0]]
    assert non_dominated(points).tolist() == [True, True, False, False, True, False]
    assert step_line(points).tolist() == [[0.5, 0.9], [0.7, 0.9], [0.7, 0.95]]


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None)  # cores are shared: a slow moment is no failure
@given(points=st.lists(st.tuples(*[st.one_of(st.integers(-6, 6).map(float), st.just(math.nan))] * 2), max_size=12))
def test_knee_is_the_point_of_the_front_furthest_from_the_line_of_its_ends(
    directions: Directions, points: list[tuple[float, float]]
) -> None:
    found = knee(points, directions)
    sign = [Fraction(1 if direction == "higher" else -1) for direction in directions]
    front = sorted({p for p, kept in zip(points, non_dominated(points, directions), strict=True) if kept})
    if len(front) < 2:
        assert found == (points.index(front[0]) if front else None)
        return
    (ax, ay), (bx, by) = front[0], front[-1]
    # Twice the area of the triangle with both ends, over that of the box: in exact numbers, signed towards better.
    up = {
        (x, y): (sign[0] * Fraction(x - ax) / Fraction(abs(bx - ax)) + sign[1] * Fraction(y - ay) / Fraction(abs(by - ay)))
        for x, y in front
    }
    best = max(up.values())
    if best <= 0:
        assert found is None
    else:
        assert found is not None
        assert found == points.index(points[found])
        assert points[found] == max((p for p in front if up[p] == best), key=lambda p: sign[1] * Fraction(p[1]))


def test_knee_by_hand() -> None:
    assert knee([]) is None
    assert knee([[math.nan, 0.5]]) is None
    assert knee([[0.5, math.nan], [0.4, 0.9], [0.6, 0.8]]) == 1
    assert knee([[0.2, 0.5], [0.8, 0.9]]) is None
    assert knee([[0.2, 0.5], [0.3, 0.85], [0.8, 0.9], [0.3, 0.85], [0.9, 0.1]]) == 1
    assert knee([[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]) is None
    assert knee([[0.0, 0.0], [0.7, 0.3], [1.0, 1.0]]) is None


@settings(deadline=None, max_examples=60)
@given(points=st.lists(st.tuples(st.floats(-0.2, 1.2), st.floats(0, 1)), max_size=8), raw=st.floats(0.1, 1.0))
def test_covered_is_the_share_of_the_rectangle(points: list[tuple[float, float]], raw: float) -> None:
    at_best = [(max(x, 0.0), y) for x, y in points]
    expected = area_by_cells(at_best, (raw, 0.1), ("lower", "higher")) / (raw * 0.9)
    assert covered(points, (raw, 0.1), (0.0, 1.0)) == pytest.approx(expected)
    assert 0 <= covered(points, (raw, 0.1), (0.0, 1.0)) <= 1 + 1e-9


def test_covered_by_hand() -> None:
    assert covered([], (0.8, 0.1), (0.0, 1.0)) == 0
    assert covered([[math.nan, 1.0], [0.4, math.nan]], (0.8, 0.1), (0.0, 1.0)) == 0
    assert covered([[0.8, 0.95]], (0.8, 0.1), (0.0, 1.0)) == 0  # raw itself gains no privacy
    assert covered([[0.4, 0.55]], (0.8, 0.1), (0.0, 1.0)) == pytest.approx(0.25)
    assert covered([[-0.1, 1.0]], (0.8, 0.1), (0.0, 1.0)) == pytest.approx(1)
    assert covered([[0.6, 0.4]], (0.1, 0.8), (1.0, 0.0), ("higher", "lower")) == pytest.approx(0.5 * 0.5 / 0.9 / 0.8 * 0.8)
    for reference in ((0.0, 0.1), (-0.1, 0.1), (0.8, 1.0), (math.nan, 0.1), (0.8, math.nan)):
        assert math.isnan(covered([[0.4, 0.55]], reference, (0.0, 1.0)))


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None, max_examples=60)
@given(rows=st.lists(st.tuples(COORDINATE, COORDINATE, st.sampled_from("abcd")), max_size=9))
def test_attainment_is_what_enough_seeds_equal_or_beat(directions: Directions, rows: list[tuple[float, float, str]]) -> None:
    points, seeds = [row[:2] for row in rows], [row[2] for row in rows]
    surfaces = attainment(points, seeds, (*QUARTILES, 100), directions)
    own = {seed: [p for p, s in zip(points, seeds, strict=True) if s == seed and not any(map(math.isnan, p))] for seed in seeds}
    known = [p for group in own.values() for p in group]
    grid = list(product(sorted({x for x, _ in known}), sorted({y for _, y in known})))
    for percent, corners in surfaces.items():
        attained = [
            place
            for place in grid
            if 100 * sum(any(p == place or beats(p, place, directions) for p in group) for group in own.values())
            >= percent * len(own)
        ]
        expected = {place for place in attained if not any(beats(other, place, directions) for other in attained)}
        assert set(map(tuple, corners)) == expected
        assert len(corners) == len(expected)
        assert (np.diff(corners[:, 0]) > 0).all()


def test_attainment_by_hand() -> None:
    points = [[0.5, 0.9], [0.2, 0.6], [0.5, 0.8], [0.3, 0.6], [0.6, 0.85]]
    surfaces = attainment(points, [0, 0, 1, 1, 2])
    assert surfaces[25].tolist() == [[0.2, 0.6], [0.5, 0.9]]
    assert surfaces[50].tolist() == [[0.3, 0.6], [0.5, 0.8], [0.6, 0.85]]
    assert surfaces[75].tolist() == [[0.6, 0.8]]
    assert [len(corners) for corners in attainment([], []).values()] == [0, 0, 0]
    assert attainment([[0.4, 0.9]], [7])[75].tolist() == [[0.4, 0.9]]
    # A seed without a single known point attains nothing, and counts.
    lost = attainment([[0.4, 0.9], [math.nan, 0.9], [0.1, 1.0]], [0, 1, None], (50, 100))
    assert lost[50].tolist() == [[0.4, 0.9]]
    assert lost[100].shape == (0, 2)


def trials(rows: list[tuple[str, int | None, float, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["setting", "seed", "leakage", "top1"])
    return frame.astype({"seed": "Int64", "leakage": float, "top1": float})


def over_seeds(name: str, pairs: list[tuple[float, float]]) -> list[tuple[str, int | None, float, float]]:
    return [(name, seed, *pair) for seed, pair in enumerate(pairs)]


def share_by_every_draw(table: dict[str, list[tuple[float, float]]], directions: Directions) -> dict[str, float]:
    """The definition, word for word, in exact numbers: every one of the n^n draws."""

    def mean(name: str, axis: int, draw: tuple[int, ...]) -> Fraction | None:
        values = [Fraction(table[name][seed][axis]) for seed in draw if not math.isnan(table[name][seed][axis])]
        return sum(values, Fraction(0)) / len(values) if values else None

    def at(names: list[str], draw: tuple[int, ...]) -> dict[str, tuple[Fraction, Fraction]]:
        means = {name: (mean(name, 0, draw), mean(name, 1, draw)) for name in names}
        return {name: (x, y) for name, (x, y) in means.items() if x is not None and y is not None}

    def beaten(name: str, among: dict[str, tuple[Fraction, Fraction]]) -> bool:
        return name in among and any(beats(other, among[name], directions) for other in among.values())  # type: ignore[arg-type]

    n = len(next(iter(table.values())))
    repeated = [k for k, v in table.items() if all(sum(not math.isnan(p[axis]) for p in v) > 1 for axis in (0, 1))]
    draws = [at(repeated, draw) for draw in product(range(n), repeat=n)]
    found = dict.fromkeys(table, math.nan)
    for name in repeated:
        there = [draw for draw in draws if name in draw]
        everyone, sure = at(list(table), tuple(range(n))), at(repeated, tuple(range(n)))
        if beaten(name, sure) or not beaten(name, everyone):
            found[name] = sum(beaten(name, draw) for draw in there) / len(there)
    return found


@pytest.mark.parametrize("directions", DIRECTIONS)
@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_confidence_is_the_share_of_all_draws(directions: Directions, data: st.DataObject) -> None:
    value = st.one_of(st.integers(0, 3).map(float), st.just(math.nan))
    n = data.draw(st.integers(1, 3))
    pairs = st.lists(st.tuples(value, value), min_size=n, max_size=n)
    table = dict(zip("abcd", data.draw(st.lists(pairs, min_size=1, max_size=4)), strict=False))
    frame = trials([row for name, values in table.items() for row in over_seeds(name, values)])
    found = dominated_share(frame, ("leakage", "top1"), directions)
    assert found.to_dict() == pytest.approx(share_by_every_draw(table, directions), nan_ok=True)


def test_confidence_by_hand() -> None:
    better, worse = over_seeds("better", [(0.1, 0.9), (0.3, 0.7)]), over_seeds("worse", [(0.5, 0.6), (0.4, 0.5)])
    assert dominated_share(trials(better + worse), ("leakage", "top1")).to_dict() == {"better": 0, "worse": 1}
    # Beaten when seed 0 is drawn twice, ahead when seed 1 is, and level in neither of the mixed draws.
    split = over_seeds("a", [(0.5, 0.5), (0.5, 0.5)]) + over_seeds("b", [(0.4, 0.6), (0.6, 0.3)])
    assert dominated_share(trials(split), ("leakage", "top1")).to_dict() == {"a": 0.25, "b": 0.75}
    # Equal settings, whatever the order of their seeds, beat neither.
    equal = over_seeds("a", [(0.1, 0.7)] * 3) + over_seeds("b", [(0.1, 0.7)] * 3)
    assert dominated_share(trials(equal), ("leakage", "top1")).to_dict() == {"a": 0, "b": 0}
    assert dominated_share(trials([]), ("leakage", "top1")).empty


def test_one_seed_gives_no_confidence() -> None:
    twice = over_seeds("twice", [(0.5, 0.6), (0.5, 0.7)])
    single = over_seeds("single", [(0.9, 0.1)])
    found = dominated_share(trials(twice + single), ("leakage", "top1"))
    assert math.isnan(found["single"])
    assert found["twice"] == 0
    # Beaten by nobody but a setting of which nothing says how it varies.
    found = dominated_share(trials(twice + over_seeds("single", [(0.1, 0.9)])), ("leakage", "top1"))
    assert found.isna().all()
    assert dominated_share(trials(single), ("leakage", "top1")).isna().all()


def test_trials_without_a_seed_are_seeds_of_their_own() -> None:
    rows = [("a", None, 0.1, 0.9), ("a", None, 0.1, 0.9), ("b", None, 0.2, 0.8), ("b", None, 0.2, 0.8)]
    found = dominated_share(trials(rows), ("leakage", "top1"))  # type: ignore[arg-type]
    # Two of four: in 1 draw of 16 none of a's is drawn, and nothing beats b.
    assert found["a"] == 0
    assert found["b"] == pytest.approx(14 / 15)


def test_many_seeds_are_drawn_at_random_and_alike_each_time() -> None:
    n, ahead = 12, 9
    assert math.comb(2 * n - 1, n) > MOST_DRAWS
    rows = over_seeds("a", [(0.5, 0.5)] * n)
    rows += over_seeds("b", [(0.4, 0.6)] * ahead + [(0.6 + 2 / 30, 0.4 - 2 / 30)] * (n - ahead))
    found = dominated_share(trials(rows), ("leakage", "top1"))
    # b beats a where at least 8 of the 12 drawn seeds are among its good ones; at 7.5 of them they would be level.
    good = ahead / n
    expected = sum(math.comb(n, k) * good**k * (1 - good) ** (n - k) for k in range(8, n + 1))
    assert found["a"] == pytest.approx(expected, abs=0.04)
    assert found.equals(dominated_share(trials(rows), ("leakage", "top1")))


def test_gaps_cost_the_fewest_trials() -> None:
    full = [row for name in "ab" for row in over_seeds(name, [(0.5, 0.5)] * 3)]
    metrics = ("leakage", "top1")
    assert len(without_gaps(trials(full), metrics)) == 6
    assert set(without_gaps(trials([*full, *over_seeds("c", [(0.1, 0.9)] * 2)]), metrics)["setting"]) == {"a", "b"}
    # Raw with more seeds than the rest costs raw's further seeds, not the rest.
    more = without_gaps(trials([*full, *over_seeds("raw", [(0.9, 0.9)] * 5)]), metrics)
    assert (len(more), set(more["seed"])) == (9, {0, 1, 2})
    unknown = [*full, ("d", 0, 0.1, math.nan), ("d", 1, 0.1, 0.9), ("d", 2, 0.1, 0.9), ("d", None, 0.1, 0.9)]
    assert set(without_gaps(trials(unknown), metrics)["setting"]) == {"a", "b"}
    assert without_gaps(trials(full[:2]), metrics).empty
    assert without_gaps(trials([]), metrics).empty
