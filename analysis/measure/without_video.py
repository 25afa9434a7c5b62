"""What a video adds to what is known without it: attacks on attributes beside who knows the other attributes of a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.measure.compare import Record
from analysis.measure.groups import Predicted, predicted_by_stage
from trainables.stages import WITHOUT_VIDEO
from trainables.statistics import Interval, average_precision, compare, numbered


@dataclass(frozen=True)
class AddedByVideo:
    """What an attack reads of an attribute beyond what the other attributes tell.

    measure: the metric of the attack. attribute: its name; empty for the mean over all. precision, precision_without: the
    average precision of the attack and of the baseline (the mean over attributes). read, without: their leakages, each above
    the chance of its own scores. added: read minus without, paired by test item, with the interval over groups of them.
    """

    measure: str
    attribute: str
    precision: float
    precision_without: float
    read: Interval
    without: Interval
    added: Interval


def added_by_video(predictions: Sequence[Predicted], answers: Mapping[str, Record]) -> list[AddedByVideo]:
    """For each attack on attributes, and each evaluator, of the items of the baseline: the mean, then each attribute.

    Empty where a trial has no baseline. An attribute of one value only among the items is left out.
    """
    baseline = predicted_by_stage(WITHOUT_VIDEO.name, answers, WITHOUT_VIDEO.name)
    if baseline is None:
        return []
    return [each for one in predictions if one.reads_attributes for each in _of(one, baseline)]


def _of(attack: Predicted, baseline: Predicted) -> Iterator[AddedByVideo]:
    places = {name: place for place, name in enumerate(baseline.items)}
    if len(places) < len(baseline.items) or len(set(attack.items)) < len(attack.items):
        return  # of equal names nobody knows which belongs to which
    ours = np.array([place for place, name in enumerate(attack.items) if name in places], dtype=int)
    theirs = np.array([places[attack.items[place]] for place in ours], dtype=int)
    both = sorted(set(attack.attributes) & set(baseline.attributes), key=attack.attributes.index)
    pairs = [(attack.attributes.index(name), baseline.attributes.index(name)) for name in both]
    told = set(attack.told_in(ours)) if len(ours) else set()
    kept = [pair for pair in pairs if pair[0] in told]
    if not kept:
        return
    yield _added(attack, baseline, (ours, theirs), kept, "")
    for pair in kept:
        yield _added(attack, baseline, (ours, theirs), [pair], attack.attributes[pair[0]])


def _added(
    attack: Predicted,
    baseline: Predicted,
    places: tuple[NDArray[np.intp], NDArray[np.intp]],
    columns: Sequence[tuple[int, int]],
    attribute: str,
) -> AddedByVideo:
    of_each = tuple(np.array(numbers, dtype=int) for numbers in zip(*columns, strict=True))
    sides = [
        each.among(where, numbers, by_item=False)
        for each, where, numbers in zip((attack, baseline), places, of_each, strict=True)
    ]
    found = compare(*sides)
    return AddedByVideo(
        attack.measure,
        attribute,
        _mean_precision(attack, places[0], of_each[0]),
        _mean_precision(baseline, places[1], of_each[1]),
        found.first,
        found.second,
        found.difference,
    )


def _mean_precision(each: Predicted, places: NDArray[np.intp], columns: NDArray[np.intp]) -> float:
    groups, every = numbered([each.sources[place] for place in places]), np.ones((1, len(places)), dtype=bool)
    scores, truths = each.scores[places], np.asarray(each.truths)[places]
    return float(np.mean([average_precision(scores[:, a], truths[:, a], groups, every)[0][0] for a in columns]))
