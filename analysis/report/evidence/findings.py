"""What each attacker learned, how much of what it reads from raw video survives, and what the video is still good for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.measure.settings import bounds
from analysis.read.attacks import VALID, WORST, AttackRecord
from analysis.read.trials import PARAM, RAW
from trainables.schema import FINAL_METRICS
from trainables.statistics import UNKNOWN, Estimate, Interval, estimate, share

EVALUATORS = {
    "leakage": "A freshly trained classifier, on pictures",
    "clip_leakage": "A freshly trained classifier, on the videos",
}
_FEW_CLASSES = 6  # of so few the right one is nearly always among the five best guesses


@dataclass(frozen=True)
class AttackerFinding:
    """What one attacker learned. Leakages are shares of 1, NaN where not known.

    `status` is valid, invalid (a control missed its level) or unchecked (there was no control but raw video). `survives`: the
    leakage over that from raw video, with the ends of its interval (`statistics.share`); NaN where it is not known, or not
    sure, that the attacker reads anything from raw video.
    """

    title: str
    by: str
    leakage: float
    low: float
    high: float
    raw: float
    raw_text: str
    status: str
    survives: float
    survives_low: float
    survives_high: float


@dataclass(frozen=True)
class UtilityFigure:
    """What the video is still good for: a share of right answers on anonymized video, on raw video, and by guessing.

    `raw_text` is the share on raw video in words, with its interval or the number of trainings.
    """

    name: str
    interval: Interval
    seeds: Estimate
    raw: Estimate
    raw_text: str
    chance: float


def findings(
    trial: pd.Series, raw: pd.DataFrame, attacks: Sequence[AttackRecord], intervals: Mapping[str, Interval]
) -> list[AttackerFinding]:
    """The attackers, the strongest first; the evaluators of the trial count among them. intervals: of their leakages."""
    found = []
    for attack in attacks:
        own, positive = (Interval(each.leakage, each.low, each.high, 0, 0) for each in (attack, attack.positive))
        raw_text = text.percent_interval(positive.value, positive.low, positive.high)
        found.append(_finding(attack.title, attack.name, own, positive, raw_text, "valid" if attack.valid else "invalid"))
    for metric, title in EVALUATORS.items():
        if metric in trial and not pd.isna(trial[metric]):
            own = intervals.get(metric, Interval(float(trial[metric]), math.nan, math.nan, 0, 0))
            found.append(_finding(title, metric, own, *_from_raw(raw, metric), "unchecked"))
    return sorted(found, key=lambda finding: (finding.status == "invalid", -finding.leakage))


def _finding(title: str, by: str, own: Interval, raw: Interval, raw_text: str, status: str) -> AttackerFinding:
    reads_raw = (raw.value if math.isnan(raw.low) else raw.low) > 0
    survives = share(own, raw) if reads_raw else UNKNOWN
    ends = survives.value, survives.low, survives.high
    return AttackerFinding(title, by, own.value, own.low, own.high, raw.value, raw_text, status, *ends)


def in_words(found: AttackerFinding) -> str:
    """What an attacker reads, of what it reads from raw video, in a sentence that names it."""
    return f"{found.title}: {reads(found)}"


def reads(found: AttackerFinding) -> str:
    """The same without its name."""
    here, raw = (text.number(100 * value, 0) for value in (found.leakage, found.raw))
    if found.status == "invalid":
        return "INVALID, a control missed its level; what it read says nothing."
    if math.isnan(found.survives):
        said = "not known" if math.isnan(found.raw) else f"{raw}, which may be guessing"
        return f"reads {here}; what it reads from raw video is {said}."
    share, least, most = (text.percent(each, 0) for each in (found.survives, found.survives_low, found.survives_high))
    told = f"reads {here}, and {raw} from raw video"
    if found.leakage <= found.raw:
        told = f"reads {here} of the {raw} it reads from raw video"
    if math.isnan(found.low):
        return f"{told}; {share} survives (no interval)."
    if found.low > 0:
        return f"{told}; {share} survives (interval {least} to {most})."
    if found.high < 0:
        return f"{told}, which is less than a guesser would."
    return f"{told}, which cannot be told from guessing; up to {most} may survive unseen."


def alarm(trial: pd.Series, attacks: Sequence[AttackRecord]) -> list[str]:
    """What a reader must know before anything else; empty where all is in order."""
    found = []
    broken = [attack.title for attack in attacks if not attack.valid]
    if broken or trial.get(VALID) == 0:
        found.append(
            f"INVALID FIGURES. A check built into the tests failed for: {', '.join(broken) or 'an attack'}. What these attacks"
            " report says nothing about the anonymizer, in either direction. Decide nothing on it before they are repeated."
        )
    if not attacks:
        found.append(
            "EVIDENCE IS MISSING. No attack was run against this anonymizer. All this page has is the usual measure, a freshly"
            " trained classifier, which nobody tried where there is nothing to read."
        )
    if trial["method"] == RAW:
        found.append("This is no anonymizer: the video was left as it is.")
    return found


def utility(trial: pd.Series, alike: pd.DataFrame, raw: pd.DataFrame, intervals: Mapping[str, Interval]) -> list[UtilityFigure]:
    guess = float(trial.get("chance_top1", math.nan))
    names = {
        "top1": "the right action among all (a classifier trained on anonymized video)",
        "top5": "the right action among its five best guesses",
        "deployed_top1": "the right action, by a classifier trained on raw video and left as it was",
    }
    found = []
    for metric, name in names.items():
        told_little = metric == "top5" and guess > 1 / (_FEW_CLASSES + 1)  # the largest class is no smaller than the mean one
        if metric not in trial or pd.isna(trial[metric]) or told_little:
            continue
        unknown = Interval(float(trial[metric]), math.nan, math.nan, 0, 0)
        found.append(
            UtilityFigure(
                name,
                intervals.get(metric, unknown),
                estimate(alike[metric]),
                estimate(raw[metric]),
                _from_raw(raw, metric)[1],
                math.nan if metric == "top5" else guess,
            )
        )
    return found


def utility_made(trial: pd.Series) -> str:
    """How the utility was measured, in a sentence."""
    epochs = trial.get(PARAM + "evaluate_action.epochs", "an unrecorded number of")
    return (
        f"A new classifier of actions was trained on anonymized video, from nothing, in {epochs} passes over its training"
        " examples, and tried on the test videos; another was trained and tried on raw video."
    )


def other_trainings(alike: pd.DataFrame) -> list[str]:
    """The means over all trainings of the same setting, a text for each metric; empty for a single training."""
    if len(alike) < 2:
        return []
    return [
        f"{FINAL_METRICS[metric].label} {_mean_text(estimate(alike[metric]))}"
        for metric in (WORST, "leakage", "clip_leakage", "top1")
        if metric in alike and alike[metric].notna().any()
    ]


def _from_raw(raw: pd.DataFrame, metric: str) -> tuple[Interval, str]:
    """A metric of raw video, and the same in words: of one trial with its interval over test items, of more their mean."""
    known = raw[raw[metric].notna()]
    mean = estimate(known[metric])
    if mean.n == 1:
        low, high = bounds(known.iloc[0], metric)
        told = f"{text.percent(mean.mean)} (trained once)" if math.isnan(low) else text.percent_interval(mean.mean, low, high)
        return Interval(mean.mean, low, high, 0, 0), told
    return Interval(mean.mean, mean.mean - mean.half_width, mean.mean + mean.half_width, 0, 0), _mean_text(mean)


def _mean_text(value: Estimate) -> str:
    """A mean over trainings with its interval and their number."""
    if not value.n:
        return "not known"
    trainings = "trained once" if value.n == 1 else f"mean of {value.n} trainings"
    return f"{text.mean(value, count=False)}{text.NO_BREAK}% ({trainings})"
