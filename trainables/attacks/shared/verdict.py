"""The results of a trial's attacks: leakage with its interval, controls, and whether the figures may be believed."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trainables.attacks import ATTACKS, Attack, attack_names
from trainables.attacks.shared.people_at_risk import RISKS
from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.execution.context import StageContext
from trainables.metrics import leakage_of
from trainables.schema import (
    ARTIFACT_ATTACKS,
    ATTACK,
    ATTACK_CONVERGED,
    ATTACK_HIGH,
    ATTACK_LOW,
    ATTACK_NULL,
    ATTACK_PERMUTED,
    ATTACK_RAW,
    ATTACK_VALID,
    CLIP,
    HIGH,
    LOW,
    STRONGEST,
    VALIDATION,
    WORST,
    ends,
)
from trainables.stages import Control, part_name
from trainables.statistics import Interval, interval, leakage, mean_leakage
from trainables.store import Outcome

_WORST = 6
_DIGITS = 6


@dataclass(frozen=True)
class AttackFigures:
    """The test figures of the member of an attack that is strongest on validation items, where its leakage is `validated`.

    `rows`: how well each test item is read, in [0, 1]. `sure`: the leakage with its interval over groups of test items.
    """

    result: AttackResult
    member: int
    validated: float
    score: float
    chance: float
    sure: Interval
    rows: np.ndarray
    others: Mapping[str, float]

    @property
    def leakage(self) -> float:
        return self.sure.value


@dataclass(frozen=True)
class Candidate:
    """Who may be the strongest attacker of a trial: `key` is the metric of its leakage. `validated` is NaN where not known."""

    key: str
    leakage: float
    low: float
    high: float
    validated: float


def run(context: StageContext) -> Outcome:
    metrics: dict[str, float] = {}
    files: dict[str, bytes] = {}
    notes: list[str] = []
    candidates = _evaluators(context)
    for name in attack_names(context.config):
        attack = ATTACKS[name]
        if attack.needs is not None and attack.stage.name not in context.inputs:
            notes.append(f"attack {name}: not tried, it needs {attack.needs.text}")
            continue
        own = _result(context, attack.stage.name)
        controls = {control: _result(context, part_name(attack.stage.name, control)) for control in attack.controls}
        problems = [problem for control, figures in controls.items() if (problem := _problem(control, figures))]
        if problems:
            notes.append(f"attack {name}: figures invalid: {'; '.join(problems)}")
        elif own.result.labels is not None:  # a search for people is not on the scale of average precision
            candidates.append(Candidate(ATTACK + name, own.leakage, own.sure.low, own.sure.high, own.validated))
        metrics |= {
            ATTACK + name: own.leakage,
            **{_CONTROLS[control].metric + name: figures.leakage for control, figures in controls.items()},
            ATTACK_VALID + name: float(not problems),
            ATTACK_CONVERGED + name: float(own.result.converged is True),
        }
        if own.sure.lacking:
            notes.append(f"attack {name}: no interval: {own.sure.lacking}")
        else:
            metrics |= {ATTACK_LOW + name: own.sure.low, ATTACK_HIGH + name: own.sure.high}
        if not math.isnan(own.validated):
            metrics[VALIDATION + ATTACK + name] = own.validated
        if own.result.converged is not True:
            notes.append(f"attack {name}: {_convergence(own.result)}")
        seconds = context.inputs[attack.stage.name].seconds
        pictures = _pictures(name, own.result)
        record = _record(name, attack, own, controls, seconds) | {"pictures": sorted(pictures)}
        record |= _risks(context, attack)
        files |= {f"{ARTIFACT_ATTACKS}/{file}": content for file, content in pictures.items()}
        files[f"{ARTIFACT_ATTACKS}/{name}.json"] = json.dumps(record, indent=1).encode()
    tried = [key for key in metrics if key.startswith(ATTACK_VALID)]
    metrics["controls_valid"] = float(all(metrics[key] for key in tried))
    if candidates:
        metrics |= worst_of(candidates)
        if all(math.isnan(one.validated) for one in candidates):
            notes.append(f"worst_leakage: no attacker was measured on validation items; {candidates[0].key}, the first, counts")
    return Outcome(metrics, files=files, notes=tuple(notes))


def worst_of(candidates: Sequence[Candidate]) -> dict[str, float]:
    """The metrics of the candidate that is strongest on validation items, the first of equals, and of all if none is known.

    The largest of several test figures would be above the truth, and its interval would miss it: which attacker is the
    strongest is found out on other items than what it reads.
    """
    chosen = candidates[strongest_member([one.validated for one in candidates])]
    known = {} if math.isnan(chosen.validated) else {VALIDATION + WORST: chosen.validated}
    return {WORST: chosen.leakage, STRONGEST + chosen.key: 1.0, **known, **ends(WORST, chosen.low, chosen.high)}


def _evaluators(context: StageContext) -> list[Candidate]:
    """The leakages that f_B' found, on images and on clips; they have no controls."""
    found: dict[str, float] = {}
    for outcome in context.inputs.values():
        found |= outcome.metrics
    return [
        Candidate(key, found[key], *(found.get(name, math.nan) for name in (key + LOW, key + HIGH, VALIDATION + key)))
        for key in ("leakage", CLIP + "leakage")
        if key in found
    ]


