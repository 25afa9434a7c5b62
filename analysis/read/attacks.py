"""The records of the attacks on a trial: what each attacker learned from anonymized data, and whether it may be believed."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow import MlflowClient

from analysis.read.store import AnalysisError
from analysis.text import words
from trainables import statistics
from trainables.attacks import ATTACKS
from trainables.attacks.shared.assets import Asset, checked
from trainables.attacks.shared.people_at_risk import RISKS as RISK_POINTS
from trainables.attacks.shared.people_at_risk import RiskPoint
from trainables.schema import ARTIFACT_ATTACKS, ATTACK, FINAL_METRICS, STRONGEST
from trainables.statistics import ItemMetric

RISKS = ("singling out", "linkability", "inference")  # the criteria of the EU's opinion on anonymisation, WP216
WORST, VALID = "worst_leakage", "controls_valid"
EVALUATORS = {"leakage": "f_B' on images", "clip_leakage": "f_B' on clips"}  # the trial's own, that count among the attackers
_PICTURES = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True)
class Control:
    """The same attack on data for which its outcome is known (`what`); `must` says in words what it has to reach."""

    what: str
    leakage: float
    must: str
    holds: bool
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class AttackRecord:
    """One attack on one trial. Leakages are above chance, 1 = perfect; `low` and `high` bound the 95 % interval over test
    items. `effort`: what the attacker spent, by name; `curve`: (effort, leakage) in `effort_unit`; `converged`: whether it
    has flattened, None where nobody can tell; `items`: predictions by test
    item; `worst`: names of those read most surely; `pictures`: files fetched beside the record, of what `caption` says.
    `people_at_risk`: how often one of N people is singled out or linked, by the video (anonymized, raw, blank). `has`: what
    its attacker had; None where that is not known.
    """

    name: str
    title: str
    question: str
    risk: str
    measure: str
    chance: float
    score: float
    leakage: float
    low: float
    high: float
    positive: Control
    negatives: tuple[Control, ...]
    effort: Mapping[str, float] = field(default_factory=dict)
    effort_unit: str = "epochs"
    others: Mapping[str, float] = field(default_factory=dict)
    curve: tuple[tuple[float, float], ...] = ()
    converged: bool | None = None
    attributes: tuple[str, ...] = ()
    items: tuple[Mapping[str, Any], ...] = ()
    worst: tuple[str, ...] = ()
    pictures: tuple[Path, ...] = ()
    caption: str = ""
    notes: tuple[str, ...] = ()
    people_at_risk: Mapping[str, tuple[RiskPoint, ...]] = field(default_factory=dict)
    has: tuple[Asset, ...] | None = None

    @property
    def controls(self) -> tuple[Control, ...]:
        return (self.positive, *self.negatives)

    @property
    def valid(self) -> bool:
        """Whether all controls landed where they must: otherwise the figures of the attack say nothing."""
        return all(control.holds for control in self.controls)


def read_attacks(client: MlflowClient, run_id: str, folder: str | Path) -> list[AttackRecord]:
    """The attacks of a trial, the strongest first; their files come into `folder`. None were made: an empty list.

    Raises AnalysisError for a record that cannot be read.
    """
    if not any(item.path == ARTIFACT_ATTACKS for item in client.list_artifacts(run_id)):
        return []
    there = Path(client.download_artifacts(run_id, ARTIFACT_ATTACKS, str(folder)))
    found = [_read(path) for path in sorted(there.glob("*.json"))]
    return sorted(found, key=lambda attack: -attack.leakage)


def item_metric(attack: AttackRecord, sources: Mapping[str, str] | None = None) -> ItemMetric | None:
    """The leakage of an attack by test item; None where the record has no items that reproduce it.

    `sources`: the source or person of each item, by name, where the record of the attack has none; an item without one is its
    own source.
    """
    items = attack.items
    names = tuple(str(item["id"]) for item in items)
    groups = tuple(str(item.get("group") or (sources or {}).get(item["id"], item["id"])) for item in items)
    if not items:
        return None
    if all("labels" in item and "answers" in item for item in items):
        probabilities, labels = (np.array([item[key] for item in items], dtype=float) for key in ("answers", "labels"))
        return statistics.leakage(names, groups, probabilities, labels)
    scores, chances = (
        [float(item.get(key, other)) for item in items] for key, other in (("score", math.nan), ("chance", attack.chance))
    )
    metric = statistics.mean_leakage(names, groups, scores, chances)
    # scores that do not reproduce the recorded leakage would give the interval of another metric
    return metric if abs(statistics.interval(metric).value - attack.leakage) < 1e-3 else None


def strongest_of(trial: pd.Series) -> str:
    """The metric that is a trial's worst_leakage: of the attacker strongest on validation data; empty where not recorded."""
    names = [str(name) for name in trial.index if str(name).startswith(STRONGEST) and trial[name] == 1]
    return names[0].removeprefix(STRONGEST) if names else ""


