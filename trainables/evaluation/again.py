"""Figures of a trial measured again on a model that was exported of it, as far as they need no training."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainables.config import Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.evaluation.action import test_again
from trainables.execution.context import StageContext
from trainables.models.given import GIVEN
from trainables.plan import plan_trial
from trainables.stages import EVALUATE_ACTION
from trainables.store import Outcome, StageStore


@dataclass(frozen=True)
class MeasuredAgain:
    """fingerprints: of the data sets of the trial, by role. videos: the number of test videos. figures: see `test_again`; those
    of an evaluator are there where it was found.
    """

    fingerprints: Mapping[str, str]
    videos: int
    figures: Mapping[str, float]


def measure_again(config: TrialConfig, model: Path, data_root: Path, evaluator: Outcome | None) -> MeasuredAgain:
    """Tests the ONNX file `model` in place of the anonymizer of the trial `config`, on the CPU in float32.

    evaluator: the stored outcome of the trial's stage `evaluate_action`, if it is at hand. Raises ConfigError or DataError, one
    line, for a model or data that cannot be used.
    """
    network = config.anonymizer.model_copy(update={"name": GIVEN, "weights": str(model)})
    attacks = config.attacks.model_copy(update={"names": ()})
    alone = {"attacks": attacks, "test_deployed": False}
    given = config.model_copy(update={"method": "given", "options": {}, "anonymizer": network, **alone})
    data = TrialData(given, data_root)
    plan = plan_trial(given, data)
    planned = next(stage for stage in plan.stages if stage.role == EVALUATE_ACTION.name)
    inputs = {} if evaluator is None else {EVALUATE_ACTION.name: evaluator}
    with tempfile.TemporaryDirectory() as folder:
        work = StageStore(folder).work(planned.name, planned.key)
        runtime = Runtime(data_root=str(data_root), storage=folder, device="cpu", precision="float32")
        figures = test_again(StageContext.of(planned, runtime, data, inputs, work))
    return MeasuredAgain(fingerprints_of(config, data), len(data.action_evaluation.test), figures)


def fingerprints_of(config: TrialConfig, data: TrialData) -> dict[str, str]:
    """Role -> fingerprint of every data set that a stage of the trial reads, as its record has them."""
    roles = dict.fromkeys(name for stage in plan_trial(config, data).stages for name in stage.stage.data)
    return {role: getattr(data, role).fingerprint for role in roles}


def stored_evaluator(storage: str, key: str) -> Outcome | None:
    """The stored outcome of the stage `evaluate_action` with this key; None where the storage has none."""
    return StageStore(storage).read(EVALUATE_ACTION.name, key)
