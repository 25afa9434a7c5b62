"""Runs one trial, from its config to its record: plans the stages, reuses those that are stored, computes the others.

Needs neither Ray nor MLflow.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial

import torch

from trainables.config import ConfigError, Runtime, TrialConfig
from trainables.data.loader import close_loaders
from trainables.data.reading import choose_decoder, decoder
from trainables.data.trial_data import TrialData
from trainables.early import Watch
from trainables.execution.context import StageContext
from trainables.execution.distributed import Processes
from trainables.execution.loop import Diverged
from trainables.execution.together import run_together
from trainables.failures import Stopped, StoppedEarly
from trainables.methods import method_of
from trainables.models.anonymizers import build_anonymizer
from trainables.models.given import given_notes
from trainables.one_line import reason
from trainables.plan import PlannedStage, TrialPlan, plan_trial
from trainables.reporter import Reporter
from trainables.schema import VALIDATION, check_metrics
from trainables.store import Outcome, StageStore
from trainables.versions import versions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialRecord:
    """The final metrics of a trial, and where they come from. Mappings are by the role of a stage, but for two.

    metrics: by name. computed, reused: the stages that this call computed, and those it found in the store.
    fingerprints: of the data sets, by name. seconds: spent on the computed stages. pipeline_seconds: spent on all stages,
    whenever they were computed. stage_seconds, devices: of each stage. versions: of the software that made this record.
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
    neighbours: Sequence[TrialConfig] = (),
    watch: Watch | None = None,
) -> tuple[TrialRecord, dict[str, Outcome]]:
    """Runs a trial; returns its record and the outcomes of its stages by role, in the order of the plan.

    A stage that is stored is not computed again, and only one worker computes a stage at a time. While another worker computes
    one, this call computes others that are ready; when there are none it waits, and takes over if that worker dies.
    `neighbours` are trials on the same data root. Where one of their evaluators, not computed yet, needs the same anonymized
    batches as one of this trial, it is trained in the same pass and stored for them. `watch` follows the training of the
    anonymizer; None: nobody does.

    A call after an interruption resumes from the last checkpoint. Raises ConfigError or DataError before any training,
    Diverged on a NaN loss, Stopped after `stop()` has returned True and the stage has saved its state, StoppedEarly where
    `watch` ends the training.
    """
    torch.set_num_threads(runtime.threads)
    choose_decoder(config.data.decoder)
    data = TrialData(config, runtime.data_root)
    data.require()
    plan = plan_trial(config, data)
    others = [
        _Task(stage, labels)
        for neighbour, labels in ((other, TrialData(other, runtime.data_root, like=data)) for other in neighbours)
        for stage in plan_trial(neighbour, labels).stages
    ]
    done: dict[str, Outcome] = {}
    computed: set[str] = set()
    with Processes(config, runtime) as processes:
        worker = _Worker(runtime, StageStore(runtime.storage), reporter, stop, processes, others, watch)
        while len(done) < len(plan.stages):
            ready = [
                _Task(stage, data, {name: done[role] for name, role in stage.inputs.items()})
                for stage in plan.stages
                if stage.role not in done and done.keys() >= set(stage.inputs.values())
            ]
            obtained = worker.obtain_one(ready)
            if obtained is None:
                worker.wait_for(ready[0].stage)
                continue
            stage, outcome, own = obtained
            if not own:
                check_metrics(stage.name, outcome.metrics)  # it may be stored by a version that did not
            done[stage.role] = outcome
            if own:
                computed.add(stage.role)
            reporter.finished(stage, outcome, not own)
    outcomes = {stage.role: done[stage.role] for stage in plan.stages}
    return _record(plan, data, outcomes, computed), outcomes


@dataclass(frozen=True)
class _Task:
    """A stage with the data and the outcomes that it is computed from."""

    stage: PlannedStage
    data: TrialData
    inputs: Mapping[str, Outcome] = field(default_factory=dict)


