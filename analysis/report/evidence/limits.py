"""The three risks of the EU's opinion on anonymisation with the attacks that bear on each, and what the tests do not show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis import text
from analysis.read.attacks import RISKS, WORST, AttackRecord
from analysis.read.study import RecordedStudy
from analysis.read.trials import GIVEN, PARAM
from analysis.report.evidence.attack_words import learned_from_raw
from analysis.report.evidence.findings import AttackerFinding
from trainables.attacks import ATTACKS
from trainables.attacks.shared.assets import ASSETS, lacking
from trainables.schema import AP, CLIP
from trainables.statistics import FEW_GROUPS, Interval

_RISK_WORDS = {
    "singling out": "Can somebody pick one person out of all the people in the videos?",
    "linkability": "Can somebody tell that two videos show the same person?",
    "inference": "Can somebody deduce what a person is like (a private attribute) from the video?",
}


@dataclass(frozen=True)
class RiskFindings:
    """One of the three risks of WP216 and the results of the attacks that bear on it."""

    name: str
    question: str
    tested: str
    results: Sequence[str]


def risks(attacks: Sequence[AttackRecord], findings: Sequence[AttackerFinding]) -> list[RiskFindings]:
    """The three risks in the order of WP216, each with every test of this page that says something of it."""
    rows = []
    for name in RISKS:
        own = [attack for attack in attacks if attack.risk == name]
        searches = [attack for attack in attacks if attack.risk == "linkability"] if name == "singling out" else []
        unchecked = [each for each in findings if each.status == "unchecked"] if name == "inference" else []
        titles = [*(attack.title for attack in (*own, *searches)), *(each.title for each in unchecked)]
        tested = (", ".join(titles) or "nothing that was run here") + (_of_searches(searches) if searches else "")
        results = [_result(attack) for attack in (*own, *searches)]
        for each in unchecked:
            learned = text.percent_interval(each.leakage, each.low, each.high)
            results.append(f"{each.title}: {learned}, from raw video {each.raw_text}; no control was made")
        rows.append(RiskFindings(name, _RISK_WORDS[name], tested, results or ["Not tested."]))
    return rows


def _of_searches(searches: Sequence[AttackRecord]) -> str:
    """What searches for the same person say of singling somebody out."""
    points = (point for attack in searches for curve in attack.people_at_risk.values() for point in curve)
    if any(point.risk == "singling out" for point in points):
        measured = "how often exactly one person is singled out stands under One person among N"
    else:
        measured = "how often exactly one person is singled out was not measured"
    return f". Who finds the same person again picks the clips of that person out of those of many; {measured}"


def _result(attack: AttackRecord) -> str:
    if not attack.valid:
        return f"{attack.title}: INVALID, a control missed its level"
    learned = text.percent_interval(attack.leakage, attack.low, attack.high)
    return f"{attack.title}: {learned}, from raw video {learned_from_raw(attack)}"


def limits(
    study: RecordedStudy,
    trial: pd.Series,
    attacks: Sequence[AttackRecord],
    intervals: Mapping[str, Interval],
    alike: pd.DataFrame,
) -> list[str]:
    """What the tests do not show, a paragraph each."""
    found = []
    missing = _not_tried(attacks)
    if missing:
        found.append(f"Attackers of this project that were not tried here: {'; '.join(missing)}.")
    if attacks and (nobody := lacking(asset for attack in attacks for asset in attack.has or ())):
        found.append(f"No attacker that was tried here had: {text.listed(ASSETS[asset].name for asset in nobody)}.")
    found += [
        "Attackers that nobody tried: people who know the persons and look at the frames themselves; attackers with far more"
        " video, time or newer programs; attackers who hold some of the raw videos; those who combine the video with other"
        " sources (place, time, sound, who was on duty). A tested attacker that fails does not show that all fail.",
        "The figures are averages over many clips. Some people may be recognised far more easily than the average says.",
    ]
    rising = [attack.title for attack in attacks if attack.converged is False]
    if rising:
        found.append(f"Still learning when stopped, so that more effort would probably learn more: {', '.join(rising)}.")
    sizes = {(found.items, found.groups) for name, found in intervals.items() if name != WORST}
    if sizes:
        items, groups = max(sizes)
        few = " So few that the intervals are too narrow." if min(groups for _, groups in sizes) < FEW_GROUPS else ""
        found.append(f"The tests rest on at most {items} test items from {groups} sources.{few}")
        if any(items == groups for items, groups in sizes):
            found.append(
                "In some tests no two items have the same recorded source, and each counts as independent: if several were cut"
                " from one recording all the same, those intervals are too narrow."
            )
    read = sorted({name for attack in attacks for name in attack.attributes} or {n for n in _attributes(trial)})
    if read:
        found.append(f"Private attributes that were looked for: {', '.join(read)}. Any other was not.")
    sets = dict.fromkeys(str(trial[name]) for name in map(str, trial.index) if _names_data(name) and pd.notna(trial[name]))
    who = "Attackers were trained" if trial["method"] in GIVEN else "Trained"
    found.append(
        f"{who} and tested on {', '.join(name for name in sets if name != 'None') or 'its own data sets'}"
        f"{' (drawn by a computer)' if study.profile == 'generated' else ''} only. It says nothing about other cameras, places,"
        " people, clothing, lighting, resolutions, or longer videos."
    )
    found.append(
        f"Intervals say what other test items of the same kind would give. {_trainings(len(alike))}"
        " Sound and file metadata were not part of the tests; `analysis anonymize` drops both unless told otherwise."
    )
    return found


def _trainings(count: int) -> str:
    if count == 1:
        return "They do not say what another training would give; there was only one."
    return f"What another training would give is told by the {count} trainings of this setting."


def _names_data(column: str) -> bool:
    return column.startswith(PARAM + "data.") and column.endswith(".name")


def _attributes(trial: pd.Series) -> list[str]:
    return [
        str(name).partition(AP)[2] for name in trial.index if str(name).startswith((AP, CLIP + AP)) and pd.notna(trial[name])
    ]


def _not_tried(attacks: Sequence[AttackRecord]) -> list[str]:
    tried = {attack.name for attack in attacks}
    return [f"{ATTACKS[name].title} ({ATTACKS[name].question})" for name in ATTACKS if name not in tried]
