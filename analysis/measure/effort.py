"""What attackers read of one anonymizer against the effort they spend, and whether more effort still reads more."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pandas as pd
from mlflow import MlflowClient

from analysis.measure.compare import read_item_metrics
from analysis.measure.same_anonymizer import tests_of_the_same
from analysis.read.attacks import names_of
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from trainables.attacks.shared.convergence import has_stopped
from trainables.schema import ATTACK, ATTACK_HIGH, ATTACK_LOW, ATTACK_VALID
from trainables.statistics import Interval, ItemMetric, compare

EPOCHS = "attacks.epochs"
_FREE = (EPOCHS, "attacks.names")  # what may differ between two efforts


@dataclass(frozen=True)
class EffortPoint:
    """What an attack read after so many epochs. `sure`: its leakage with the interval over groups of test items. `valid`:
    whether its controls, of the same effort, held. `run`: of the trial.
    """

    epochs: int
    sure: Interval
    valid: bool
    run: str


@dataclass(frozen=True)
class EffortCurve:
    """The leakage of one attack against its effort, the smallest first; at least two points.

    gained: what the last step of the effort added, of the same test items; None where that is not known. stopped: whether
    leakage has stopped growing with it, by the rule by which the curve of one training is judged
    (`trainables.attacks.shared.convergence`); None where nobody can tell.
    """

    attack: str
    points: Sequence[EffortPoint]
    gained: Interval | None
    stopped: bool | None


def effort_curves(study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any]) -> list[EffortCurve]:
    """The curves of all attacks that other trials of the study tried on the same anonymizer with other numbers of epochs.

    `record`: that of the trial. Of several trials of one effort the newest counts, and the given one before all. Costs a
    download of the predictions of the trials with the two largest efforts.
    """
    tests = tests_of_the_same(study, trial, record, _FREE)
    client = MlflowClient(tracking_uri=study.tracking_uri)

    @cache
    def predictions(run: str) -> Mapping[str, ItemMetric]:
        with tempfile.TemporaryDirectory() as folder:
            return read_item_metrics(client, run, folder)

    found = []
    for name in names_of(pd.DataFrame(tests)):
        points: dict[int, EffortPoint] = {}
        for each in tests:
            if pd.notna(each.get(ATTACK + name)):
                point = _point(each, name)
                points.setdefault(point.epochs, point)
        if len(points) > 1:
            ordered = [points[epochs] for epochs in sorted(points)]
            gained = _gained(*(predictions(point.run).get(ATTACK + name) for point in ordered[-2:]))
            known = gained is not None and all(point.valid for point in ordered[-2:])
            found.append(EffortCurve(name, ordered, gained, _has_stopped(gained) if gained and known else None))
    return found


def _point(trial: pd.Series, name: str) -> EffortPoint:
    low, high = (float(trial.get(end + name, math.nan)) for end in (ATTACK_LOW, ATTACK_HIGH))
    sure = Interval(float(trial[ATTACK + name]), low, high, 0, 0)
    return EffortPoint(_epochs(trial), sure, bool(trial.get(ATTACK_VALID + name) == 1), str(trial.name))


def _epochs(trial: pd.Series) -> int:
    """As `TrialConfig.attack_epochs`."""
    own = str(trial[PARAM + EPOCHS])
    return int(float(trial[PARAM + "evaluate_privacy.epochs"] if own in ("None", "nan") else own))


def _gained(before: ItemMetric | None, after: ItemMetric | None) -> Interval | None:
    if before is None or after is None:
        return None
    try:
        return compare(after, before).difference
    except ValueError:  # other test items
        return None


def _has_stopped(gained: Interval) -> bool:
    """Half an interval is about two standard errors; one that is not known does not excuse a rise."""
    half = (gained.high - gained.low) / 2
    return has_stopped(float(gained.value), 0.0 if math.isnan(half) else half / 2)
