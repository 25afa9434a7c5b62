"""Whether a study can answer its question: only where raw data surely hold something to recognise, and something to hide."""

from __future__ import annotations

import math

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT, bounds, of
from analysis.read.attacks import EVALUATORS
from analysis.read.trials import RAW
from analysis.text import listed, metric_mean_with_n, metric_value, over_items, words
from trainables.schema import ATTACK, ATTACK_VALID, FINAL_METRICS

CANNOT = "This study cannot answer the question."
HELP = (
    "What would help: more epochs (evaluate_action.epochs, evaluate_privacy.epochs), pretrained weights"
    " (evaluate_action.classifier.weights, evaluate_privacy.classifier.weights), or more clips and images to train and test on."
    " Until then no setting is recommended, and there is no front."
)


def unanswered(settings: pd.DataFrame, plane: Plane = DEFAULT) -> dict[str, list[str]]:
    """Protocol -> why its settings cannot be compared, a sentence each; a protocol without a raw setting is not in it.

    The raw setting must surely be above chance in utility (the plane's, or top-1 where that has no chance level), and in
    leakage to at least one evaluator or attack whose controls hold.
    """
    found = {}
    for _, raw in settings[settings["method"] == RAW].iterrows():
        reasons = [*_nothing_recognised(raw, plane), *_nothing_leaks(raw)]
        if reasons:
            found[str(raw["protocol"])] = reasons
    return found


def reasons(settings: pd.DataFrame, plane: Plane = DEFAULT) -> list[str]:
    """Why a study cannot answer at all, in sentences; empty where it can for one of its protocols, or has no raw trial."""
    found = unanswered(settings, plane)
    if not found or set(found) != set(settings["protocol"]):
        return []
    return list(dict.fromkeys(reason for each in found.values() for reason in each))


def surely_above(row: pd.Series, metric: str, level: float) -> bool:
    """Whether the 95 % interval of a metric lies above a level: that over test items where one was recorded, else over seeds.

    Seeds are tested on the same items, so that they alone cannot say that other items would give the same. With one seed and
    no interval over test items nothing is sure.
    """
    value, (low, _) = of(row, metric), bounds(row, metric)
    if math.isnan(low) and value.n > 1:
        low = value.mean - value.half_width
    return low > level


def _nothing_recognised(raw: pd.Series, plane: Plane) -> list[str]:
    metric = plane.utility if FINAL_METRICS[plane.utility].chance is not None else "top1"
    declared = FINAL_METRICS[metric].chance
    level = declared if isinstance(declared, float) else of(raw, str(declared)).mean
    value = of(raw, metric)
    if not value.n or math.isnan(level) or surely_above(raw, metric, level):
        return []
    chance = metric_value(metric, level, space="\N{NO-BREAK SPACE}")
    return [
        f"On raw clips the action classifier is not surely above chance: {FINAL_METRICS[metric].label}"
        f" {_measured(raw, metric)}, chance {chance}. So no setting can be seen to cost anything."
    ]


def _nothing_leaks(raw: pd.Series) -> list[str]:
    attacks = [name for name in map(str, raw.index) if name.startswith(ATTACK) and f"{name}_n" in raw.index]
    attacks = [name for name in attacks if raw.get(ATTACK_VALID + name.removeprefix(ATTACK), 1.0) == 1.0]
    made = [name for name in (*EVALUATORS, *attacks) if of(raw, name).n]
    if not made or any(surely_above(raw, name, 0.0) for name in made):
        return []
    told = listed(f"{EVALUATORS.get(name, words(name.removeprefix(ATTACK)))} {_measured(raw, name)}" for name in made)
    return [f"On raw data no attacker is surely above chance: leakage to {told}. So no setting can be seen to hide anything."]


def _measured(row: pd.Series, metric: str) -> str:
    known = metric if metric in FINAL_METRICS else "leakage"
    value, ends = of(row, metric), bounds(row, metric)
    no_interval = ", without any interval" if value.n == 1 and math.isnan(ends[0]) else ""
    return f"{metric_mean_with_n(known, value)}{over_items(known, ends)}{no_interval}"
