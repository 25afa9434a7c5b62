"""The Ray trainable: one trial is one full pipeline on its allocation, recorded in MLflow."""

from __future__ import annotations

import io
import logging
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from search_spaces.registry import label_of
from trainables import schema
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.plugins import Plugin, load_plugins

if TYPE_CHECKING:
    from trainables.plan import PlannedStage
    from trainables.store import Outcome

log = logging.getLogger(__name__)

# What a trial reports to Ray Tune, and the driver prints.
STAGE, EPOCH, EPOCHS, PROGRESS, STATUS, REASON = "stage", "epoch", "epochs", "progress", "status", "reason"
DONE, FAILED, RUNNING = "done", "failed", "running"


@dataclass(frozen=True)
class TrialJob:
    """What travels to a worker: everything it needs, as plain values.

    `key` and `name` are empty in the template of a search, whose trials come about in the worker. `failed` is what a failed
    trial reports to the search in place of its objectives.
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


def run_job(job: Mapping[str, Any], proposed: Mapping[str, Any]) -> None:
    """Runs a TrialJob (as a mapping), with the values that a search proposes, inside a Ray worker.

    What a retry cannot cure (bad config or data, a diverged loss, a bug) ends the trial here, once, with its reason in
    MLflow. A worker that dies does not get here: Tune starts it again and it goes on from what its stages have saved.
    """
    from ray import tune

    from study.tracking import TrialRun
    from trainables.pipeline import run_trial
    from trainables.plan import TrialData, plan_trial

    load_plugins([Plugin(**plugin) for plugin in job["plugins"]])
    config, runtime = TrialConfig.model_validate(job["config"]), Runtime(**job["runtime"])
    key, name, tags = job["key"], job["name"], dict(job["tags"])
    if proposed:
        config = with_values(config, proposed)
        key = plan_trial(config, TrialData(config, runtime.data_root)).key
        tags[schema.TAG_SETTING] = label_of(proposed)
        name = f"{tags[schema.TAG_SETTING]} seed={config.seed}"
    run = TrialRun(job["tracking_uri"], job["experiment_id"], key, name, tags, config)
    try:
        record, outcomes = run_trial(config, runtime, _Both(run, _Progress(config)))
        run.complete(record, _anonymizer_file(config, outcomes))
    except (ConfigError, DataError, ArithmeticError) as error:
        reason = str(error)
    except Exception as error:
        log.exception("trial %s failed", name)
        reason = f"{type(error).__name__}: {error} (a bug, or out of memory)\n{traceback.format_exc()}"
    else:
        objectives = {metric: record.metrics[metric] for metric in job["failed"]}
        tune.report({STATUS: DONE, PROGRESS: 1.0, STAGE: "", EPOCH: 0, EPOCHS: 0, **objectives})
        return
    run.fail(reason)
    tune.report({STATUS: FAILED, REASON: reason, PROGRESS: 1.0, STAGE: "", EPOCH: 0, EPOCHS: 0, **job["failed"]})


class _Progress:
    """Tells Tune how far the trial is: the share of its epochs, over all of its stages."""

    def __init__(self, config: TrialConfig) -> None:
        from trainables.methods import method_of
        from trainables.stages import EVALUATE_ACTION, EVALUATE_CLIP_PRIVACY, EVALUATE_PRIVACY

        epochs = {
            EVALUATE_ACTION.name: config.evaluate_action.epochs,
            EVALUATE_PRIVACY.name: config.evaluate_privacy.epochs,
            EVALUATE_CLIP_PRIVACY.name: config.evaluate_privacy.epochs if config.evaluate_privacy.clips else 0,
        }
        for stage in method_of(config).stages:
            epochs[stage.name] = getattr(getattr(config, stage.name, None), "epochs", 1)
        self._epochs = {name: max(1, count) for name, count in epochs.items()}
        self._done = dict.fromkeys(self._epochs, 0)
        self._waits_for = ""

    def epoch(self, stage: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        self._epochs[stage], self._done[stage] = epochs, epoch + 1
        self._report(stage, epoch + 1, epochs)

    def waiting(self, stage: str, holder: str) -> None:
        if self._waits_for != stage:
            self._waits_for = stage
            self._report(f"waiting for {stage}", 0, self._epochs.get(stage, 1))

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        self._done[stage.role] = self._epochs.get(stage.role, 1)
        if reused:
            self._report(stage.role, len(outcome.history), len(outcome.history))

    def _report(self, stage: str, epoch: int, epochs: int) -> None:
        from ray import tune

        share = min(0.999, sum(self._done.values()) / sum(self._epochs.values()))
        tune.report({STATUS: RUNNING, STAGE: stage, EPOCH: epoch, EPOCHS: epochs, PROGRESS: share})


class _Both:
    """Two reporters as one."""

    def __init__(self, *reporters: Any) -> None:
        self._reporters = reporters

    def epoch(self, stage: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        for reporter in self._reporters:
            reporter.epoch(stage, epoch, epochs, metrics)

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