@dataclass(frozen=True)
class _Control:
    """A control of an attack: the metric that records its leakage, what it is, and what it has to reach, in words."""

    metric: str
    what: str
    must: str


_CONTROLS: Mapping[Control, _Control] = {
    "raw": _Control(ATTACK_RAW, "the same attack on raw data", "the interval lies above chance"),
    "blank": _Control(ATTACK_NULL, "the same attack on blank frames", "the interval does not lie above chance"),
    "permuted": _Control(
        ATTACK_PERMUTED,
        "the same attack on raw data where sources have exchanged the labels of their people",
        "the interval does not lie above chance (one sound attack in forty misses it by chance: another seed tells)",
    ),
}


def _problem(control: Control, found: AttackFigures) -> str:
    """What is wrong with a control, in words; empty where it holds."""
    if holds(control, found):
        return ""
    if control == "raw":
        return f"on raw data it reads {_shown(found)}, and must be surely above chance"
    where = "on blank frames" if control == "blank" else "of labels that were exchanged"
    return f"{where} it reads {_shown(found)}, where nothing is to be read"


def holds(control: Control, found: AttackFigures) -> bool:
    """Whether a control is where it must be. Nobody knows without an interval, except that nothing at all is read.

    An attack that reads nothing on raw data says nothing elsewhere; one that reads where nothing is to be read is told.
    """
    return found.sure.low > 0.0 if control == "raw" else found.leakage <= 0.0 or found.sure.low <= 0.0


def _convergence(result: AttackResult) -> str:
    """Whether leakage has flattened against effort, in words."""
    if result.converged is None:
        return "not known to have converged: its leakage was not measured often enough on validation items"
    return "converged" if result.converged else "not converged: its leakage still rose in the last quarter of its effort"


def _shown(result: AttackFigures) -> str:
    sure = result.sure
    return f"{sure.value:.1%} ({f'no interval: {sure.lacking}' if sure.lacking else f'{sure.low:.1%} to {sure.high:.1%}'})"


def _result(context: StageContext, role: str) -> AttackFigures:
    return figures_of(AttackResult(**context.inputs[role].state["evidence"]))


def figures_of(result: AttackResult) -> AttackFigures:
    """The figures of the member that is strongest on validation items, with the interval of its leakage by group."""
    member = strongest_member(result.validated)
    return _of_people(result, member) if result.labels is None else _of_attributes(result, member)


def _of_attributes(result: AttackResult, member: int) -> AttackFigures:
    assert result.labels is not None
    labels, answers = result.labels.numpy(), result.answers.numpy()[member]
    found = [leakage_of(each, labels, tuple(result.attributes), result.groups) for each in result.answers.numpy()]
    best = found[member]
    members = {f"leakage.{name}": one.leakage for name, one in zip(result.members, found, strict=True)}
    per_attribute = {f"ap.{name}": value for name, value in best.ap.items()}
    chances = {f"ap_chance.{name}": value for name, value in best.ap_chance.items()}
    return AttackFigures(
        result=result,
        member=member,
        validated=result.validated[member],
        score=best.cmap,
        chance=best.chance_cmap,
        sure=interval(leakage(result.ids, result.groups, answers, labels)),
        rows=np.where(labels > 0, answers, 1.0 - answers).mean(axis=1),
        others={"macro_f1": best.macro_f1, **members, **per_attribute, **chances, **result.others},
    )


