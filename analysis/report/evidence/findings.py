"""What each attacker learned, what the video is still good for, and the sentences at the top of the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.read.attacks import VALID, WORST, AttackRecord
from analysis.read.study import RecordedStudy
from analysis.read.trials import GIVEN, RAW
from analysis.report.evidence.attack_words import learned_from_raw
from analysis.report.evidence.sizes import SizeFigures
from analysis.report.evidence.sizes import sentences as where_they_hold
from trainables.schema import FINAL_METRICS
from trainables.statistics import Estimate, Interval, estimate

_EVALUATORS = {
    "leakage": "A freshly trained classifier, on pictures",
    "clip_leakage": "A freshly trained classifier, on the videos",
}

_ELSEWHERE = "The anonymizer was not trained here: it was tested as it is, and how another training would differ is not known."


@dataclass(frozen=True)
class AttackerFinding:
    """What one attacker learned: a line of the overview. Leakages are shares of 1, NaN where not known.

    `status` is valid, invalid (a control missed its level) or unchecked (there was no control)."""

    title: str
    by: str
    leakage: float
    low: float
    high: float
    raw: float
    raw_text: str
    status: str


@dataclass(frozen=True)
class UtilityFigure:
    """What the video is still good for: a share of right answers on anonymized video, on raw video, and by guessing."""

    name: str
    interval: Interval
    seeds: Estimate
    raw: Estimate
    chance: float


def findings(
    trial: pd.Series, raw: pd.DataFrame, attacks: Sequence[AttackRecord], intervals: Mapping[str, Interval]
) -> list[AttackerFinding]:
    """The attackers, the strongest first; the evaluators of the trial count among them."""
    found = [
        AttackerFinding(
            title=attack.title,
            by=attack.name,
            leakage=attack.leakage,
            low=attack.low,
            high=attack.high,
            raw=attack.positive.leakage,
            raw_text=learned_from_raw(attack),
            status="valid" if attack.valid else "invalid",
        )
        for attack in attacks
    ]
    for metric, title in _EVALUATORS.items():
        if metric in trial and not pd.isna(trial[metric]):
            sure = intervals.get(metric)
            known = estimate(raw[metric])
            found.append(
                AttackerFinding(
                    title=title,
                    by=metric,
                    leakage=float(trial[metric]),
                    low=sure.low if sure else math.nan,
                    high=sure.high if sure else math.nan,
                    raw=known.mean,
                    raw_text=_mean_text(known),
                    status="unchecked",
                )
            )
    return sorted(found, key=lambda finding: (finding.status == "invalid", -finding.leakage))


def alarm(study: RecordedStudy, trial: pd.Series, attacks: Sequence[AttackRecord]) -> list[str]:
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
            " trained classifier, without a check that it could have read anything. Run the study with --attacks standard."
        )
    if study.profile == "generated":
        found.append(
            "All videos here are drawn by a computer. The figures show that the tests work; they say nothing about people."
        )
    if trial["method"] == RAW:
        found.append("This is no anonymizer: the video was left as it is.")
    return found


def in_short(
    study: RecordedStudy,
    trial: pd.Series,
    findings: Sequence[AttackerFinding],
    utility: Sequence[UtilityFigure],
    alike: pd.DataFrame,
    sizes: Sequence[SizeFigures] = (),
    further: Sequence[str] = (),
) -> list[str]:
    """Sentences for a reader who reads no further. further: those of sections of their own, empty ones left out."""
    sentences = where_they_hold(trial, sizes)
    sound = [finding for finding in findings if finding.status != "invalid"]
    if sound:
        worst = sound[0]
        from_raw = "" if math.isnan(worst.raw) else f" From the raw video it learns {worst.raw_text}."
        learned = text.percent_interval(worst.leakage, worst.low, worst.high)
        sentences.append(
            f"Of {text.counted(len(sound), 'attacker')} whose figures count, the strongest ({worst.title}) still learns"
            f" {learned} of what can be learned beyond guessing; 0 % is guessing, 100 % is reading everything.{from_raw}"
        )
        guessing = [finding for finding in sound if finding.low <= 0 <= finding.high]
        if guessing:
            sentences.append(f"{len(guessing)} of {len(sound)} cannot be told from guessing on the test items at hand.")
    else:
        sentences.append("No attacker gave a figure that counts.")
    for each in utility[:1]:
        kept = text.percent_interval(each.interval.value, each.interval.low, each.interval.high)
        of_raw = f", of raw video in {_mean_text(each.raw)}" if each.raw.n else ""
        guess = "" if math.isnan(each.chance) else f"; guessing gives {text.percent(each.chance)}"
        sentences.append(f"What people do is still recognised in {kept} of the test videos{of_raw}{guess}.")
    sentences += filter(None, further)
    trained = (
        f"The anonymizer of this page is one of {len(alike)} trainings of the same setting."
        if len(alike) > 1
        else "It was trained once (n = 1): how much another training of the same setting would differ is not known."
    )
    sentences.append(_ELSEWHERE if trial.get("method") in GIVEN else trained)
    sentences.append(
        "This page records tests. It claims no compliance with any law, and tests can show leaks but not their absence."
    )
    return sentences


def utility(trial: pd.Series, alike: pd.DataFrame, raw: pd.DataFrame, intervals: Mapping[str, Interval]) -> list[UtilityFigure]:
    found = []
    names = {
        "top1": "the right action among all (a classifier trained on anonymized video)",
        "top5": "the right action among its five best guesses",
        "deployed_top1": "the right action, by a classifier trained on raw video and left as it was",
    }
    for metric, name in names.items():
        if metric not in trial or pd.isna(trial[metric]):
            continue
        value = float(trial[metric])
        chance = float(trial["chance_top1"]) if metric != "top5" and "chance_top1" in trial else math.nan
        unknown = Interval(value, math.nan, math.nan, 0, 0)
        found.append(
            UtilityFigure(name, intervals.get(metric, unknown), estimate(alike[metric]), estimate(raw[metric]), chance)
        )
    return found


def other_trainings(alike: pd.DataFrame) -> list[str]:
    """The means over all trainings of the same setting, a text for each metric; empty for a single training."""
    if len(alike) < 2:
        return []
    found = []
    for metric in (WORST, "leakage", "clip_leakage", "top1"):
        value = estimate(alike[metric]) if metric in alike else Estimate(math.nan, math.nan, 0)
        if value.n:
            found.append(f"{FINAL_METRICS[metric].label} {_mean_text(value)}")
    return found


def _mean_text(value: Estimate) -> str:
    """A mean over trainings with its interval and their number."""
    if not value.n:
        return "not known"
    return f"{text.mean(value, count=False)}{text.NO_BREAK}% (n = {value.n})"
