"""How often intervals hold the truth and controls err: simulations through the code that trials and the analysis use.

    make coverage

Every row draws data of a known truth, with items that belong to groups, and hands them to the functions that record a figure.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.attacks.shared.result import AttackResult
from trainables.attacks.shared.verdict import AttackFigures, Candidate, figures_of, holds, worst_of
from trainables.metrics import retrieve
from trainables.statistics import Interval, ItemMetric, change, compare, estimate, interval, leakage, mean

Array = NDArray[np.float64]
_PREVALENCE = 0.4
_ATTRIBUTES = 3


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
    def cells(self) -> tuple[str, ...]:
        inside = self.low <= round(self.found, 1) <= self.high
        verdict = "inside" if inside else f"**outside**: {self.reason or 'not known why'}"
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
        return f"{self.people} people x {self.clips} clips"

    @property
    def who(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(self.people), self.clips)

    def labelled(self, random: np.random.Generator) -> Array:
        return (_normal(random, self, self.labels) < -0.2533).astype(float)  # the 40 % quantile

    def answers(self, random: np.random.Generator, labels: Array, signal: float) -> Array:
        return 1.0 / (1.0 + np.exp(-(signal * labels + _normal(random, self, self.scores))))


def _normal(random: np.random.Generator, clips: Clips, share: float) -> Array:
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


def attacked(random: np.random.Generator, clips: Clips, signal: float) -> AttackFigures:
    labels = clips.labelled(random)
    return figures_of(result_of([clips.answers(random, labels, signal)], labels, clips.who, [0.0]))


def true_leakage(signal: float) -> float:
    """Of one item after another: the leakage of very many."""
    many = Clips(100_000, 1, attributes=1)
    random = np.random.default_rng(0)
    labels = many.labelled(random)
    names = list(map(str, range(len(labels))))
    whole = leakage(names, names, many.answers(random, labels, signal), labels)
    return float(whole.metric(np.ones((1, len(labels)), dtype=bool))[0])


def held(found: Sequence[Interval], truth: float) -> float:
    return 100.0 * float(np.mean([each.low <= truth <= each.high for each in found]))


def found_again(random: np.random.Generator, people: int, clips: int, signal: float) -> AttackFigures:
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


_CLIPS = (
    Clips(10, 9, 1.0, 0.5),
    Clips(25, 9, 1.0, 0.5),
    Clips(40, 9, 0.3, 0.3),
    Clips(40, 9, 1.0, 0.5),
    Clips(150, 10, 1.0, 0.5),
    Clips(29, 1),
    Clips(96, 1),
)
_SKEWED = "few positives: the spread of an average precision near chance is skewed"
_WIDE = "wider than it need be, on the safe side"


def leakages(draws: int) -> Iterator[Row]:
    for clips in _CLIPS:
        for signal in (0.0, 1.0, 2.5):
            random, truth = np.random.default_rng(clips.people), true_leakage(signal) if signal else 0.0
            found = held([attacked(random, clips, signal).sure for _ in range(draws)], truth)
            reason = _WIDE if found > 97 else _SKEWED
            yield Row(f"leakage, truth {100 * truth:.0f} %", clips.text, found, *_bounds(clips.people), reason)
    single = Clips(29, 1, attributes=1)
    random = np.random.default_rng(1)
    found = held([attacked(random, single, 0.0).sure for _ in range(draws)], 0.0)
    yield Row("leakage of one attribute, truth 0 %", single.text, found, *_bounds(29), _SKEWED)


def linkage(draws: int) -> Iterator[Row]:
    for people, clips in ((10, 8), (12, 8), (25, 14), (60, 10)):
        for signal in (0.0, 0.5, 1.0):
            random = np.random.default_rng(people)
            found = [found_again(random, people, clips, signal).sure for _ in range(draws)]
            truth = 0.0 if signal == 0.0 else float(np.mean([each.value for each in found]))
            share = held(found, truth)
            reason = (
                _WIDE
                if share > 97
                else "people look for each other among the same clips, so that their errors are not independent"
            )
            yield Row(
                f"linkage, truth {100 * truth:.0f} %", f"{people} people x {clips} clips", share, *_bounds(people), reason
            )


def accuracies(draws: int) -> Iterator[Row]:
    for sources in (10, 25, 100):
        random, found = np.random.default_rng(sources), []
        for _ in range(draws):
            group = np.repeat(np.arange(sources), 6)
            right = random.random(len(group)) < random.beta(3.0, 1.5, sources)[group]
            found.append(interval(_right(right, group)))
        yield Row("top-1, truth 67 %", f"{sources} sources x 6 clips", held(found, 2 / 3), *_bounds(sources), _WIDE)


def _right(right: NDArray[np.bool_], group: NDArray[np.int64]) -> ItemMetric:
    return mean(map(str, range(len(group))), map(str, group), right)


def worst(draws: int) -> Iterator[Row]:
    """Eight attackers of one strength; the strongest is chosen on as many validation items."""
    for clips in (Clips(96, 1), Clips(40, 9, 1.0, 0.5)):
        random, truth = np.random.default_rng(8), true_leakage(0.8)
        values, inside = [], []
        for _ in range(draws):
            validation, test = clips.labelled(random), clips.labelled(random)
            candidates = []
            for number in range(8):
                validated = figures_of(result_of([clips.answers(random, validation, 0.8)], validation, clips.who, [0.0]))
                found = figures_of(result_of([clips.answers(random, test, 0.8)], test, clips.who, [validated.leakage]))
                candidates.append(Candidate(str(number), found.leakage, found.sure.low, found.sure.high, found.validated))
            chosen = worst_of(candidates)
            values.append(chosen["worst_leakage"])
            inside.append(chosen["worst_leakage_low"] <= truth <= chosen["worst_leakage_high"])
        yield Row("worst of 8 equal attackers", clips.text, 100.0 * float(np.mean(inside)), *_bounds(clips.people))
        yield Row("its mean minus the truth, points", clips.text, 100.0 * (float(np.mean(values)) - truth), -1.5, 1.5)


def pairs(draws: int) -> Iterator[Row]:
    """Two equally good trials on the same items: the interval of their difference, and p below 0.05."""
    for sources in (10, 30, 100):
        random, inside, small = np.random.default_rng(sources), [], []
        group = np.repeat(np.arange(sources), 5)
        for _ in range(draws):
            easy = random.random(sources)[group]
            found = compare(*(_right(random.random(len(group)) < easy, group) for _ in range(2)))
            inside.append(found.difference.low <= 0.0 <= found.difference.high)
            small.append(found.p < 0.05)
        where = f"{sources} sources x 5 clips"
        yield Row("paired difference of top-1, truth 0", where, 100.0 * float(np.mean(inside)), *_bounds(sources))
        yield Row(
            "  p < 0.05", where, 100.0 * float(np.mean(small)), 3.0 if sources >= 25 else 0.0, 7.0 if sources >= 25 else 10.0
        )
    for clips in (Clips(40, 9, 1.0, 0.5), Clips(96, 1)):
        random, inside = np.random.default_rng(4), []
        names, groups = [str(number) for number in range(len(clips.who))], [str(who) for who in clips.who]
        for _ in range(draws):
            labels = clips.labelled(random)
            both = [leakage(names, groups, clips.answers(random, labels, 1.0), labels) for _ in range(2)]
            found = compare(*both)
            inside.append(found.difference.low <= 0.0 <= found.difference.high)
        yield Row("paired difference of leakage, truth 0", clips.text, 100.0 * float(np.mean(inside)), *_bounds(clips.people))


def seeds(draws: int) -> Iterator[Row]:
    """Change against raw over seeds that share half of their variance, as trials of one seed do."""
    for n in (3, 5):
        random, welch, paired = np.random.default_rng(n), [], []
        for _ in range(10 * draws):
            shared = random.normal(size=n)
            ours, raw = (math.sqrt(0.5) * shared + math.sqrt(0.5) * random.normal(size=n) for _ in range(2))
            of_means, of_pairs = change(ours, raw), estimate(ours - raw)
            welch.append(abs(of_means.mean) <= of_means.half_width)
            paired.append(abs(of_pairs.mean) <= of_pairs.half_width)
        yield Row("change against raw, paired by seed", f"{n} seeds", 100.0 * float(np.mean(paired)), 93.0, 97.0)
        reason = "seeds are shared, which it does not know: the analysis pairs them where they are"
        yield Row("  by Welch's interval", f"{n} seeds", 100.0 * float(np.mean(welch)), 93.0, 100.0, reason)


def guessers(draws: int) -> Iterator[Row]:
    """Answers drawn at random: their mean leakage, and how often the controls say otherwise."""
    for clips in (Clips(29, 1), Clips(96, 1), Clips(360, 1), Clips(1000, 1), Clips(12, 8, 1.0, 1.0), Clips(40, 9, 1.0, 0.5)):
        random = np.random.default_rng(clips.people)
        found = [attacked(random, clips, 0.0) for _ in range(draws)]
        many = replace(clips, attributes=20)  # for a mean that is known well enough
        guessed = [attacked(random, many, 0.0).leakage for _ in range(min(draws, 200))]
        error = 100.0 * float(np.std(guessed)) / math.sqrt(len(guessed))
        reason = f"its standard error is {error:.1f}"
        where = clips.text + (", answers of people" if clips.scores == 1.0 else "")
        yield Row(
            "mean leakage of random answers, points",
            where,
            100.0 * float(np.mean(guessed)),
            -0.5,
            0.5,
            reason,
        )
        above = 100.0 * float(np.mean([holds("raw", each) for each in found]))
        yield Row(
            "  positive control passes",
            where,
            above,
            1.0,
            4.0,
            "on the safe side: the interval is widest where guesses were lucky",
        )
        wrong = 100.0 * float(np.mean([not holds("permuted", each) for each in found]))
        yield Row("  negative control fails", where, wrong, 0.0, 4.0)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=400, help="data sets a row")
    parser.add_argument("--out", type=Path, help="also writes the table to this file")
    options = parser.parse_args(arguments)
    lines = ["| figure | data | found | wanted | |", "|---|---|---|---|---|"]
    sys.stdout.write("\n".join(lines) + "\n")
    parts: tuple[Callable[[int], Iterator[Row]], ...] = (leakages, linkage, accuracies, worst, pairs, seeds, guessers)
    for part in parts:
        for row in part(options.draws):
            lines.append(f"| {' | '.join(row.cells)} |")
            sys.stdout.write(lines[-1] + "\n")
            sys.stdout.flush()
    if options.out:
        options.out.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
