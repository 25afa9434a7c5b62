"""What was not tested, though this project has a test of it: each with the command that runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from analysis.measure.effort import EPOCHS
from analysis.read.attacks import AttackRecord
from analysis.read.study import RecordedStudy
from analysis.report.evidence.provenance import page_command, study_command
from trainables.attacks import ATTACKS
from trainables.methods import METHODS

ADDED = "What the video adds to what is known of a person without it"
TIME = "For how many frames in a row a person is exposed, and in which frame most"
GROUPS = "For whom the anonymizer works worse than for others"
FRAMES = "What the anonymized video looks like"
PEOPLE = "How often one of N people is singled out, or linked"
MEMBERSHIP = "Whether the anonymizer, in the hands of others, tells whose videos it was trained on"
CLASSIFIER_MEMBERSHIP = "Whether the action classifier does so, where it is given away too"
_BY = {TIME: "retrained", PEOPLE: "linkage"}  # the attack that measures it; all others come with any attack
_MORE = 4  # times the effort


@dataclass(frozen=True)
class Untried:
    """An attacker of this project that was not tried, and what it would have asked."""

    name: str
    title: str
    question: str


@dataclass(frozen=True)
class NotMeasured:
    """Something else that the page would have, and the command that measures it."""

    what: str
    command: str


def untried(attacks: Sequence[AttackRecord]) -> list[Untried]:
    tried = {attack.name for attack in attacks}
    return [Untried(name, ATTACKS[name].title, ATTACKS[name].question) for name in ATTACKS if name not in tried]


def not_measured(
    study: RecordedStudy,
    trial: pd.Series,
    attacks: Sequence[AttackRecord],
    measured: Mapping[str, bool],
    one_effort: Sequence[AttackRecord],
) -> list[NotMeasured]:
    """measured: whether the page has ADDED, TIME and so on. one_effort: the attacks that were tried with one effort only."""
    names = {attack.name for attack in attacks} or {"standard"}
    found = [
        NotMeasured(what, study_command(study, trial, names | ({_BY[what]} if what in _BY else set())))
        for what, known in measured.items()
        if not known
    ]
    if one_effort:
        more = ("--set", f"{EPOCHS}={_MORE * round(max(attack.effort['epochs'] for attack in one_effort))}")
        titles = ", ".join(attack.title for attack in one_effort)
        command = study_command(study, trial, {attack.name for attack in one_effort}, *more)
        found.append(NotMeasured(f"Whether far more effort reads more ({titles})", command))
    method = str(trial["method"])
    if method in METHODS and METHODS[method].anonymizer:
        data = ("--data-root", "DATA")
        found.append(NotMeasured(MEMBERSHIP, page_command(trial, *data)))
        found.append(NotMeasured(CLASSIFIER_MEMBERSHIP, page_command(trial, *data, "--storage", "STORAGE")))
    return found
