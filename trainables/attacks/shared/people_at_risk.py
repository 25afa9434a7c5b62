"""How often one of N people is singled out, and linked, by embeddings of their clips: two risks of WP216 as probabilities.

The definitions are those of Vauquier, Srivastava, Hosseini and Vincent, Legally validated evaluation framework for voice
anonymization (Interspeech 2025), which a data protection authority has examined; they take any embeddings. Arrays only, no
torch. Where scores differ the figures are those of the authors' package `voice-anonymization-legal-eval`. Equal scores are
decided by lot here, so that embeddings that tell nothing are at chance; there the person searched for always wins them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from trainables.statistics import interval, mean

Array = NDArray[np.float64]
Risk = Literal["singling out", "linkability"]

RISKS = "people_at_risk"  # in the state of a stage and in the record of an attack: the points of its curves
CHANCE_SINGLED_OUT = math.exp(-1.0)  # of a predicate that holds for one of N people by lot, for large N
AMONG = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
CLIPS = (1, 2, 4, 8)  # of a person
_FOLDS = 10  # divisions of each person's clips
_DRAWS = 5  # of the N people among whom somebody is singled out, in each division
_MOST_PEOPLE = 1000  # more are not compared: scores of all with all fill the memory
_MOST_CALIBRATION = 9  # items of a person, as in the paper
_DIGITS = 5  # of a similarity
_ROUNDED = 9  # digits of a probability: those of people who cannot be told apart are equal to the last bit


@dataclass(frozen=True)
class PeopleClips:
    """The embeddings of n clips and whom they show.

    `known` (n, D) are those that an attacker has of people by name, `published` (n, D) the anonymized ones, row by row of the
    same clips; no two that are compared are of one clip. `people`, `sources` and `actions`: (n,), by name or number.
    """

    known: Array
    published: Array
    people: Sequence[str]
    sources: Sequence[str]
    actions: Sequence[int]


@dataclass(frozen=True)
class RiskPoint:
    """The probability that one of `among` people is singled out or linked, from `clips` anonymized clips of each.

    `chance`: without any embeddings. `people`: how many were searched for. `low`, `high`: the 95 % interval over them, while
    those that they are searched for among stay the same; NaN where they are too few.
    """

    risk: Risk
    clips: int
    among: int
    people: int
    value: float
    low: float
    high: float
    chance: float


def risk_points(clips: PeopleClips, seed: int = 0) -> list[RiskPoint]:
    """Every point of the two curves over AMONG and the number of all people, for CLIPS clips of each, as far as there are any.

    A person's clips are divided _FOLDS times into those the attacker knows (half of them, of other sources where there are
    some), and the rest, of which `clips` are averaged. Where nobody is seen in two actions a person is only compared with
    others of the same action, which would give him away otherwise. People of fewer clips than a point needs are not in it, nor
    are those beyond the first _MOST_PEOPLE by lot.
    """
    found: list[RiskPoint] = []
    of_person = _rows_by_person(clips, np.random.default_rng(seed))
    for size in CLIPS:
        rng = np.random.default_rng([seed, size])
        folds = [{name: _divided(rows, clips.sources, rng) for name, rows in of_person.items()} for _ in range(_FOLDS)]
        found += _points("linkability", clips, folds, size, partial(_linking, clips, size))
        found += _points("singling out", clips, folds, size, partial(_singling_out, clips, size, rng))
    return found


def linked(scores: Array, among: int) -> Array:
    """(P,): the probability that each of P people is linked to himself among `among` people drawn with him.

    scores: (P, P), of what is known of each (row) with what is published of each (column). The expectation over all draws,
    which is hypergeometric: with m of the P - 1 others more similar than the person himself and t as similar, and k = among - 1
    drawn, `[C(P - m, k + 1) - C(P - 1 - m - t, k + 1)] / [(t + 1) C(P - 1, k)]`, of equally similar ones one by lot. 1 / among
    where all are equal. Raises ValueError for fewer than `among` people.
    """
    count = len(scores)
    if not 1 <= among <= count:
        raise ValueError(f"{among} people cannot be drawn from {count}")
    own = np.diagonal(scores)
    better = (scores > own).sum(axis=0).astype(float)
    equal = (scores == own).sum(axis=0) - 1.0
    first, second = count - better, count - 1.0 - better - equal
    every = _log_choose(np.array(count - 1.0), among - 1)
    ratio = np.exp(_log_choose(first, among) - every) - np.exp(_log_choose(second, among) - every)
    return np.asarray((ratio / (equal + 1.0)).round(_ROUNDED))


def singled_out(published: Array, calibration: Array, drawn: NDArray[np.int64]) -> Array:
    """(P,): the probability that a predicate made of what is known of each of P people holds for exactly one of those drawn.

    published: (P, P), scores of what is known of each (row) with what is published of each (column). calibration: (P, P, M),
    with M further items of each. drawn: (P, N) the people among whom each is, himself included. The predicate holds for what
    scores above a threshold between the M-th and the (M+1)-th of the N M calibration scores, so that it expects one in N.
    Where these two are equal, it holds for each of those that score the same by lot, as often as makes one in N.
    """
    rows = np.arange(len(published))[:, None]
    times = calibration.shape[2]
    ranked = -np.sort(-calibration[rows, drawn].reshape(len(published), -1), axis=1)
    last, following = ranked[:, times - 1, None], ranked[:, times, None]
    scores = published[rows, drawn]
    tied = last == following
    above = (scores > np.where(tied, last, (last + following) / 2)).sum(axis=1)
    equal = ((scores == last) & tied).sum(axis=1)
    share = (times - (ranked > last).sum(axis=1)) / (ranked == last).sum(axis=1)  # of those that score the same
    with np.errstate(divide="ignore", invalid="ignore"):
        none, one = (1.0 - share) ** equal, equal * share * (1.0 - share) ** (equal - 1.0)
    return np.where(tied[:, 0], np.select([above == 0, above == 1], [one, none], 0.0), above == 1).round(_ROUNDED)


def chance_of(risk: Risk, among: int) -> float:
    """The probability without any knowledge: of linking 1/N, of singling out `(1 - 1/N)^(N-1)`, which nears exp(-1)."""
    return 1.0 / among if risk == "linkability" else (1.0 - 1.0 / among) ** (among - 1)


def similarity(known: Array, published: Array) -> Array:
    """Cosines, (P, D) and (..., D) -> (P, ...), rounded: smaller differences come from how the embeddings were computed."""
    return np.asarray(np.tensordot(_units(known), _units(published), axes=(1, -1))).round(_DIGITS)


_Divided = Mapping[str, tuple[list[int], list[int]]]  # of a person, the rows that are known, and the rest
_Among = Callable[[int], Array]  # the probability for each person, among so many


def _points(
    risk: Risk, clips: PeopleClips, folds: Sequence[_Divided], size: int, scored: Callable[[_Divided], _Among]
) -> list[RiskPoint]:
    """The points of one curve. scored: compares the people of a division."""
    least = size if risk == "linkability" else 2 * size
    enough = [name for name in folds[0] if all(len(fold[name][1]) >= least for fold in folds)] if folds else []
    groups = [group for group in _comparable(enough, clips) if len(group) > 1]
    if not groups:
        return []
    found = []
    compared = [[scored({name: fold[name] for name in group}) for fold in folds] for group in groups]
    largest, everybody = (choose(map(len, groups)) for choose in (max, min))
    for among in sorted({*(number for number in AMONG if number <= largest), everybody}):
        values: dict[str, float] = {}
        for group, measures in zip(groups, compared, strict=True):
            if len(group) >= among:
                each = np.mean([measure(among) for measure in measures], axis=0)
                values |= zip(group, each.round(_ROUNDED).tolist(), strict=True)
        sure = interval(mean(values, values, values.values()))
        chance = chance_of(risk, among)
        found.append(RiskPoint(risk, size, among, len(values), sure.value, sure.low, sure.high, chance))
    return found


def _linking(clips: PeopleClips, size: int, divided: _Divided) -> _Among:
    return partial(linked, similarity(*_averages(clips, divided, size)))


def _singling_out(clips: PeopleClips, size: int, rng: np.random.Generator, divided: _Divided) -> _Among:
    known, published = _averages(clips, divided, size)
    items = min(min(_MOST_CALIBRATION, math.comb(len(rest) - size, size)) for _, rest in divided.values())
    further = [
        [_average(clips.published, chosen) for chosen in islice(combinations(rest[size:], size), items)]
        for _, rest in divided.values()
    ]
    scores, calibration = similarity(known, published), similarity(known, np.array(further))

    def measure(among: int) -> Array:
        draws = _DRAWS if among < len(scores) else 1
        each = [singled_out(scores, calibration, _drawn(len(scores), among, rng)) for _ in range(draws)]
        return np.asarray(np.mean(each, axis=0))

    return measure


def _drawn(people: int, among: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(people, among): each person, and others by lot."""
    keys = rng.random((people, people))
    np.fill_diagonal(keys, -1.0)
    return np.argsort(keys, axis=1)[:, :among]


