"""How often intervals hold the truth and controls err: simulations through the code that trials and the analysis use.

    make coverage

Every simulation draws data of a known truth, with items that belong to groups, and hands them to the functions that record a
figure. Its draws are its own, by its name, so that the table is the same on any number of cores.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.measure.groups import Predicted, group_figures
from trainables.attacks.shared.result import AttackResult
from trainables.attacks.shared.verdict import AttackFigures, Candidate, figures_of, holds, worst_of
from trainables.metrics import leakage_of, retrieve
from trainables.schema import STRONGEST
from trainables.statistics import Interval, ItemMetric, change, compare, estimate, interval, leakage, mean

Array = NDArray[np.float64]
Random = np.random.Generator
DRAWS = 400
_ATTRIBUTES = 3
_MANY = 20  # attributes, for a mean that is known well


@dataclass(frozen=True)
class Row:
    """What was simulated, how often (percent, or points of leakage), within which bounds it must be, and why if it is not."""

    what: str
    data: str
    found: float
    low: float
    high: float
    reason: str = ""

    @property
    def inside(self) -> bool:
        return self.low <= round(self.found, 1) <= self.high

    @property
    def cells(self) -> tuple[str, ...]:
        verdict = "inside" if self.inside else f"**outside**: {self.reason or 'nobody has found out why'}"
        return self.what, self.data, f"{self.found:.1f}", f"{self.low:g} to {self.high:g}", verdict


@dataclass(frozen=True)
class Clips:
    """`people` with `clips` each. `labels`, `scores`: the part of the person in the variance of either, from 0 to 1."""

    people: int
    clips: int
    labels: float = 0.0
    scores: float = 0.0
    attributes: int = _ATTRIBUTES

    @property
    def text(self) -> str:
        if self.clips == 1:
            return f"{self.people} items"
        labels = ", labels of clips" if 0.0 < self.labels < 0.5 else ""
        answers = ", answers of people" if self.scores == 1.0 else ""
        return f"{self.people} people x {self.clips} clips{labels}{answers}"

    @property
    def who(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.people), self.clips)

    def labelled(self, random: Random) -> Array:
        return (_normal(random, self, self.labels) < -0.2533).astype(float)  # the 40 % quantile

    def answers(self, random: Random, labels: Array, signal: float) -> Array:
        return 1.0 / (1.0 + np.exp(-(signal * labels + _normal(random, self, self.scores))))


def _normal(random: Random, clips: Clips, share: float) -> Array:
    of_people = random.normal(size=(clips.people, clips.attributes))[clips.who]
    return math.sqrt(share) * of_people + math.sqrt(1.0 - share) * random.normal(size=of_people.shape)


def result_of(answers: Sequence[Array], labels: Array, groups: Sequence[object], validated: Sequence[float]) -> AttackResult:
    """What an attack of so many members leaves behind."""
    return AttackResult(
        ids=[str(number) for number in range(len(labels))],
        groups=[str(group) for group in groups],
        members=[str(number) for number in range(len(answers))],
        validated=list(validated),
        answers=torch.from_numpy(np.stack(answers)),
        labels=torch.from_numpy(labels),
        attributes=[str(number) for number in range(labels.shape[1])],
        effort={},
    )


def attacked(random: Random, clips: Clips, signal: float) -> AttackFigures:
    labels = clips.labelled(random)
    return figures_of(result_of([clips.answers(random, labels, signal)], labels, clips.who, [0.0]))


@cache
def true_leakage(signal: float) -> float:
    """Of one item after another: the leakage of very many."""
    many = Clips(100_000, 1, attributes=1)
    random = np.random.default_rng(0)
    labels = many.labelled(random)
    return leakage_of(many.answers(random, labels, signal), labels, ("one",), many.who.tolist()).leakage if signal else 0.0


def held(found: Sequence[Interval], truth: float) -> float:
    return 100.0 * float(np.mean([each.low <= truth <= each.high for each in found]))


def found_again(random: Random, people: int, clips: int, signal: float) -> AttackFigures:
    """A search for the same person by embeddings that have a part of the person."""
    who = np.repeat(np.arange(people), clips)
    points = signal * random.normal(size=(people, 8))[who] + random.normal(size=(people * clips, 8))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    search = retrieve(points @ points.T, who[:, None] == who[None], ~np.eye(len(who), dtype=bool))
    return figures_of(
        AttackResult(
            ids=list(map(str, range(len(who)))),
            groups=list(map(str, who)),
            members=["one"],
            validated=[0.0],
            answers=torch.from_numpy(search.hits[None]),
            chances=torch.from_numpy(search.chances),
            effort={},
        )
    )


def _bounds(groups: int) -> tuple[float, float]:
    return (93.0, 97.0) if groups >= 25 else (90.0, 100.0)


_SCALE = (
    "the standard error of an average precision p grows as p^1.4 (1 - p), the logit allows for p (1 - p): "
    "intervals of unlucky answers are too short, those of lucky ones too long, the more the fewer positives"
)
_TOP = (
    "near 1 the standard error of an average precision p falls as (1 - p)^0.7, the logit allows for 1 - p: "
    "intervals of the best answers are too long"
)
_RIVALS = (
    "all search among the same people, and who is left out as one who searches is still found: "
    "the standard error is 5 to 15 % too small where people are told apart"
)


def leakages(clips: Clips, signal: float, random: Random, draws: int) -> list[Row]:
    truth = true_leakage(signal)
    found = held([attacked(random, clips, signal).sure for _ in range(draws)], truth)
    what = "leakage" if clips.attributes > 1 else "leakage of one attribute"
    reason = _TOP if truth > 0.8 else _SCALE
    return [Row(f"{what}, truth {100 * truth:.0f} %", clips.text, found, *_bounds(clips.people), reason)]


def linkage(people: int, clips: int, signal: float, random: Random, draws: int) -> list[Row]:
    """The truth is 0 where nothing tells people apart, and otherwise the mean over the draws."""
    found = [found_again(random, people, clips, signal).sure for _ in range(draws)]
    truth = float(np.mean([each.value for each in found])) if signal else 0.0
    data = Clips(people, clips).text
    return [Row(f"linkage, truth {100 * truth:.0f} %", data, held(found, truth), *_bounds(people), _RIVALS)]


def accuracies(sources: int, random: Random, draws: int) -> list[Row]:
    found, group = [], np.repeat(np.arange(sources), 6)
    for _ in range(draws):
        right = random.random(len(group)) < random.beta(3.0, 1.5, sources)[group]
        found.append(interval(_right(right, group)))
    return [Row("top-1, truth 67 %", f"{sources} sources x 6 clips", held(found, 2 / 3), *_bounds(sources))]


def _right(right: NDArray[np.bool_], group: NDArray[np.int64]) -> ItemMetric:
    return mean(map(str, range(len(group))), map(str, group), right)


def worst(clips: Clips, random: Random, draws: int) -> list[Row]:
    """Eight attackers of one strength; the strongest is chosen on as many validation items."""
    truth, found = true_leakage(0.8), []
    for _ in range(draws):
        validation, test = clips.labelled(random), clips.labelled(random)
        candidates: list[Candidate] = []
        answers: list[Array] = []
        for number in range(8):
            validated = _value(clips.answers(random, validation, 0.8), validation, clips)
            answers.append(clips.answers(random, test, 0.8))
            candidates.append(Candidate(str(number), _value(answers[-1], test, clips), math.nan, math.nan, validated))
        [chosen] = [int(key.removeprefix(STRONGEST)) for key in worst_of(candidates) if key.startswith(STRONGEST)]
        found.append(figures_of(result_of([answers[chosen]], test, clips.who, [0.0])).sure)
    values = [each.value for each in found]
    return [
        Row("worst of 8 equal attackers", clips.text, held(found, truth), *_bounds(clips.people), _SCALE),
        Row("its mean minus the truth, points", clips.text, 100.0 * (float(np.mean(values)) - truth), -1.5, 1.5),
    ]


def _value(answers: Array, labels: Array, clips: Clips) -> float:
    """Leakage without an interval."""
    return leakage_of(answers, labels, tuple(map(str, range(labels.shape[1]))), clips.who.tolist()).leakage


def pairs(sources: int, random: Random, draws: int) -> list[Row]:
    """Two equally good trials on the same items: the interval of their difference, and p below 0.05."""
    inside, small, group = [], [], np.repeat(np.arange(sources), 5)
    for _ in range(draws):
        easy = random.random(sources)[group]
        found = compare(*(_right(random.random(len(group)) < easy, group) for _ in range(2)))
        inside.append(found.difference.low <= 0.0 <= found.difference.high)
        small.append(found.p < 0.05)
    data = f"{sources} sources x 5 clips"
    least, most = (3.0, 7.0) if sources >= 25 else (0.0, 10.0)
    return [
        Row("paired difference of top-1, truth 0", data, 100.0 * float(np.mean(inside)), *_bounds(sources)),
        Row("p < 0.05", data, 100.0 * float(np.mean(small)), least, most),
    ]


def leakage_pairs(clips: Clips, random: Random, draws: int) -> list[Row]:
    names, groups = [str(number) for number in range(len(clips.who))], [str(who) for who in clips.who]
    found = []
    for _ in range(draws):
        labels = clips.labelled(random)
        both = [leakage(names, groups, clips.answers(random, labels, 1.0), labels) for _ in range(2)]
        found.append(compare(*both).difference)
    return [Row("paired difference of leakage, truth 0", clips.text, held(found, 0.0), *_bounds(clips.people))]


def seeds(number: int, random: Random, draws: int) -> list[Row]:
    """Change against raw over seeds that share half of their variance, as trials of one seed do."""
    welch, paired = [], []
    for _ in range(10 * draws):
        shared = random.normal(size=number)
        ours, raw = (math.sqrt(0.5) * shared + math.sqrt(0.5) * random.normal(size=number) for _ in range(2))
        of_means, of_pairs = change(ours, raw), estimate(ours - raw)
        welch.append(abs(of_means.mean) <= of_means.half_width)
        paired.append(abs(of_pairs.mean) <= of_pairs.half_width)
    data = f"{number} seeds"
    return [
        Row("change against raw, paired by seed", data, 100.0 * float(np.mean(paired)), 93.0, 97.0),
        Row("the same by Welch's interval", data, 100.0 * float(np.mean(welch)), 93.0, 100.0),
    ]


def guesses(clips: Clips, random: Random, draws: int) -> list[Row]:
    """Answers drawn at random: their mean leakage, and how often the controls say otherwise."""
    many, values = replace(clips, attributes=_MANY), []
    for _ in range(min(draws, 200)):
        labels = many.labelled(random)
        values.append(_value(many.answers(random, labels, 0.0), labels, many))
    found = [attacked(random, clips, 0.0) for _ in range(draws)]
    passed, failed = (100.0 * float(np.mean([holds(control, each) for each in found])) for control in ("raw", "permuted"))
    return [
        Row("mean leakage of random answers, points", clips.text, 100.0 * float(np.mean(values)), -0.5, 0.5),
        Row("positive control passes", clips.text, passed, 1.0, 4.0, _SCALE),
        Row("negative control fails", clips.text, 100.0 - failed, 0.0, 4.0),
    ]


def named(people: int, clips: int, random: Random, draws: int) -> list[Row]:
    """How often any group is called surely worse where all are served and protected alike."""
    of, names = Clips(people, clips, 1.0, 0.0), ("a", "b", "c")
    items, sources = (tuple(map(str, each)) for each in (range(people * clips), of.who))
    found = []
    for _ in range(draws):
        labels, number = of.labelled(random), people * clips
        known = {name: dict(zip(items, column, strict=True)) for name, column in zip(names, labels.astype(int).T, strict=True)}
        predictions = [
            Predicted("top1", items, sources, (random.random(number) < 0.8).astype(float)),
            Predicted("leakage", items, sources, of.answers(random, labels, 1.0), labels),
            Predicted("linkage", items, sources, (random.random(number) < 0.3).astype(float), np.full(number, 0.1)),
        ]
        found.append(any(figure.worse for figure in group_figures(predictions, known, "leakage")))
    return [Row("a group is called worse, none is", of.text, 100.0 * float(np.mean(found)), 0.0, 7.0)]


_MIXED = Clips(40, 9, 1.0, 0.5)  # labels of people, answers half of people and half of clips
SIMULATIONS: tuple[partial[list[Row]], ...] = (
    *(
        partial(leakages, clips, signal)
        for clips in (
            Clips(10, 9, 1.0, 0.5),
            Clips(25, 9, 1.0, 0.5),
            Clips(40, 9, 0.3, 0.3),
            _MIXED,
            Clips(150, 10, 1.0, 0.5),
            Clips(29, 1),
            Clips(96, 1),
            Clips(29, 1, attributes=1),
        )
        for signal in (0.0, 1.0, 2.5)
    ),
    *(
        partial(linkage, people, clips, signal)
        for people, clips in ((10, 8), (12, 8), (25, 14), (60, 10))
        for signal in (0.0, 0.5, 1.0, 1.5)
    ),
    *(partial(accuracies, sources) for sources in (10, 25, 100)),
    *(partial(worst, clips) for clips in (Clips(96, 1), _MIXED)),
    *(partial(pairs, sources) for sources in (10, 30, 100)),
    *(partial(leakage_pairs, clips) for clips in (_MIXED, Clips(96, 1))),
    *(partial(seeds, number) for number in (3, 5)),
    *(partial(named, people, clips) for people, clips in ((12, 8), (24, 10), (60, 6))),
    *(partial(guesses, clips) for clips in (Clips(29, 1), Clips(96, 1), Clips(360, 1), Clips(12, 8, 1.0, 1.0), _MIXED)),
)


def simulated(simulation: partial[list[Row]], draws: int) -> list[Row]:
    """The rows of a simulation, with a state that its name decides."""
    name = f"{simulation.func.__name__}{simulation.args}"
    return simulation(np.random.default_rng(zlib.crc32(name.encode())), draws)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=DRAWS, help="data sets a row")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--out", type=Path, help="also writes the table to this file")
    options = parser.parse_args(arguments)
    lines = ["| figure | data | found | wanted | |", "|---|---|---|---|---|"]
    sys.stdout.write("\n".join(lines) + "\n")
    with ProcessPoolExecutor(options.jobs) as pool:
        for rows in pool.map(simulated, SIMULATIONS, [options.draws] * len(SIMULATIONS)):
            found = [f"| {' | '.join(row.cells)} |" for row in rows]
            lines += found
            sys.stdout.write("\n".join(found) + "\n")
            sys.stdout.flush()
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