@dataclass(frozen=True)
class _Worker:
    """Obtains the outcomes of stages, from the store or by computing them. `others`: the stages of the neighbours."""

    runtime: Runtime
    store: StageStore
    reporter: Reporter
    stop: Callable[[], bool]
    processes: Processes
    others: Sequence[_Task]
    watch: Watch | None

    def obtain_one(self, ready: Sequence[_Task]) -> tuple[PlannedStage, Outcome, bool] | None:
        """The first stage that no other worker computes, its outcome, and whether it was computed now."""
        for one in ready:
            stage = one.stage
            if (outcome := self.store.read(stage.name, stage.key)) is not None:
                return stage, outcome, False
            if (lease := self.store.try_claim(stage.name, stage.key)) is None:
                continue
            with lease:
                if (outcome := self.store.read(stage.name, stage.key)) is not None:  # finished since the first look
                    return stage, outcome, False
                return stage, self._compute(one), True
        return None

    def wait_for(self, stage: PlannedStage) -> None:
        """Waits a moment for the worker that computes `stage`."""
        holder = self.store.last_holder(stage.name, stage.key)
        if not holder:
            return  # another one was quicker: the next look tells who
        self.reporter.waiting(stage.role, holder)
        if self.stop():
            raise Stopped(f"{stage.name}: stopped while {holder} computes it")
        time.sleep(self.store.poll_seconds)

    def _compute(self, own: _Task) -> Outcome:
        """The outcome of a stage, stored; evaluators of neighbours that can share its pass are computed and stored with it."""
        context = self._watched(own, replace(self._context(own), report=partial(self.reporter.epoch, own.stage.role)))
        stages = {context.work: own.stage}
        with contextlib.ExitStack() as claims:
            claims.callback(close_loaders)
            claimed = self._claim_neighbours(own.stage, claims)
            if not claimed:
                return self._run_and_store(own.stage, context)
            contexts = [self._context(replace(other, inputs=own.inputs)) for other in claimed]
            stages |= {one.work: other.stage for one, other in zip(contexts, claimed, strict=True)}
            log.info("%s: %d classifiers in one pass", own.stage.name, len(stages))
            return run_together(lambda one: self._run_and_store(stages[one.work], one), context, contexts)

    def _watched(self, own: _Task, context: StageContext) -> StageContext:
        """`context` with whoever watches the training of the anonymizer. Raises StoppedEarly if that was ended before."""
        if self.watch is None:
            return context
        from trainables.execution.watch import WatchedTraining, place_of  # scikit-learn: seconds for trials that nobody watches

        if (place := place_of(own.stage, own.data)) is None:
            return context
        try:
            self.watch.begins(place)
        except StoppedEarly:
            if history := self.watch.history(place):
                context.report(history, place.epochs)
            raise
        return replace(context, watch=WatchedTraining(self.watch, place, own.stage.config, own.data))

    def _run_and_store(self, stage: PlannedStage, context: StageContext) -> Outcome:
        try:
            outcome, progress = self.processes.run(stage, context), context.work.progress
        except Diverged as error:
            config, loss = stage.config, stage.config.minimax
            of = f"method {config.method}, B {loss.distortion_budget}, lambda {loss.penalty_weight}, seed {config.seed}"
            raise Diverged(f"{error} ({of})") from None
        if not isinstance(outcome, Outcome):
            raise ConfigError(f"stage {stage.name!r} ({stage.stage.where}) returned {outcome!r:.60}; return an Outcome")
        check_metrics(stage.name, outcome.metrics)
        if stage.name == method_of(stage.config).anonymizer:
            _check_anonymizer(stage, outcome)
        notes = (*outcome.notes, *progress.notes)
        outcome = replace(outcome, notes=notes, seconds=progress.seconds, device=_device_name(context.device))
        circumstances = {"steps": stage.steps, "decoder": decoder()}
        self.store.write(stage.name, stage.key, outcome, stage.depends_on, circumstances)
        return outcome

    def _claim_neighbours(self, own: PlannedStage, claims: contextlib.ExitStack) -> list[_Task]:
        """Stages of neighbours that can share a pass with `own`, are not stored, and that nobody else computes.

        Their leases are held until `claims` is closed.
        """
        most = self.runtime.evaluators_per_pass - 1 if self.runtime.ranks == 1 else 0
        fitting = {
            other.stage.key: other
            for other in self.others
            if own.pass_key and other.stage.pass_key == own.pass_key and other.stage.key != own.key
        }
        claimed: list[_Task] = []
        for key, other in fitting.items():
            if len(claimed) == most:
                break
            name = other.stage.name
            lease = None if self.store.has(name, key) else self.store.try_claim(name, key)
            if lease is None:
                continue
            claims.enter_context(lease)
            if not self.store.has(name, key):  # it may have been finished since the first look
                claimed.append(other)
        return claimed

    def _context(self, ready: _Task) -> StageContext:
        work = self.store.work(ready.stage.name, ready.stage.key)
        context = StageContext.of(ready.stage, self.runtime, ready.data, ready.inputs, work)

        def stop() -> bool:
            work.require_so_far()
            return self.stop()

        return replace(context, stop=stop)


