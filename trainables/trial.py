"""The Ray trainable: one trial is one full pipeline on its allocation, recorded in MLflow."""

from __future__ import annotations

import io
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.registry import label_of
from trainables import schema
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.failures import LOSSES, Attempts, Lost, Stop, Stopped, memory_was_taken, patiently
from trainables.plugins import Plugin, load_plugins
from trainables.store.files import Files
from trainables.store.leases import HEARTBEAT_SECONDS, Leases

if TYPE_CHECKING:
    from trainables.plan import PlannedStage
    from trainables.store import Outcome

log = logging.getLogger(__name__)

# What a trial reports to Ray Tune, and the driver prints.
STAGE, EPOCH, EPOCHS, PROGRESS, STATUS, REASON = "stage", "epoch", "epochs", "progress", "status", "reason"
DONE, FAILED, RUNNING, STOPPED = "done", "failed", "running", "stopped"
RUNS_FOR, WAITED = "runs_for", "waited"  # seconds since the worker was ready, and how many of them it only waited
FIGURES = "figures"


@dataclass(frozen=True)
class TrialJob:
    """What travels to a worker: everything it needs, as plain values.

    `key` and `name` are empty in the template of a search, whose trials come about in the worker. `failed` is what a failed
    trial reports to the search in place of its objectives. `stop` is a file in the storage: once it is there all trials stop.
    `beside` are the configs of trials whose judges can be trained beside this one's. `compared` are the keys that the study
    varies or changes.
    """

    name: str
    key: str
    config: dict[str, Any]
    runtime: dict[str, Any]
    tracking_uri: str
    experiment_id: str
    tags: dict[str, str]
    plugins: tuple[Plugin, ...] = ()
    failed: Mapping[str, float] = field(default_factory=dict)
    gpus: float = 0.0
    stop: str = ""
    beside: tuple[dict[str, Any], ...] = ()
    compared: tuple[str, ...] = ()


def run_job(job: Mapping[str, Any], proposed: Mapping[str, Any]) -> None:
    """Runs a TrialJob (as a mapping), with the values that a search proposes, inside a Ray worker.

    What a retry cannot cure (bad config or data, a diverged loss, too little memory for the trial alone, a bug) ends the
    trial here, once, with its reason in MLflow. What it can raises Lost; a worker that dies does not even get here. Tune then
    starts the trial again and it goes on from what its stages have saved.
    """
    from ray import tune

    from trainables.data.trial_data import TrialData
    from trainables.plan import plan_trial

    load_plugins([Plugin(**plugin) for plugin in job["plugins"]])
    config, runtime = TrialConfig.model_validate(job["config"]), Runtime(**job["runtime"])
    key, name, tags = job["key"], job["name"], dict(job["tags"])
    if proposed:
        config = with_values(config, proposed)
        key = plan_trial(config, TrialData(config, runtime.data_root)).key
        tags[schema.TAG_SETTING] = label_of(proposed)
        name = f"{tags[schema.TAG_SETTING]} seed={config.seed}"
    beside = tuple(TrialConfig.model_validate(other) for other in job["beside"])
    compared = tuple(job["compared"])
    trial = Trial(key, name, tags, config, runtime, job["tracking_uri"], job["experiment_id"], job["gpus"], beside, compared)
    with Stop(Files(runtime.storage), job["stop"]) as stop:
        try:
            end = patiently(lambda: _alone(trial, stop), stop, lambda: False)
        except Stopped as error:
            if stop.going:
                raise Lost("the worker was told to end") from error
            end = {STATUS: STOPPED}
    figures = end.pop(FIGURES, job["failed"])
    last = {PROGRESS: 1.0, STAGE: "", EPOCH: 0, EPOCHS: 0}
    tune.report({**last, **end, **{name: figures[name] for name in job["failed"]}})


@dataclass(frozen=True)
class Trial:
    """A trial as its worker knows it."""

    key: str
    name: str
    tags: Mapping[str, str]
    config: TrialConfig
    runtime: Runtime
    tracking_uri: str
    experiment_id: str
    gpus: float
    beside: tuple[TrialConfig, ...]
    compared: tuple[str, ...]


def _alone(trial: Trial, stop: Stop) -> dict[str, Any]:
    """Runs a trial as the only worker of its study that does; what it has to say in the end."""
    from study.records.outbox import trials_folder

    files = Files(trial.runtime.storage)
    folder, leases = trials_folder(trial.tracking_uri, trial.experiment_id), Leases(files)
    progress = _Progress(trial.config)
    while True:
        if stop():
            raise Stopped("stopped before it began")
        lease = leases.take(folder, trial.key)
        if lease is not None:
            break
        progress.waiting("its other worker", leases.holder(folder, trial.key))
        time.sleep(HEARTBEAT_SECONDS)
    with lease:
        return _record(trial, files, Attempts(files, f"{folder}/{trial.key}.attempts"), progress, stop)


