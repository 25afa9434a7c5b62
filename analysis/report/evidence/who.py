"""Who is it? How many people, or clips, the best attacker names right, in plain numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from analysis import text
from analysis.measure.groups import Predicted
from analysis.report.evidence.people import RiskCurve
from trainables import statistics
from trainables.schema import ATTACK
from trainables.statistics import above_chance

_LEAST = 3  # values of an attribute: of two, one is the other's absence


@dataclass(frozen=True)
class PeopleNamed:
    """by: the name of the attacker. asked: of how many `what` it was asked. right, guessed: of them named right, by it and by
    guessing, with the ends of the interval; from_raw: the same attacker from raw video, None where that is not known.
    """

    by: str
    asked: int
    what: str
    right: float
    low: float
    high: float
    guessed: float
    from_raw: float | None


def best_named(curves: Sequence[RiskCurve], predictions: Sequence[Predicted]) -> PeopleNamed | None:
    """The attacker that is farthest above guessing: of searches, and of readers where each test item has one attribute of
    several, such as the person. None where nobody was asked who it is.
    """
    found = [*_searches(curves), *_readers(predictions)]
    return max(found, key=lambda each: above_chance(each.right, each.guessed), default=None)


def sentence(named: PeopleNamed, titles: Mapping[str, str]) -> str:
    """titles: of the attackers, by name."""
    right, low, high, guessed = (
        text.number(share * named.asked, 0) for share in (named.right, named.low, named.high, named.guessed)
    )
    raw = "" if named.from_raw is None else f"; from raw video {text.number(named.from_raw * named.asked, 0)}"
    return (
        f"Who is it? “{titles[named.by]}” names {right} of {named.asked} {named.what} right (interval {low} to {high}){raw};"
        f" guessing names {guessed} of {named.asked}."
    )


def _searches(curves: Sequence[RiskCurve]) -> list[PeopleNamed]:
    found = []
    for curve in curves:
        if not curve.valid or (curve.risk, curve.video) != ("linkability", "anonymized"):
            continue
        point = curve.points[-1]  # among most people
        raw = next(
            (
                other.points[-1].value
                for other in curves
                if (other.by, other.risk, other.video, other.clips) == (curve.by, curve.risk, "raw", curve.clips)
            ),
            None,
        )
        what = f"people (each among {point.among}, from {text.counted(curve.clips, 'clip')})"
        found.append(PeopleNamed(curve.by, point.people, what, point.value, point.low, point.high, point.chance, raw))
    return found


def one_of_several(each: Predicted) -> bool:
    """Whether each test item has exactly one of several attributes, such as the person it shows."""
    truths = np.asarray(each.truths)
    return each.reads_attributes and truths.shape[1] >= _LEAST and bool((truths.sum(axis=1) == 1).all())


def _readers(predictions: Sequence[Predicted]) -> list[PeopleNamed]:
    found = []
    for each in predictions:
        if not one_of_several(each):
            continue
        truths = np.asarray(each.truths)
        hits = (each.scores.argmax(axis=1) == truths.argmax(axis=1)).astype(float)
        sure = statistics.interval(statistics.mean(each.items, each.sources, hits))
        what = f"test items (which of {text.listed(each.attributes, 2)} it is)"
        by, guessed = each.measure.removeprefix(ATTACK), float(truths.mean(axis=0).max())
        found.append(PeopleNamed(by, len(each.items), what, sure.value, sure.low, sure.high, guessed, None))
    return found
