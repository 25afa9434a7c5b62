"""Pareto fronts of a privacy-utility plane: non-dominated points, hypervolume, knee, and how far seeds agree on them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from itertools import combinations_with_replacement, pairwise
from typing import Literal

import moocore
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from trainables.statistics import RESAMPLES, draws

Direction = Literal["higher", "lower"]
Directions = tuple[Direction, Direction]

PRIVACY_UTILITY: Directions = ("lower", "higher")  # (leakage, top1)
QUARTILES = (25, 50, 75)
MOST_DRAWS = 2000  # where there are more ways than this to draw the seeds, RESAMPLES of them are drawn at random


def non_dominated(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> NDArray[np.bool_]:
    """Mask of the points (n, 2) that no other point dominates, which is as good in both coordinates and better in one.

    Equal points are in the set together or not at all. A point with a NaN is never in the set and dominates nothing.
    """
    plane, known = _plane(points)
    mask = np.zeros(len(plane), dtype=bool)
    if known.any():
        mask[known] = moocore.is_nondominated(plane[known], maximise=_maximise(directions), keep_weakly=True)
    return mask


def hypervolume(points: ArrayLike, reference: tuple[float, float], directions: Directions = PRIVACY_UTILITY) -> float:
    """Area that the points (n, 2) dominate, bounded by `reference`, in the product of the two units.

    Points no better than the reference in some coordinate, and points with a NaN, add nothing. No points: 0.
    """
    plane, known = _plane(points)
    if not known.any():
        return 0.0
    return float(moocore.hypervolume(plane[known], ref=np.asarray(reference, float), maximise=_maximise(directions)))


def covered(
    points: ArrayLike,
    reference: tuple[float, float],
    ideal: tuple[float, float],
    directions: Directions = PRIVACY_UTILITY,
) -> float:
    """Hypervolume of the points as a share of the rectangle from `reference` to `ideal`: 0 is no front at all, 1 perfection.

    What lies beyond the ideal (a leakage below chance) counts as on it. NaN where the rectangle is none: a corner that is
    not known, or a reference no worse than the ideal in some coordinate. No points: 0.
    """
    signs = np.where(_maximise(directions), 1.0, -1.0)
    worst, best = signs * reference, signs * ideal
    if not (best > worst).all():
        return math.nan
    plane, _ = _plane(points)
    within = signs * np.minimum(signs * plane, best)
    return hypervolume(within, reference, directions) / float((best - worst).prod())


def step_line(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> NDArray[np.float64]:
    """The front as (m, 2) corners of a step line: the best y that a single setting reaches at each x.

    Between two settings of the front the worse y holds until the x of the next is reached. Empty for no points.
    """
    plane, _ = _plane(points)
    front = np.unique(plane[non_dominated(plane, directions)], axis=0)
    if directions[0] == "higher":
        front = front[::-1]
    corners = [front[:1]]
    for left, right in pairwise(front):
        corners.append(np.array([[right[0], left[1]], right]))
    return np.concatenate(corners)


def knee(points: ArrayLike, directions: Directions = PRIVACY_UTILITY) -> int | None:
    """Row of the points (n, 2) at the knee of the front, beyond which a gain in one coordinate costs most in the other.

    The point of the front furthest beyond the line through its two ends, each coordinate scaled to the front's own range
    (Das, On characterizing the "knee" of the Pareto curve, Structural Optimization 18, 1999), so the units do not matter.
    Of equally far points the one better in the second coordinate, of equal points the first. A front of one point is its
    own knee. None where nothing bends: no point without NaN, a front of two points, or none beyond the line.
    """
    plane, _ = _plane(points)
    front = np.unique(plane[non_dominated(plane, directions)], axis=0)
    if len(front) < 2:
        chosen = front
    else:
        gains = front * np.where(_maximise(directions), 1.0, -1.0)
        low, high = gains.min(axis=0), gains.max(axis=0)
        # Scaled, the ends are (0, 1) and (1, 0): the line is where both gains add up to 1.
        beyond = (((gains - low) / (high - low)).sum(axis=1) - 1).round(12)
        if beyond.max() <= 0:
            return None
        furthest = np.flatnonzero(beyond == beyond.max())
        chosen = front[furthest[[gains[furthest, 1].argmax()]]]
    return int(np.flatnonzero((plane == chosen).all(axis=1))[0]) if len(chosen) else None


def attainment(
    points: ArrayLike,
    seeds: Sequence[Hashable],
    percents: Sequence[float] = QUARTILES,
    directions: Directions = PRIVACY_UTILITY,
) -> dict[float, NDArray[np.float64]]:
    """Empirical attainment surfaces: for each percent, the (m, 2) corners, by x, of what that share of the seeds attains.

    A seed attains what one of its own points (n, 2) equals or beats; the surface of p percent bounds what at least p percent
    of the seeds attain (Grunert da Fonseca, Fonseca and Hall, EMO 2001; computed by moocore). `step_line` draws it. No corner
    beats another. Points with a NaN are left out but their seed still counts, so a surface may have no corner at all; points
    whose seed is missing are left out altogether.
    """
    plane, known = _plane(points)
    codes, names = pd.factorize(np.asarray(seeds, dtype=object))
    known &= codes >= 0
    order = np.flatnonzero(known)[np.argsort(codes[known], kind="stable")]  # moocore takes the rows of a set as one block
    there = len(set(codes[order]))
    signs = np.where(_maximise(directions), -1.0, 1.0)  # moocore minimises
    found = {}
    for percent in percents:
        needed = max(1, math.ceil(round(percent * len(names) / 100, 9)))
        if needed > there:
            found[percent] = np.empty((0, 2))
            continue
        # Of the seeds that attain anything: moocore does not see the others.
        surface = moocore.eaf(plane[order] * signs, codes[order], percentiles=[100 * needed / there])
        corners = surface[:, :2] * signs + 0.0
        found[percent] = corners[np.argsort(corners[:, 0])]
    return found


def without_gaps(trials: pd.DataFrame, metrics: Sequence[str], least: int = 3) -> pd.DataFrame:
    """The trials of the settings that all have the same `least` or more seeds, chosen so that most trials remain.

    A surface over seeds compares seed with seed: a setting that one of them lacks would count as that seed's failure.
    Columns `setting`, `seed` and the metrics; trials without one of the metrics or without a seed are left out. Of equally
    many trials those with more seeds. No such settings: no rows.
    """
    known = trials.dropna(subset=[*metrics, "seed"])
    seeds_of: dict[str, set[int]] = {}
    for setting, seed in zip(known["setting"], known["seed"], strict=True):  # grouping into sets is slow
        seeds_of.setdefault(setting, set()).add(seed)
    blocks = [
        (seeds, [setting for setting, other in seeds_of.items() if seeds <= other])
        for seeds in set(map(frozenset, seeds_of.values()))
        if len(seeds) >= least
    ]
    if not blocks:
        return known.iloc[:0]
    seeds, settings = max(blocks, key=lambda block: (len(block[0]) * len(block[1]), len(block[0]), sorted(block[0])))
    return known[known["setting"].isin(settings) & known["seed"].isin(seeds)]


def dominated_share(trials: pd.DataFrame, metrics: tuple[str, str], directions: Directions = PRIVACY_UTILITY) -> pd.Series:
    """The share of bootstrap resamples in which another setting dominates a setting, by setting.

    What is resampled are the seeds (Efron's bootstrap): as many as there are, with replacement, the same draw for every
    setting, because trials of one seed share data order, initial weights and often whole stages. In each resample every
    setting is the mean over its drawn trials and `non_dominated` decides. Up to MOST_DRAWS distinct draws are all gone
    through, each with its probability; more are drawn at random with a fixed state, so the figure is the same each time.

    Columns `setting`, `seed`, the two metrics; a trial without a seed is a seed of its own. Returns a Series by setting.
    NaN, no confidence: a setting with fewer than two seeds in either metric, and one that only such settings beat, because
    nothing is known of how they vary. They beat nobody in a resample. A setting none of whose seeds were drawn is passed
    over in that resample. With n seeds nothing finer than 1 in n^n can be told, and few seeds make it too sure.
    """
    settings = pd.Index(trials["setting"].unique())
    share = pd.Series(np.nan, index=settings, dtype=float)
    seed = trials["seed"].astype("string").fillna(pd.Series([f"run {i}" for i in range(len(trials))], trials.index))
    values = [trials.assign(seed=seed).pivot_table(index="setting", columns="seed", values=m, dropna=False) for m in metrics]
    table = np.stack([value.reindex(index=settings, columns=seed.unique()).to_numpy(float) for value in values], axis=-1)
    counts = (~np.isnan(table)).sum(axis=1)
    repeated = (counts >= 2).all(axis=1)
    if not repeated.any():
        return share

    # Beaten in the means, but by none of the repeated settings: no confidence either.
    means = _means(table, np.ones(table.shape[1]))
    unsure = ~non_dominated(means, directions)
    unsure[repeated] &= non_dominated(means[repeated], directions)

    times, drawn = np.zeros(repeated.sum()), np.zeros(repeated.sum())
    for weights, probability in _resamples(table.shape[1]):
        means = _means(table[repeated], weights)
        known = ~np.isnan(means).any(axis=1)
        times += probability * (known & ~non_dominated(means, directions))
        drawn += probability * known
    share[settings[repeated]] = times / drawn
    share[settings[unsure]] = np.nan
    return share


def _means(table: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weighted means over the seeds of (settings, seeds, 2); NaN values are not counted, none left is NaN.

    Rounded, so that settings with equal values tie whatever the order of their seeds.
    """
    known = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        sums = np.tensordot(weights, np.where(known, table, 0.0), axes=(0, 1))
        return np.asarray((sums / np.tensordot(weights, known.astype(float), axes=(0, 1))).round(12))


def _resamples(n: int) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Yields how often each of n seeds is drawn when n are drawn with replacement, and the probability of that draw."""
    if math.comb(2 * n - 1, n) > MOST_DRAWS:
        for weights in draws(n):
            yield weights.astype(float), 1 / RESAMPLES
        return
    for chosen in combinations_with_replacement(range(n), n):
        times = np.bincount(chosen, minlength=n)
        ways = math.factorial(n) // math.prod(math.factorial(count) for count in times.tolist())
        yield times.astype(float), ways / n**n


def _plane(points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    plane = np.asarray(points, dtype=float).reshape(-1, 2) + 0.0  # -0.0 becomes 0.0: equal points compare as equal
    return plane, np.asarray(~np.isnan(plane).any(axis=1), dtype=bool)


def _maximise(directions: Directions) -> list[bool]:
    return [direction == "higher" for direction in directions]
