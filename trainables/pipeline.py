"""One trial from its config to its record: plan the stages, find those already done, compute the rest. No Ray, no MLflow."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Protocol

import torch

from trainables.config import Runtime, TrialConfig
from trainables.data.reading import decoders
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.execution.distributed import Processes
from trainables.execution.together import run_together
from trainables.failures import Stopped
from trainables.plan import PlannedStage, TrialPlan, plan_trial
from trainables.schema import check_declared
from trainables.store import Outcome, StageStore
from trainables.versions import versions

log = logging.getLogger(__name__)


class Reporter(Protocol):
    """Who wants to know how a trial goes: a terminal, MLflow, Ray."""

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        """A stage finished another of its `epochs`; `history` has the metrics of all so far, whoever computed them."""

    def waiting(self, stage: str, holder: str) -> None:
        """Another worker computes this stage; `holder` names it."""

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """A stage is there; `reused` if another call or worker computed it. In the order in which they come, not planned."""


@dataclass(frozen=True)
class TrialRecord:
    """The final figures of a trial.

    `computed` and `reused` name its stages: those this call computed, and those it found done. `seconds` counts the computed
    ones, `pipeline_seconds` all of them, the reused ones with what they took when they were computed; `stage_seconds` has
    each, `devices` what each was computed on. What many trials computed together is the sum of `stage_seconds` over different
    `stage_keys`. `versions`: of the software that made this record.
    """

    key: str
    metrics: Mapping[str, float]
    stage_keys: Mapping[str, str]
    computed: tuple[str, ...]
    reused: tuple[str, ...]
    notes: tuple[str, ...]
    fingerprints: Mapping[str, str]
    seconds: float
    pipeline_seconds: float
    stage_seconds: Mapping[str, float]
    devices: Mapping[str, str]
    versions: Mapping[str, str]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)


def run_trial(
    config: TrialConfig,
    runtime: Runtime,
    reporter: Reporter,
    stop: Callable[[], bool] = lambda: False,
    beside: Sequence[TrialConfig] = (),
) -> tuple[TrialRecord, dict[str, Outcome]]:
    """Runs one full pipeline; returns its record and the outcome of every stage.

    Each stage is computed by one worker at a time, whoever else needs it. While another one computes a stage, this one does
    what else of its trial is ready; when nothing is, it waits, and takes over if the other one dies. The record and the
    outcomes are those of the plan's order, whatever the order of the work. Of `beside`, trials under the same root, it trains
    the judges that nobody has yet beside its own, where they look at the same anonymized batches: who needs them finds them.

    Raises ConfigError or DataError before any training when the config or the data cannot be used, Diverged on a NaN
    loss, Stopped after a saved epoch or while waiting when `stop()` says so. A second call goes on where the first one ended.
    """
    torch.set_num_threads(runtime.threads)
    data = TrialData(config, runtime.data_root)
    data.require()
    plan = plan_trial(config, data)
    store = StageStore(runtime.storage)
    others = [
        (stage, labels)
        for other, labels in ((other, TrialData(other, runtime.data_root, like=data)) for other in beside)
        for stage in plan_trial(other, labels).stages
    ]
    done: dict[str, Outcome] = {}
    computed: set[str] = set()
    with Processes(config, runtime) as processes:
        while len(done) < len(plan.stages):
            ready = [stage for stage in plan.stages if stage.role not in done and done.keys() >= set(stage.inputs.values())]
            for planned in ready:
                inputs = {name: done[role] for name, role in planned.inputs.items()}
                context = _context(planned, data, inputs, runtime, store, stop)
                context = replace(context, report=partial(reporter.epoch, planned.role))
                outcome, own = _obtain(planned, store, partial(_compute, planned, context, others, store, processes))
                if outcome is not None:
                    break
            else:
                _wait(ready[0], store, reporter, stop)
                continue
            done[planned.role] = outcome
            if own:
                computed.add(planned.role)
            reporter.finished(planned, outcome, not own)
    outcomes = {stage.role: done[stage.role] for stage in plan.stages}
    return _record(plan, data, outcomes, computed), outcomes


def _obtain(planned: PlannedStage, store: StageStore, compute: Callable[[], Outcome]) -> tuple[Outcome | None, bool]:
    """The outcome of a stage and whether it was computed now; None while another worker computes it."""
    outcome = store.read(planned.name, planned.key)
    if outcome is not None:
        return outcome, False
    lease = store.try_claim(planned.name, planned.key)
    if lease is None:
        return None, False
    with lease:
        outcome = store.read(planned.name, planned.key)  # another worker may have finished it meanwhile
        return (compute(), True) if outcome is None else (outcome, False)


def _wait(planned: PlannedStage, store: StageStore, reporter: Reporter, stop: Callable[[], bool]) -> None:
    holder = store.holder(planned.name, planned.key)
    if not holder:
        return  # free since a moment ago
    reporter.waiting(planned.role, holder)
    if stop():
        raise Stopped(f"{planned.name}: stopped while {holder} computes it")
    time.sleep(store.poll_seconds)


def _compute(
    planned: PlannedStage,
    context: StageContext,
    others: Sequence[tuple[PlannedStage, TrialData]],
    store: StageStore,
    processes: Processes,
) -> Outcome:
    """The outcome of a stage, stored. Of `others` the judges that look at the same batches are trained beside it."""
    stages = {context.work: planned}

    def run_and_store(one: StageContext) -> Outcome:
        progress, stage = one.work.progress, stages[one.work]
        outcome = processes.run(stage, one)
        check_declared(stage.name, outcome.metrics)
        notes = (*outcome.notes, *progress.notes)
        outcome = replace(outcome, notes=notes, seconds=progress.seconds, device=_device_name(one.device))
        circumstances = {"steps": stage.steps, "decoder": decoders()}
        store.write(stage.name, stage.key, outcome, stage.depends_on, circumstances)
        return outcome

    with contextlib.ExitStack() as claims:
        claimed = _claim(planned, others, context.runtime.judges - 1 if context.runtime.ranks == 1 else 0, store, claims)
        if not claimed:
            return run_and_store(context)
        contexts = [_context(stage, data, context.inputs, context.runtime, store, context.stop) for stage, data in claimed]
        stages |= {one.work: stage for one, (stage, _) in zip(contexts, claimed, strict=True)}
        log.info("%s: %d classifiers in one pass", planned.name, len(stages))
        return run_together(run_and_store, context, contexts)


def _claim(
    planned: PlannedStage,
    others: Sequence[tuple[PlannedStage, TrialData]],
    most: int,
    store: StageStore,
    claims: contextlib.ExitStack,
) -> list[tuple[PlannedStage, TrialData]]:
    """Of `others` what can be trained beside a stage, is not stored, and nobody else computes; claimed as long as `claims`."""
    fitting = {
        stage.key: (stage, data)
        for stage, data in others
        if planned.pass_key and stage.pass_key == planned.pass_key and stage.key != planned.key
    }
    claimed: list[tuple[PlannedStage, TrialData]] = []
    for key, (stage, data) in fitting.items():
        if len(claimed) == most:
            break
        lease = None if store.has(stage.name, key) else store.try_claim(stage.name, key)
        if lease is None:
            continue
        claims.enter_context(lease)
        if not store.has(stage.name, key):  # another worker may have finished it meanwhile
            claimed.append((stage, data))
    return claimed


def _context(
    planned: PlannedStage,
    data: TrialData,
    inputs: Mapping[str, Outcome],
    runtime: Runtime,
    store: StageStore,
    stop: Callable[[], bool],
) -> StageContext:
    """Of a stage that reports to nobody."""
    work = store.work(planned.name, planned.key)
    return StageContext(planned.name, planned.config, runtime, data, inputs, work, lambda *_: None, stop)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def _record(plan: TrialPlan, data: TrialData, outcomes: Mapping[str, Outcome], computed: set[str]) -> TrialRecord:
    sets = dict.fromkeys(name for stage in plan.stages for name in stage.stage.data)
    metrics = {name: value for stage in plan.stages if stage.reported for name, value in outcomes[stage.role].metrics.items()}
    return TrialRecord(
        key=plan.key,
        metrics=metrics | _attack_share(plan, outcomes),
        stage_keys={stage.role: stage.key for stage in plan.stages},
        computed=tuple(name for name in outcomes if name in computed),
        reused=tuple(name for name in outcomes if name not in computed),
        notes=tuple(note for outcome in outcomes.values() for note in outcome.notes),
        fingerprints={name: getattr(data, name).fingerprint for name in sets},
        seconds=sum(outcome.seconds for name, outcome in outcomes.items() if name in computed),
        pipeline_seconds=sum(outcome.seconds for outcome in outcomes.values()),
        stage_seconds={name: outcome.seconds for name, outcome in outcomes.items()},
        devices={name: outcome.device for name, outcome in outcomes.items() if outcome.device},
        versions=versions(),
    )


def _attack_share(plan: TrialPlan, outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """The share of the attacks in the time of the trial's own stages. Their controls are not counted: they are stages of
    other trials, computed once a seed.
    """
    if not any(stage.attack for stage in plan.stages):
        return {}
    own = [(stage.attack, outcomes[stage.role].seconds) for stage in plan.stages if not stage.control]
    attacks = sum(seconds for attack, seconds in own if attack)
    return {"attack_share": attacks / max(sum(seconds for _, seconds in own), 1e-9)}
