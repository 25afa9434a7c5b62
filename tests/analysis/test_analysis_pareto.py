"""The front and its area against brute force."""

import math
from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.pareto import Directions, hypervolume, knee, non_dominated, step_line

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