def attacker_words(metric: str) -> str:
    """The attacker whose leakage a metric is: the name of an attack in words, or an evaluator of the trial."""
    return EVALUATORS.get(metric) or words(metric.removeprefix(ATTACK))


def names_of(trials: pd.DataFrame) -> list[str]:
    """The names of the attacks that any trial has a leakage of."""
    return sorted(str(n).removeprefix(ATTACK) for n in trials if str(n).startswith(ATTACK) and trials[n].notna().any())


def invalid(trials: pd.DataFrame) -> pd.Series:
    """Whether a trial was attacked and a control missed its level, so that its figures do not count."""
    return (trials[VALID] == 0).astype(bool) if VALID in trials else pd.Series(False, index=trials.index)


def not_recorded(trials: pd.DataFrame, metric: str) -> str:
    """What to do where no trial has a metric of the attacks; empty where one has it, and for all other metrics."""
    if metric not in (WORST, VALID) or (metric in trials and trials[metric].notna().any()):
        return ""
    return f"no trial has {FINAL_METRICS[metric].label} ({metric}): run the study with --attacks standard"


def _read(path: Path) -> AttackRecord:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        low, high = record.get("interval") or (math.nan, math.nan)
        pictures = (path.parent / Path(name).name for name in record.get("pictures", ()))
        return AttackRecord(
            name=str(record["name"]),
            title=str(record.get("title") or record["name"]),
            question=str(record.get("question", "")),
            risk=str(record.get("risk", "")),
            measure=str(record.get("measure", "")),
            chance=_number(record.get("chance")),
            score=_number(record.get("score")),
            leakage=float(record["leakage"]),
            low=_number(low),
            high=_number(high),
            positive=_control(record["controls"]["raw"]),
            negatives=tuple(_control(control) for name, control in record["controls"].items() if name != "raw"),
            effort={str(name): float(value) for name, value in record.get("effort", {}).items() if value is not None},
            effort_unit=str(record.get("curve_unit", "epochs")),
            others={str(name): float(value) for name, value in (record.get("others") or {}).items() if value is not None},
            curve=tuple((float(point["effort"]), float(point["leakage"])) for point in record.get("curve", ())),
            converged=record.get("converged"),
            attributes=tuple(map(str, record.get("attributes", ()))),
            items=tuple(record.get("items", ())),
            worst=tuple(map(str, record.get("worst", ()))),
            pictures=tuple(file for file in pictures if file.suffix.lower() in _PICTURES and file.is_file()),
            caption=str(record.get("caption") or ""),
            notes=tuple(map(str, (*record.get("problems", ()), *record.get("notes", ())))),
            people_at_risk=_people_at_risk(record.get(RISK_POINTS, ())),
            has=_has(record),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise AnalysisError(f"{ARTIFACT_ATTACKS}/{path.name} is no record of an attack ({reason[:200]})") from None


def _has(record: Mapping[str, Any]) -> tuple[Asset, ...] | None:
    """As recorded; of a record from before it was, as the attack declares it."""
    if "has" in record:
        return checked(record["has"])
    return declared_assets(str(record["name"]))


def declared_assets(name: str) -> tuple[Asset, ...] | None:
    """What the attacker of the attack `name` has; None for an attack that is not known here."""
    return checked(ATTACKS[name].has) if name in ATTACKS else None


def _people_at_risk(points: Iterable[Mapping[str, Any]]) -> dict[str, tuple[RiskPoint, ...]]:
    found: dict[str, tuple[RiskPoint, ...]] = {}
    for point in points:
        values: dict[str, Any] = {
            name: math.nan if value is None else value for name, value in point.items() if name != "video"
        }
        found[point["video"]] = (*found.get(point["video"], ()), RiskPoint(**values))
    return found


def _control(record: Mapping[str, Any]) -> Control:
    low, high = map(_number, record.get("interval") or (math.nan, math.nan))
    return Control(str(record["what"]), float(record["leakage"]), str(record.get("must", "")), bool(record["holds"]), low, high)


def _number(value: object) -> float:
    return math.nan if value is None else float(value)  # type: ignore[arg-type]