def _check_anonymizer(stage: PlannedStage, outcome: Outcome) -> None:
    """Raises ConfigError where a stage that is to train the anonymizer leaves none behind, or one of another network."""
    where, network = f"stage {stage.name!r} ({stage.stage.where})", stage.config.anonymizer
    if "anonymizer" not in outcome.state:
        raise ConfigError(f'{where} leaves no anonymizer; return Outcome(..., state={{"anonymizer": f_a.state_dict()}})')
    if stage.stage.run.__module__.startswith("trainables."):
        return  # ours do, and a large network takes seconds to build
    without = network.model_copy(update={"weights": None, "encoder_weights": None})
    try:
        build_anonymizer(without).load_state_dict(outcome.state["anonymizer"])
    except (RuntimeError, TypeError) as error:
        raise ConfigError(f"{where} leaves an anonymizer that does not fit {network.name}: {reason(error)}") from None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()


def _record(plan: TrialPlan, data: TrialData, outcomes: Mapping[str, Outcome], computed: set[str]) -> TrialRecord:
    sets = dict.fromkeys(name for stage in plan.stages for name in stage.stage.data)
    return TrialRecord(
        key=plan.key,
        metrics=metrics_of(plan, outcomes) | _attack_share(plan, outcomes),
        stage_keys={stage.role: stage.key for stage in plan.stages},
        computed=tuple(name for name in outcomes if name in computed),
        reused=tuple(name for name in outcomes if name not in computed),
        notes=(
            *(flaw.says for flaw in data.flaws()),
            *data.enlarged(plan.config),
            *given_notes(plan.config),
            *(note for outcome in outcomes.values() for note in outcome.notes),
        ),
        fingerprints={name: getattr(data, name).fingerprint for name in sets},
        seconds=sum(outcome.seconds for name, outcome in outcomes.items() if name in computed),
        pipeline_seconds=sum(outcome.seconds for outcome in outcomes.values()),
        stage_seconds={name: outcome.seconds for name, outcome in outcomes.items()},
        devices={name: outcome.device for name, outcome in outcomes.items() if outcome.device},
        versions=versions(),
    )


def metrics_of(plan: TrialPlan, outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """The metrics that the stages of a trial report.

    With selection = test there are no validation figures: what the evaluators call so was measured on test items, and nobody
    may choose a setting by it.
    """
    metrics = {name: value for stage in plan.stages if stage.reported for name, value in outcomes[stage.role].metrics.items()}
    on_test = plan.config.selection == "test"
    return {name: value for name, value in metrics.items() if not (on_test and name.startswith(VALIDATION))}


def _attack_share(plan: TrialPlan, outcomes: Mapping[str, Outcome]) -> dict[str, float]:
    """The share of the attacks in the time of the trial's own stages. Their controls are not counted: they are stages of
    other trials, computed once a seed.
    """
    if not any(stage.attack for stage in plan.stages):
        return {}
    own = [(stage.attack, outcomes[stage.role].seconds) for stage in plan.stages if not stage.control]
    attacks = sum(seconds for attack, seconds in own if attack)
    return {"attack_share": attacks / max(sum(seconds for _, seconds in own), 1e-9)}
