"""The three risks of the EU's opinion on anonymisation with the attacks that bear on each, and what the tests do not show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.read.attacks import RISKS, AttackRecord
from analysis.read.study import RecordedStudy
from analysis.read.trials import GIVEN
from analysis.report.evidence.findings import AttackerFinding, in_words
from analysis.report.evidence.short import LinkedLine, data_sets, section_of
from trainables.attacks.shared.assets import ASSETS, lacking
from trainables.statistics import Interval

_RISK_WORDS = {
    "singling out": "Can somebody pick one person out of all the people in the videos?",
    "linkability": "Can somebody tell that two videos show the same person?",
    "inference": "Can somebody deduce what a person is like (a private attribute) from the video?",
}


@dataclass(frozen=True)
class RiskFindings:
    """One of the three risks of WP216 and the results of the attacks that bear on it; `note` on what they say of it."""

    name: str
    question: str
    results: Sequence[LinkedLine]
    note: str = ""


def risks(attacks: Sequence[AttackRecord], findings: Sequence[AttackerFinding]) -> list[RiskFindings]:
    """The three risks in the order of WP216, each with every test of this page that says something of it."""
    bears = {
        attack.name: ("singling out", "linkability") if attack.risk == "linkability" else (attack.risk,) for attack in attacks
    }
    rows = []
    for name in RISKS:
        own = [each for each in findings if name in bears.get(each.by, ("inference",))]
        searches = [attack for attack in attacks if attack.risk == "linkability"] if name == "singling out" else []
        results = [LinkedLine(in_words(each), section_of(each.by)) for each in own]
        note = _of_searches(searches) if searches else ""
        rows.append(RiskFindings(name, _RISK_WORDS[name], results or [LinkedLine("Not tested.", "limits")], note))
    return rows


def _of_searches(searches: Sequence[AttackRecord]) -> str:
    """What searches for the same person say of singling somebody out."""
    points = (point for attack in searches for curve in attack.people_at_risk.values() for point in curve)
    if any(point.risk == "singling out" for point in points):
        measured = "how often exactly one person is singled out stands under One person among N"
    else:
        measured = "how often exactly one person is singled out was not measured"
    return f"Who finds the same person again picks the clips of that person out of those of many; {measured}."


def limits(
    study: RecordedStudy,
    trial: pd.Series,
    attacks: Sequence[AttackRecord],
    intervals: Sequence[Interval],
    attributes: Sequence[str],
) -> list[str]:
    """What no test of the page shows, a sentence or two each. intervals: of its figures. attributes: that were looked for."""
    found = []
    if attacks and (nobody := lacking(asset for attack in attacks for asset in attack.has or ())):
        found.append(f"No attacker that was tried here had: {text.listed(ASSETS[asset].name for asset in nobody)}.")
    found += [
        "Nobody tried: people who know the persons and look at the frames themselves; attackers with far more video, time or"
        " newer programs; attackers who hold some of the raw videos; those who combine the video with other sources (place,"
        " time, sound, who was on duty). A tested attacker that fails does not show that all fail.",
        "The figures are averages over many clips. Some people may be recognised far more easily than the average says.",
    ]
    if any(each.items == each.groups for each in intervals):
        found.append(
            "In some tests no two items have the same recorded source, and each counts as independent: if several were cut from"
            " one recording all the same, those intervals are too narrow."
        )
    if attributes:
        found.append(f"Private attributes that were looked for: {text.listed(map(text.words, attributes))}. Any other was not.")
    who = "Attackers were trained" if trial["method"] in GIVEN else "Trained"
    drawn = " (drawn by a computer)" if study.profile == "generated" else ""
    found.append(
        f"{who} and tested on data {text.listed(data_sets(trial)) or 'of its own'}{drawn} only. It says nothing about other"
        " cameras, places, people, clothing, lighting, resolutions, or longer videos."
    )
    if trial["method"] in GIVEN:
        found.append("Whether it remembers the people it was trained on cannot be tested: who they were is not known here.")
    found.append("Sound and file metadata were not part of the tests; `analysis anonymize` drops both unless told otherwise.")
    return found
