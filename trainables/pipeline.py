"""One trial from its config to its record: plan the stages, find those already done, compute the rest. No Ray, no MLflow."""

from __future__ import annotations

import importlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Protocol

import torch

from trainables.config import Runtime, TrialConfig
from trainables.plan import PlannedStage, TrialData, TrialPlan, plan_trial
from trainables.stages import EVALUATE_PRIVACY, TEST_PRIVACY
from trainables.stages.context import StageContext
from trainables.stages.loop import Stopped
from trainables.store import Outcome, StageStore

log = logging.getLogger(__name__)


class Reporter(Protocol):
    """Who wants to know how a trial goes: a terminal, MLflow, Ray."""

    def epoch(self, stage: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        """A stage finished `epoch` (0-based) of `epochs`."""

    def waiting(self, stage: str, holder: str) -> None:
        """Another worker computes this stage; `holder` names it."""

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """A stage is there; `reused` if it had been computed before."""


@dataclass(frozen=True)
class TrialRecord:
    """The final figures of a trial. `seconds` counts its own stages, `reused` names those it found done."""

    key: str
    metrics: Mapping[str, float]
    stage_keys: Mapping[str, str]
    reused: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str]
    seconds: float
    stage_seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def run_trial(
    config: TrialConfig, runtime: Runtime, reporter: Reporter, stop: Callable[[], bool] = lambda: False
) -> tuple[TrialRecord, dict[str, Outcome]]:
    """Runs one full pipeline; returns its record and the outcome of every stage.

    Raises ConfigError or DataError before any training when the config or the data cannot be used, Diverged on a NaN
    loss, Stopped after a saved epoch when `stop()` says so. A second call goes on where the first one ended.
    """
    torch.set_num_threads(runtime.threads)
    data = TrialData(config, runtime.data_root)
    data.require()
    plan = plan_trial(config, data)
    store = StageStore(runtime.storage)
    outcomes: dict[str, Outcome] = {}
    reused: list[str] = []
    for planned in plan.stages:
        outcome = store.read(planned.name, planned.key)
        if outcome is None:
            with store.claim(planned.name, planned.key, partial(_wait, planned.name, reporter, stop)):
                outcome = store.read(planned.name, planned.key)  # another worker may have finished it meanwhile
                if outcome is None:
                    outcome = _compute(planned, plan, runtime, data, store, outcomes, reporter, stop)
                else:
                    reused.append(planned.name)
        else:
            reused.append(planned.name)
        outcomes[planned.name] = outcome
        reporter.finished(planned, outcome, planned.name in reused)
    return _record(plan, data, outcomes, reused), outcomes


def _wait(stage: str, reporter: Reporter, stop: Callable[[], bool], holder: str) -> None:
    reporter.waiting(stage, holder)
    if stop():
        raise Stopped(f"{stage}: stopped while {holder} computes it")


def _compute(
    planned: PlannedStage,
    plan: TrialPlan,
    runtime: Runtime,
    data: TrialData,
    store: StageStore,
    outcomes: Mapping[str, Outcome],
    reporter: Reporter,
    stop: Callable[[], bool],
) -> Outcome:
    module, _, function = planned.stage.run.partition(":")
    run = getattr(importlib.import_module(module), function)
    context = StageContext(
        stage=planned.name,
        config=planned.config,
        runtime=runtime,
        data=data,
        inputs={role: outcomes[name] for role, name in planned.inputs.items()},
        work=store.work(planned.name, planned.key),
        report=lambda epoch, epochs, metrics: reporter.epoch(planned.name, epoch, epochs, metrics),
        stop=stop,
    )
    start = time.monotonic()
    outcome: Outcome = run(context)
    outcome = Outcome(outcome.metrics, outcome.history, outcome.state, outcome.files, outcome.notes, time.monotonic() - start)
    store.write(planned.name, planned.key, outcome, planned.depends_on)
    return outcome


def _record(plan: TrialPlan, data: TrialData, outcomes: Mapping[str, Outcome], reused: list[str]) -> TrialRecord:
    sets = dict.fromkeys(name for stage in plan.stages for name in stage.stage.data)
    return TrialRecord(
        key=plan.key,
        metrics={
            name: value
            for stage, outcome in outcomes.items()
            if not (stage == EVALUATE_PRIVACY.name and TEST_PRIVACY.name in outcomes)  # then it only trained the attacker
            for name, value in outcome.metrics.items()
        },
        stage_keys={stage.name: stage.key for stage in plan.stages},
        reused=tuple(reused),
        notes=tuple(note for outcome in outcomes.values() for note in outcome.notes),
        fingerprints={name: getattr(data, name).fingerprint for name in sets},
        seconds=sum(outcome.seconds for name, outcome in outcomes.items() if name not in reused),
        stage_seconds={name: outcome.seconds for name, outcome in outcomes.items()},
    )
