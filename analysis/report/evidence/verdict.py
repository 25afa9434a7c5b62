"""The verdict at the head of the page, in plain words, and the rule by which it is given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.report.evidence.findings import AttackerFinding, in_words

HARDLY, IN_PART, NOTHING = "Hardly protects", "Protects in part", "Nothing was read by any attacker that ran"
NONE = "No verdict"
_UNKNOWN = "not known"
_WORST_FIRST = (HARDLY, IN_PART, _UNKNOWN, NOTHING)
RULE = (
    "Each attacker is asked how much of what it reads from raw video survives: what it reads from anonymized video, over what"
    f" it reads from raw video, with a 95 % interval for that share. “{HARDLY}”: for some attacker surely more than half"
    f" survives, or surely something and perhaps all. “{IN_PART}”: else, for some attacker surely something survives."
    f" “{NOTHING}”: no attacker can be told from guessing, and of none all may survive. The worst attacker decides; that"
    " several were asked is not corrected for. INVALID figures are left out, and with one of them, or without any attack that"
    f" has controls, there is no verdict but “{HARDLY}”."
)


@dataclass(frozen=True)
class Verdict:
    """`word`: one of those of the rule. `because`: why, in a sentence. `by`: the attacker that decided; empty for none."""

    word: str
    because: str
    by: str = ""


def verdict(findings: Sequence[AttackerFinding], is_raw: bool) -> Verdict:
    """By the rule above. is_raw: nothing was anonymized."""
    if is_raw:
        return Verdict(NONE, "This is raw video, which nobody has anonymized.")
    sound = [each for each in findings if each.status != "invalid"]
    worst = min(sound, key=lambda each: _WORST_FIRST.index(_of(each)), default=None)
    if worst is not None and _of(worst) == HARDLY:
        return Verdict(HARDLY, in_words(worst), worst.by)
    if len(sound) < len(findings):
        return Verdict(NONE, "Figures are INVALID: a control missed its level.")
    if worst is None or all(each.status == "unchecked" for each in sound):
        return Verdict(NONE, "No attack that has controls was run.")
    if _of(worst) == _UNKNOWN:
        return Verdict(NONE, f"Not enough is known to tell. {in_words(worst)}")
    return Verdict(_of(worst), in_words(worst), worst.by)


def _of(found: AttackerFinding) -> str:
    if math.isnan(found.survives_low):
        return _UNKNOWN
    if found.survives_low > 0.5 or (found.survives_low > 0 and found.survives_high >= 1):
        return HARDLY
    if found.survives_low > 0:
        return IN_PART
    return _UNKNOWN if found.survives_high >= 1 else NOTHING
