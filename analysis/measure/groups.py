"""Who is served worst, and who is protected worst: the figures of groups of test items, each beside all other items.

A group is what has a value of a private attribute, or one source or person. All intervals of the differences hold together:
with 95 % confidence none misses its truth, so that a group whose interval leaves out 0 is worse, not the unlucky one of many.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis.measure.compare import Record, sources_of
from analysis.read.attacks import AttackRecord, item_metric
from trainables import statistics
from trainables.schema import ATTACK
from trainables.statistics import LEAST_GROUPS, UNKNOWN, Interval, ItemMetric, apart, each_of, interval

Array = NDArray[np.float64]
Labels = Mapping[str, Mapping[str, int]]  # attribute -> test item -> 0 or 1
UTILITY = "top1"
_READERS = (("leakage", ("test_privacy", "evaluate_privacy")), ("clip_leakage", ("evaluate_clip_privacy",)))


@dataclass(frozen=True)
class Predicted:
    """The predictions that one figure is computed from, for N test items.

    measure: the metric. sources: the source or person of each item. scores: of an accuracy or a rank-1 (N,), of a reader of
    attributes (N, A) probabilities. truths: the chance of each item (N,), or the labels (N, A); None for an accuracy.
    attributes: the names of the A.
    """

    measure: str
    items: tuple[str, ...]
    sources: tuple[str, ...]
    scores: Array
    truths: Array | None = None
    attributes: tuple[str, ...] = ()

    @property
    def reads_attributes(self) -> bool:
        return self.truths is not None and self.scores.ndim == 2

    def among(self, places: NDArray[np.intp], columns: NDArray[np.intp], by_item: bool) -> ItemMetric:
        """The figure of the items at `places` alone, for a reader that of the attributes `columns`: accuracy, or leakage above
        the chance that a guesser has among these items. by_item: each item is evidence of its own.
        """
        items = [self.items[place] for place in places]
        sources = items if by_item else [self.sources[place] for place in places]
        scores = self.scores[places]
        if self.truths is None:
            return statistics.mean(items, sources, scores)
        if scores.ndim == 1:
            return statistics.mean_leakage(items, sources, scores, self.truths[places])
        return statistics.leakage(items, sources, scores[:, columns], self.truths[np.ix_(places, columns)])

    def told_in(self, *parts: NDArray[np.intp]) -> NDArray[np.intp]:
        """The attributes that have both values in each of these parts of the items."""
        if not self.reads_attributes:
            return np.arange(0)
        has = [(np.asarray(self.truths)[part] > 0).mean(axis=0) for part in parts]
        return np.flatnonzero(np.all([(share > 0) & (share < 1) for share in has], axis=0))


@dataclass(frozen=True)
class GroupFigure:
    """One figure of one group of test items, beside that of all others.

    measure: `top1`, or the metric of a leakage. kind: whether the group is a value of an attribute or a person (a source).
    group: `tall`, `not tall`, or the name of the person. own, rest: each with its 95 % interval. difference: own minus rest,
    whose interval holds together with those of all other groups and measures of a trial. worse: that interval leaves out 0, on
    the side of less utility or of more leakage. lacking: why there is no difference, or no interval of it; empty for none.
    main: it is of the utility or of the strongest attacker.
    """

    measure: str
    kind: Literal["attribute", "person"]
    group: str
    own: Interval
    rest: Interval
    difference: Interval
    worse: bool
    lacking: str
    main: bool


@dataclass(frozen=True)
class _Question:
    """Whether a group differs from the rest in a figure. names: of the group, and of the rest where that is a group too."""

    of: Predicted
    kind: Literal["attribute", "person"]
    names: tuple[str, ...]
    parts: tuple[NDArray[np.intp], NDArray[np.intp]]

    @property
    def by_item(self) -> bool:
        return self.kind == "person"

    @property
    def undefined(self) -> str:
        """Why the figure of one of the parts is not defined; empty where both are."""
        if not all(map(len, self.parts)):
            return "all test items whose value is known have the same"
        if self.of.reads_attributes and not len(self.of.told_in(*self.parts)):
            return "no attribute has both values here and among the rest, so that average precision is not defined"
        return ""

    @property
    def lacking(self) -> str:
        """Why there is no interval, though the figures are defined; empty where there may be one."""
        for part in self.parts:
            found = len(part) if self.by_item else len({self.of.sources[place] for place in part})
            if found < LEAST_GROUPS:
                unit = "test items" if self.by_item else "sources or people"
                return f"an interval takes {LEAST_GROUPS} {unit} on either side, and one side has {found}"
        return ""

    def intervals(self, confidence: float) -> tuple[Interval, Interval]:
        columns = self.of.told_in(*self.parts)
        first, second = (interval(self.of.among(part, columns, self.by_item), confidence) for part in self.parts)
        return first, second


def group_figures(predictions: Sequence[Predicted], labels: Labels, strongest: str = "") -> list[GroupFigure]:
    """The figures of all groups, in the order of `predictions`: of every value of an attribute, then of every person or source.

    strongest: the measure of the strongest attacker. Half of the 5 % goes to the utility and to this one, half to all others
    (all of it where there are no others), so that many attacks do not hide what the strongest does. A person's interval takes
    its test items, and those of the others, for independent; that of an attribute takes whole sources.
    """
    asked = [question for each in predictions for question in _questions(each, labels)]
    main = {UTILITY, strongest}
    counts = Counter(question.of.measure in main for question in asked if not (question.undefined or question.lacking))
    confidence = {of_main: each_of(len(counts) * count) for of_main, count in counts.items()}
    return [
        figure
        for question in asked
        for figure in _figures(question, confidence.get(question.of.measure in main, math.nan), question.of.measure in main)
    ]


def _questions(of: Predicted, labels: Labels) -> Iterator[_Question]:
    for attribute, known in labels.items():
        values = np.array([known.get(item, -1) for item in of.items])
        if (values >= 0).any():
            parts = np.flatnonzero(values == 1), np.flatnonzero(values == 0)
            yield _Question(of, "attribute", (attribute, f"not {attribute}"), parts)
    sources, counts = np.array(of.sources), Counter(of.sources)
    for person in sorted(counts):
        if len(counts) > 1 and counts[person] >= LEAST_GROUPS:
            parts = np.flatnonzero(sources == person), np.flatnonzero(sources != person)
            yield _Question(of, "person", (person,), parts)


def too_few(predictions: Sequence[Predicted]) -> dict[str, int]:
    """By measure, how many people or sources have too few test items of their own to be told from the others."""
    counts = {each.measure: Counter(each.sources).values() for each in predictions}
    return {measure: few for measure, sizes in counts.items() if (few := sum(size < LEAST_GROUPS for size in sizes))}


def _figures(question: _Question, confidence: float, main: bool) -> Iterator[GroupFigure]:
    measure, kind, lacking = question.of.measure, question.kind, question.undefined or question.lacking
    first, second, difference = UNKNOWN, UNKNOWN, UNKNOWN
    if not question.undefined:
        first, second = question.intervals(statistics.CONFIDENCE)
        value = first.value - second.value
        difference = Interval(value, math.nan, math.nan, first.items + second.items, min(first.groups, second.groups))
    if not lacking:
        together = question.intervals(confidence)
        flat = next((each for each in together if each.low == each.high), None)
        lacking = next((each.lacking for each in together if each.lacking), "")
        if not lacking and flat is not None and value:
            lacking = "on one side nothing differs from item to item, so that nobody knows how it varies"
        if not lacking:
            difference = apart(*together)
    mirrored = Interval(-difference.value, -difference.high, -difference.low, difference.items, difference.groups)
    sides = ((first, second, difference), (second, first, mirrored))
    for name, (own, rest, apart_by) in zip(question.names, sides, strict=False):
        worse = apart_by.high < 0 if measure == UTILITY else apart_by.low > 0
        yield GroupFigure(measure, kind, name, own, rest, apart_by, bool(worse), lacking, main)


def predicted(answers: Mapping[str, Record], attacks: Sequence[AttackRecord]) -> list[Predicted]:
    """What is kept of a trial by test item: the utility first, its evaluators, then the attacks, but for those whose controls
    have missed their levels.
    """
    found = []
    if "evaluate_action" in answers:
        record = answers["evaluate_action"]
        found.append(Predicted(UTILITY, *_names(record), (np.asarray(record["rank"]) <= 1).astype(float)))
    for measure, stages in _READERS:
        stage = next((stage for stage in stages if stage in answers), "")
        if (each := predicted_by_stage(stage, answers, measure)) is not None:
            found.append(each)
    sources = sources_of(answers)
    for attack in attacks:
        metric = item_metric(attack, sources) if attack.valid else None
        if metric is None:
            continue
        keys, other = (("answers", "labels"), None) if "labels" in attack.items[0] else (("score", "chance"), attack.chance)
        scores, truths = (np.array([item.get(key, other) for item in attack.items], dtype=float) for key in keys)
        found.append(Predicted(ATTACK + attack.name, metric.items, metric.groups, scores, truths, attack.attributes))
    return found


def predicted_by_stage(stage: str, answers: Mapping[str, Record], measure: str) -> Predicted | None:
    """The attributes that a stage has predicted; None where nothing of it was kept."""
    if stage not in answers:
        return None
    record = answers[stage]
    scores, truths = (np.asarray(record[name], dtype=float) for name in ("probabilities", "labels"))
    return Predicted(measure, *_names(record), scores, truths, tuple(map(str, record["attributes"])))


def known_labels(answers: Mapping[str, Record], attacks: Sequence[AttackRecord]) -> dict[str, dict[str, int]]:
    """The private attributes of the test items, as far as evaluators and attacks have recorded them: by attribute and item."""
    found: dict[str, dict[str, int]] = {}
    for record in answers.values():
        if "labels" in record:
            _add(found, record["attributes"], record["items"], record["labels"])
    for attack in attacks:
        rows = [item for item in attack.items if "labels" in item]
        _add(found, attack.attributes, [item["id"] for item in rows], [item["labels"] for item in rows])
    return found


def _names(record: Record) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(map(str, record["items"])), tuple(map(str, record["groups"]))


def _add(found: dict[str, dict[str, int]], attributes: Sequence[str], items: Sequence[Any], labels: Sequence[Any]) -> None:
    for item, row in zip(items, labels, strict=True):
        for attribute, value in zip(attributes, row, strict=True):
            found.setdefault(str(attribute), {})[str(item)] = int(value)