def _record(trial: Trial, files: Files, attempts: Attempts, progress: _Progress, stop: Stop) -> dict[str, Any]:
    from study.records.outbox import Spool
    from study.records.recording import KILLED, TrialRun
    from trainables.pipeline import run_trial

    spool = Spool(files, trial.tracking_uri, trial.experiment_id)
    where = trial.tracking_uri, trial.experiment_id
    run = TrialRun(*where, spool, trial.key, trial.name, trial.tags, trial.config, trial.compared)
    heard = _Heard(attempts)
    reporter = _All(run, progress, heard)
    try:
        lost = patiently(attempts.begin, stop, heard.asked)
        if lost >= LOSSES:
            raise ConfigError(f"its worker was lost {lost} times without an epoch in between: killed, or out of memory")
        record, outcomes = patiently(
            lambda: run_trial(trial.config, trial.runtime, reporter, stop, trial.beside), stop, heard.asked
        )
        run.complete(record, _anonymizer_file(trial.config, outcomes))
        end = {STATUS: DONE, FIGURES: record.metrics}
    except Stopped as error:
        attempts.got_on()
        run.fail(f"interrupted ({error}); run the same command to continue", KILLED)
        raise
    except (ConfigError, DataError, ArithmeticError) as error:
        run.fail(str(error))
        end = {STATUS: FAILED, REASON: str(error)}
    except Exception as error:
        if isinstance(error, Lost) or memory_was_taken(error, trial.gpus):
            run.fail(f"to be tried again: {error}", KILLED)
            raise Lost(str(error)) from error
        log.exception("trial %s failed", trial.name)
        reason = f"{type(error).__name__}: {error} (a bug, or out of memory)\n{traceback.format_exc()}"
        run.fail(reason)
        end = {STATUS: FAILED, REASON: reason}
    attempts.got_on()
    return end


class _Heard:
    """Notes that a trial gets on."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts, self._heard = attempts, False

    def asked(self) -> bool:
        """Whether anything was heard since this was last asked."""
        heard, self._heard = self._heard, False
        return heard

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._heard = True
        self._attempts.got_on()

    def waiting(self, stage: str, holder: str) -> None:
        """It does not."""

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        if not reused:
            self._heard = True
            self._attempts.got_on()


class _Progress:
    """Tells Tune how far the trial is: the share of its epochs, over all of its stages."""

    def __init__(self, config: TrialConfig) -> None:
        from trainables.attacks import ATTACKS, attack_names
        from trainables.methods import method_of
        from trainables.stages import EVALUATE_ACTION, EVALUATE_CLIP_PRIVACY, EVALUATE_PRIVACY

        epochs = {
            EVALUATE_ACTION.name: config.evaluate_action.epochs,
            EVALUATE_PRIVACY.name: config.evaluate_privacy.epochs,
            EVALUATE_CLIP_PRIVACY.name: config.evaluate_privacy.epochs if config.evaluate_privacy.clips else 0,
        }
        for stage in method_of(config).stages:
            epochs[stage.name] = getattr(getattr(config, stage.name, None), "epochs", 1)
        epochs |= {ATTACKS[name].stage.name: config.attacks.epochs for name in attack_names(config) if ATTACKS[name].trained}
        self._epochs = {name: max(1, count) for name, count in epochs.items()}
        self._done = dict.fromkeys(self._epochs, 0)
        self._waits_for = ""
        self._start, self._waited = time.monotonic(), 0.0
        self._waits_since: float | None = None

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._waits_since = None
        self._epochs[stage], self._done[stage] = epochs, len(history)
        self._report(stage, len(history), epochs)

    def waiting(self, stage: str, holder: str) -> None:
        now = time.monotonic()  # it is told again and again, and not when it has ended
        self._waited += 0.0 if self._waits_since is None else now - self._waits_since
        self._waits_since = now
        if self._waits_for != stage:
            self._waits_for = stage
            self._report(f"waiting for {stage}", 0, self._epochs.get(stage, 1))

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        self._waits_since = None
        self._done[stage.role] = self._epochs.get(stage.role, 1)
        if reused:
            self._report(stage.role, len(outcome.history), len(outcome.history))

    def _report(self, stage: str, epoch: int, epochs: int) -> None:
        from ray import tune

        share = min(0.999, sum(self._done.values()) / sum(self._epochs.values()))
        times = {RUNS_FOR: time.monotonic() - self._start, WAITED: self._waited}
        tune.report({STATUS: RUNNING, STAGE: stage, EPOCH: epoch, EPOCHS: epochs, PROGRESS: share, **times})


class _All:
    """Several reporters as one."""

    def __init__(self, *reporters: Any) -> None:
        self._reporters = reporters

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        for reporter in self._reporters:
            reporter.epoch(stage, history, epochs)

    def waiting(self, stage: str, holder: str) -> None:
        for reporter in self._reporters:
            reporter.waiting(stage, holder)

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        for reporter in self._reporters:
            reporter.finished(stage, outcome, reused)


def _anonymizer_file(config: TrialConfig, outcomes: Mapping[str, Outcome]) -> bytes | None:
    """The trained anonymizer and how to build it, for torch.load(weights_only=True); None for raw frames."""
    import torch

    from trainables.methods import method_of

    source = method_of(config).anonymizer
    if source is None:
        return None
    buffer = io.BytesIO()
    content = {"config": config.anonymizer.model_dump(mode="json"), "state_dict": outcomes[source].state["anonymizer"]}
    torch.save(content, buffer)
    return buffer.getvalue()
