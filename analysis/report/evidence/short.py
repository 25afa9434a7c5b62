"""The first screen: what the evidence is about, and what was asked, how, what was found, how sure, and what was not tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.read.attacks import AttackRecord
from analysis.read.study import RecordedStudy
from analysis.read.trials import GIVEN, PARAM
from analysis.report.evidence.findings import AttackerFinding, UtilityFigure, in_words
from analysis.report.evidence.sizes import SizeFigures, measured_at
from analysis.report.evidence.sizes import sentences as where_they_hold
from analysis.report.evidence.untested import NotMeasured, Untried
from trainables.statistics import FEW_GROUPS, Interval

LEGAL = "This page records tests. It claims no compliance with any law, and tests can show leaks but not their absence."
_ASKED = {
    "linkability": "who they are (whether two videos show the same person)",
    "singling out": "whether somebody can be picked out at all",
    "inference": "what they are like",
}


@dataclass(frozen=True)
class LinkedLine:
    """A sentence. `at`: the id of the part of the page that says how its numbers were made; empty where there are none."""

    text: str
    at: str = ""


@dataclass(frozen=True)
class ShortAnswer:
    """One of the five questions of the first screen, and its answer."""

    question: str
    lines: Sequence[LinkedLine]


def section_of(by: str) -> str:
    """The id of the part of the page on an attacker."""
    return f"attacker-{by}"


def about(study: RecordedStudy, trial: pd.Series) -> str:
    """What the evidence is about: the data and the size of what was shown."""
    at = measured_at(trial)
    size = f"{at.clip_size} x {at.clip_size} pixels" if at else "a size that is not recorded"
    if study.profile == "generated":
        return (
            f"Drawn figures at {size}: no evidence for a camera. A computer has drawn all videos; the numbers show that the"
            " tests work, and say nothing about people."
        )
    data = text.listed(data_sets(trial)) or "of a set that is not recorded"
    return f"Data {data}, at {size}. Evidence for these, and for no others."


def data_sets(trial: pd.Series) -> list[str]:
    """The data sets of a trial, by their layouts: what lies in the layout of UCF101 need not be UCF101."""
    names = [str(name) for name in trial.index if str(name).startswith(PARAM + "data.") and str(name).endswith(".name")]
    found = dict.fromkeys(str(trial[name]) for name in names if pd.notna(trial[name]))
    return [f"in the layout {name}" for name in found if name not in ("None", "frames_of_clips")]


def asked(
    findings: Sequence[AttackerFinding], attacks: Sequence[AttackRecord], attributes: Sequence[str], one_each: bool
) -> ShortAnswer:
    """attributes: those that were looked for. one_each: everybody has exactly one of them, such as a name."""
    risks = {attack.risk for attack in attacks} | {"inference" for each in findings if each.status == "unchecked"}
    told = []
    for risk, words in _ASKED.items():
        if risk in risks:
            private = risk == "inference" and attributes
            which = f" ({text.listed(map(text.words, attributes), 8)})" if private else ""
            told.append((f"which of {len(attributes)} they are" if private and one_each else words) + which)
    question = f"Can programs still read of the people in the anonymized video {', and '.join(told)}?" if told else "Nothing."
    return ShortAnswer("What was asked", [LinkedLine(question)])


def how(findings: Sequence[AttackerFinding], anonymizer: str) -> ShortAnswer:
    """anonymizer: in a sentence, how far it was free to change the picture; empty where that is not known."""
    lines = [LinkedLine(anonymizer, "anonymizer")] if anonymizer else []
    if findings:
        lines.append(
            LinkedLine(
                f"{text.counted(len(findings), 'attacker')}, each of which tries to read people from anonymized video and, to"
                " see what there is to read, from raw video. Their numbers: 0 is guessing, 100 is reading everything.",
                "attackers",
            )
        )
    if any(each.status == "unchecked" for each in findings):
        lines.append(
            LinkedLine("Those called freshly trained classifiers were not tried where there is nothing to read.", "no-control")
        )
    return ShortAnswer("How", lines)


def found(
    findings: Sequence[AttackerFinding], who: LinkedLine | None, utility: Sequence[UtilityFigure], further: Sequence[LinkedLine]
) -> ShortAnswer:
    """who: what is known of who people are. further: of the sections of their own; lines without text are left out."""
    lines = [LinkedLine(in_words(each), section_of(each.by)) for each in findings]
    if not [each for each in findings if each.status != "invalid"]:
        lines.append(LinkedLine("No attacker gave a figure that counts."))
    lines += [who] if who else []
    for each in utility[:1]:
        kept = text.percent_interval(each.interval.value, each.interval.low, each.interval.high)
        of_raw = f"; of raw videos in {each.raw_text}" if each.raw.n else ""
        guess = "" if pd.isna(each.chance) else f"; guessing in {text.percent(each.chance)}"
        lines.append(LinkedLine(f"What people do is still recognised in {kept} of the test videos{of_raw}{guess}.", "utility"))
    return ShortAnswer("What was found", [*lines, *(line for line in further if line.text)])


def how_sure(
    trial: pd.Series,
    alike: pd.DataFrame,
    attacks: Sequence[AttackRecord],
    intervals: Sequence[Interval],
    sizes: Sequence[SizeFigures],
) -> ShortAnswer:
    """alike: all trainings of the setting. intervals: of the figures of the page."""
    lines = []
    counted = {(each.items, each.groups) for each in intervals}
    if counted:
        items, groups = max(counted)
        few = " So few that the intervals are too narrow." if min(groups for _, groups in counted) < FEW_GROUPS else ""
        lines.append(
            f"The tests rest on at most {items} test items from {groups} sources; the 95 % intervals say what others of the"
            f" same kind would probably give.{few}"
        )
    if trial.get("method") in GIVEN:
        lines.append(
            "The anonymizer was not trained here: it was tested as it is, and how another training would differ is not known."
        )
    elif len(alike) > 1:
        lines.append(f"The anonymizer of this page is one of {len(alike)} trainings of the same setting.")
    else:
        lines.append("It was trained once: how much another training of the same setting would differ is not known.")
    rising = [attack.title for attack in attacks if attack.converged is False]
    if rising:
        lines.append(f"Still learning when stopped, so that more effort would probably read more: {', '.join(rising)}.")
    lines.append(" ".join(where_they_hold(trial, sizes)))
    return ShortAnswer("How sure", [LinkedLine(line) for line in lines])


def not_tried(untried: Sequence[Untried], not_measured: Sequence[NotMeasured]) -> ShortAnswer:
    titles = [f"“{each.title}”" for each in untried]
    lines = [f"{text.counted(len(titles), 'further attacker')}: {text.listed(titles, 3)}."] if titles else []
    lines += [f"{each.what}." for each in not_measured]
    last = LinkedLine("People who know the persons and look for themselves; other cameras, places, people.", "limits")
    return ShortAnswer("What was not tried", [*map(LinkedLine, lines), last])
