"""The results of a trial's attacks: leakage with its interval, controls, and whether the figures may be believed."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from trainables.attacks import ATTACKS, CONTROLS, Attack, attack_names
from trainables.attacks.shared.result import AttackResult
from trainables.execution.context import StageContext
from trainables.metrics import leakage_of
from trainables.schema import (
    ARTIFACT_ATTACKS,
    ATTACK,
    ATTACK_HIGH,
    ATTACK_LOW,
    ATTACK_NULL,
    ATTACK_RAW,
    ATTACK_VALID,
    CLIP,
)
from trainables.stages import part_name
from trainables.statistics import above_chance, interval, leakage, mean_leakage, resampled
from trainables.store import Outcome

_WORST = 6
_DIGITS = 6


@dataclass(frozen=True)
class AttackFigures:
    """The figures of the strongest member of an attack. `rows`: how well each test item is read, in [0, 1]."""

    result: AttackResult
    member: int
    score: float
    chance: float
    leakage: float
    interval: tuple[float, float]
    rows: np.ndarray
    others: Mapping[str, float]


def run(context: StageContext) -> Outcome:
    metrics: dict[str, float] = {}
    files: dict[str, bytes] = {}
    notes: list[str] = []
    valid: dict[str, float] = {}
    for name in attack_names(context.config):
        attack = ATTACKS[name]
        if attack.needs is not None and attack.stage.name not in context.inputs:
            notes.append(f"attack {name}: not tried, it needs {attack.needs.text}")
            continue
        own, raw, blank = (_result(context, part_name(attack.stage.name, control)) for control in ("", *CONTROLS))
        problems = _problems(raw, blank)
        if problems:
            notes.append(f"attack {name}: figures invalid: {'; '.join(problems)}")
        else:
            valid[name] = own.leakage
        metrics |= {
            ATTACK + name: own.leakage,
            ATTACK_LOW + name: own.interval[0],
            ATTACK_HIGH + name: own.interval[1],
            ATTACK_RAW + name: raw.leakage,
            ATTACK_NULL + name: blank.leakage,
            ATTACK_VALID + name: float(not problems),
        }
        seconds = context.inputs[attack.stage.name].seconds
        pictures = _pictures(name, own.result)
        record = _record(name, attack, own, raw, blank, seconds) | {"pictures": sorted(pictures)}
        files |= {f"{ARTIFACT_ATTACKS}/{file}": content for file, content in pictures.items()}
        files[f"{ARTIFACT_ATTACKS}/{name}.json"] = json.dumps(record, indent=1).encode()
    evaluated = {
        key: outcome.metrics[key]
        for outcome in context.inputs.values()
        for key in ("leakage", CLIP + "leakage")
        if key in outcome.metrics
    }
    found = {**evaluated, **valid}
    if found:
        metrics["worst_leakage"] = max(found.values())
    tried = [key for key in metrics if key.startswith(ATTACK_VALID)]
    metrics["controls_valid"] = float(all(metrics[key] for key in tried))
    return Outcome(metrics, files=files, notes=tuple(notes))


def _problems(raw: AttackFigures, blank: AttackFigures) -> list[str]:
    """What is wrong with the controls, in words."""
    found = []
    if not _reads(raw):
        found.append(f"on raw data it reads {_shown(raw)}, and must be surely above chance")
    if not _at_chance(blank):
        found.append(f"on blank frames it reads {_shown(blank)}, where nothing is to be read")
    return found


def _reads(raw: AttackFigures) -> bool:
    """An attack that reads nothing on raw data says nothing elsewhere."""
    return raw.interval[0] > 0.0


def _at_chance(blank: AttackFigures) -> bool:
    return blank.interval[0] <= 0.0 <= blank.interval[1]


def _shown(result: AttackFigures) -> str:
    return f"{result.leakage:.1%} ({result.interval[0]:.1%} to {result.interval[1]:.1%})"


def _result(context: StageContext, role: str) -> AttackFigures:
    result = AttackResult(**context.inputs[role].state["evidence"])
    return _of_people(result) if result.labels is None else _of_attributes(result)


def _of_attributes(result: AttackResult) -> AttackFigures:
    assert result.labels is not None
    labels = result.labels.numpy()
    found = [leakage_of(answers, labels, tuple(result.attributes)) for answers in result.answers.numpy()]
    member = int(np.argmax([one.leakage for one in found]))
    best, answers = found[member], result.answers.numpy()[member]
    # a resample without an attribute of both values counts as one at chance
    spread = resampled(leakage(answers, labels, undefined=0.0), range(len(labels)))
    members = {f"leakage.{name}": one.leakage for name, one in zip(result.members, found, strict=True)}
    per_attribute = {f"ap.{name}": value for name, value in best.ap.items()}
    chances = {f"ap_chance.{name}": value for name, value in best.ap_chance.items()}
    return AttackFigures(
        result=result,
        member=member,
        score=best.cmap,
        chance=best.chance_cmap,
        leakage=best.leakage,
        interval=interval(spread, best.leakage),
        rows=np.where(labels > 0, answers, 1.0 - answers).mean(axis=1),
        others={"macro_f1": best.macro_f1, **members, **per_attribute, **chances, **result.others},
    )


def _of_people(result: AttackResult) -> AttackFigures:
    assert result.chances is not None
    hits, chances = result.answers.numpy(), result.chances.numpy()
    member = int(np.argmax(hits.mean(axis=1)))
    score, chance = float(hits[member].mean()), float(chances.mean())
    spread = resampled(mean_leakage(hits[member], chances), range(len(chances)))
    return AttackFigures(
        result=result,
        member=member,
        score=score,
        chance=chance,
        leakage=above_chance(score, chance),
        interval=interval(spread, above_chance(score, chance)),
        rows=hits[member],
        others=result.others,
    )


def _record(
    name: str, attack: Attack, own: AttackFigures, raw: AttackFigures, blank: AttackFigures, seconds: float
) -> dict[str, Any]:
    """What is kept of an attack, for reports and for the comparison of trials item by item."""
    result = own.result
    order = result.sureness.numpy() if result.sureness is not None else own.rows
    problems = _problems(raw, blank)
    return {
        "name": name,
        "title": attack.title,
        "question": attack.question,
        "risk": attack.risk,
        "measure": attack.measure,
        "effort": {**result.effort, "seconds": round(seconds, 1)},
        "attacker": result.members[own.member],
        "attackers": result.members,
        **_figures(own),
        "others": {key: _rounded(value) for key, value in own.others.items()},
        "controls": {
            "positive": {
                **_figures(raw),
                "what": "the same attack on raw data",
                "must": "the interval lies above chance",
                "holds": _reads(raw),
                "others": {key: _rounded(value) for key, value in raw.others.items()},
            },
            "negative": {
                **_figures(blank),
                "what": "the same attack on blank frames",
                "must": "the interval includes chance",
                "holds": _at_chance(blank),
            },
        },
        "valid": not problems,
        "problems": problems,
        "curve": [{"effort": point["effort"], "leakage": _rounded(point["leakage"])} for point in result.curve],
        "curve_unit": result.effort_unit,
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
        "interval": [_rounded(bound) for bound in result.interval],
    }


def _items(figures: AttackFigures) -> list[dict[str, Any]]:
    """One row for each test item: how well it is read, and what the leakage can be computed from again."""
    result = figures.result
    rows: list[dict[str, Any]] = [
        {"id": name, "score": _rounded(score)} for name, score in zip(result.ids, figures.rows.tolist(), strict=True)
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


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)