def _of_people(result: AttackResult, member: int) -> AttackFigures:
    assert result.chances is not None
    hits, chances = result.answers.numpy()[member], result.chances.numpy()
    return AttackFigures(
        result=result,
        member=member,
        validated=result.validated[member],
        score=float(hits.mean()),
        chance=float(chances.mean()),
        sure=interval(mean_leakage(result.ids, result.groups, hits, chances)),
        rows=hits,
        others=result.others,
    )


def _risks(context: StageContext, attack: Attack) -> dict[str, Any]:
    """The curves of singling out and linking people, of the anonymized video and of its controls, where the attack has them."""
    points = [
        {"video": control or "anonymized", **{key: _known(value) for key, value in point.items()}}
        for control in ("", *(control for control in attack.controls if control != "permuted"))
        for point in context.inputs[part_name(attack.stage.name, control)].state.get(RISKS, ())
    ]
    return {RISKS: points} if points else {}


def _known(value: Any) -> Any:
    return _rounded(value) if isinstance(value, float) else value


def _record(
    name: str, attack: Attack, own: AttackFigures, controls: Mapping[Control, AttackFigures], seconds: float
) -> dict[str, Any]:
    """What is kept of an attack, for reports and for the comparison of trials item by item."""
    result = own.result
    order = result.sureness.numpy() if result.sureness is not None else own.rows
    problems = [problem for control, figures in controls.items() if (problem := _problem(control, figures))]
    return {
        "name": name,
        "title": attack.title,
        "question": attack.question,
        "risk": attack.risk,
        "measure": attack.measure,
        "has": list(attack.has),
        "effort": {**result.effort, "seconds": round(seconds, 1)},
        "attacker": result.members[own.member],
        "attackers": result.members,
        **_figures(own),
        "others": {key: _rounded(value) for key, value in own.others.items()},
        "controls": {
            control: {
                **_figures(figures),
                "what": _CONTROLS[control].what,
                "must": _CONTROLS[control].must,
                "holds": holds(control, figures),
                "others": {key: _rounded(value) for key, value in figures.others.items()},
            }
            for control, figures in controls.items()
        },
        "valid": not problems,
        "problems": problems,
        "curve": [{"effort": point["effort"], "leakage": _rounded(point["leakage"])} for point in result.curve],
        "curve_unit": result.effort_unit,
        "converged": result.converged,
        "convergence": _convergence(result),
        "attributes": result.attributes,
        "items": _items(own),
        "worst": [result.ids[number] for number in np.argsort(-order, kind="stable")[:_WORST]],
        "caption": result.caption,
        "notes": result.notes,
    }


def _figures(result: AttackFigures) -> dict[str, Any]:
    return {
        "score": _rounded(result.score),
        "chance": _rounded(result.chance),
        "leakage": _rounded(result.leakage),
        "validated": _rounded(result.validated),
        "interval": None if result.sure.lacking else [_rounded(bound) for bound in (result.sure.low, result.sure.high)],
        "lacking": result.sure.lacking,
    }


def _items(figures: AttackFigures) -> list[dict[str, Any]]:
    """One row for each test item: how well it is read, and what the leakage can be computed from again."""
    result = figures.result
    rows: list[dict[str, Any]] = [
        {"id": name, "group": group, "score": _rounded(score)} | more
        for name, group, score, more in zip(
            result.ids, result.groups, figures.rows.tolist(), result.details or [{}] * len(result.ids), strict=True
        )
    ]
    if result.labels is None:
        assert result.chances is not None
        return [row | {"chance": _rounded(chance)} for row, chance in zip(rows, result.chances.tolist(), strict=True)]
    answers, labels = result.answers[figures.member].tolist(), result.labels.int().tolist()
    return [
        row | {"answers": [_rounded(value) for value in answer], "labels": label}
        for row, answer, label in zip(rows, answers, labels, strict=True)
    ]


def _pictures(name: str, result: AttackResult) -> dict[str, bytes]:
    if result.picture is None:
        return {}
    buffer = io.BytesIO()
    Image.fromarray(result.picture.numpy()).save(buffer, format="PNG", optimize=True)
    return {f"{name}.png": buffer.getvalue()}


def _rounded(value: float) -> float | None:
    """None for NaN, which is no JSON."""
    return None if math.isnan(value) else round(float(value), _DIGITS)