def _rows_by_person(clips: PeopleClips, rng: np.random.Generator) -> dict[str, list[int]]:
    """The rows of each person who is in several clips, of _MOST_PEOPLE at most."""
    found: dict[str, list[int]] = {}
    for row, name in enumerate(clips.people):
        found.setdefault(name, []).append(row)
    several = [name for name, rows in found.items() if len(rows) > 1]
    chosen = sorted(rng.permutation(len(several))[:_MOST_PEOPLE])
    return {several[place]: found[several[place]] for place in chosen}


def _divided(rows: Sequence[int], sources: Sequence[str], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """A person's rows: those that are known, about half, and the rest; of one source on one side if there are several."""
    order = [rows[place] for place in rng.permutation(len(rows))]
    names = list(dict.fromkeys(sources[row] for row in order))
    if len(names) > 1:
        order.sort(key=lambda row: names.index(sources[row]))
        ends = [place for place in range(1, len(order)) if sources[order[place]] != sources[order[place - 1]]]
        half = min(ends, key=lambda place: abs(2 * place - len(order)))
    else:
        half = len(order) // 2
    return order[:half], order[half:]


def _comparable(names: Sequence[str], clips: PeopleClips) -> list[list[str]]:
    """The people who are compared with each other: all, or where nobody is seen in two actions those of one action."""
    actions: dict[str, set[int]] = {}
    for name, action in zip(clips.people, clips.actions, strict=True):
        actions.setdefault(name, set()).add(action)
    if any(len(each) > 1 for each in actions.values()):
        return [list(names)]
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(min(actions[name]), []).append(name)
    return list(groups.values())


def _averages(clips: PeopleClips, divided: _Divided, size: int) -> tuple[Array, Array]:
    """(P, D) of all that is known of each person, and of `size` published clips of each."""
    known = np.stack([_average(clips.known, rows) for rows, _ in divided.values()])
    return known, np.stack([_average(clips.published, rest[:size]) for _, rest in divided.values()])


def _average(embeddings: Array, rows: Sequence[int]) -> Array:
    return np.asarray(_units(embeddings[list(rows)]).mean(axis=0))


def _units(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.where(length == 0.0, 1.0, length))


def _log_choose(count: Array, drawn: int) -> Array:
    """The logarithm of `count` over `drawn`; minus infinity where there are fewer."""
    enough = count >= drawn
    known = np.where(enough, count, drawn)
    return np.where(enough, gammaln(known + 1.0) - gammaln(drawn + 1.0) - gammaln(known - drawn + 1.0), -np.inf)
