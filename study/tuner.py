"""Ray Tune over the trials of a study: one trial, one allocation."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from search_spaces.registry import label_of
from study.job import has_uploaded_code
from trainables.config import ConfigError
from trainables.trial import DONE, EPOCH, EPOCHS, FAILED, PROGRESS, REASON, STAGE, STATUS, TrialJob, run_job

JOINS_CLUSTER = "RAY_ADDRESS" in os.environ  # set for every submitted job

# Read when Ray is imported or a Tuner made; what the user has set wins.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default every other process of the machine goes first
    "RAY_AIR_NEW_OUTPUT": "0",  # `StudyProgress` prints
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow holds the records
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # objectives are reported once, at the end
}
if not JOINS_CLUSTER:
    _SETTINGS["RAY_AUTH_MODE"] = "disabled"  # this machine's loopback only; otherwise a token is written to the home
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.search import Searcher

ROOT = Path(__file__).resolve().parents[1]
MAX_WORKER_LOSSES = 3  # of one trial; what a retry cannot cure never comes back as a lost worker


@dataclass(frozen=True)
class Resources:
    """What one trial is given, and how many may run at once (None: as many as fit)."""

    cpus: float
    gpus: float
    max_concurrent: int | None = None


@dataclass(frozen=True)
class StudyEnd:
    """How many trials of this launch came to which end. `lost` are those whose worker died too often."""

    done: int = 0
    failed: int = 0
    lost: int = 0
    interrupted: bool = False

    def __add__(self, other: StudyEnd) -> StudyEnd:
        interrupted = self.interrupted or other.interrupted
        return StudyEnd(self.done + other.done, self.failed + other.failed, self.lost + other.lost, interrupted)


def start_ray(resources: Resources) -> None:
    """Joins the cluster of the job this runs in, or starts Ray on this machine.

    Raises ConfigError if this machine could not hold one trial: Tune would wait for ever.
    """
    runtime_env: dict[str, Any] = {} if has_uploaded_code() else {"env_vars": {"PYTHONPATH": str(ROOT)}}
    if JOINS_CLUSTER:
        ray.init(runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
        return  # its autoscaler may bring nodes that are not there yet
    ray.init(
        address="local",
        runtime_env=runtime_env,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _node_ip_address="127.0.0.1",
    )
    has = ray.cluster_resources()
    if has.get("CPU", 0) < resources.cpus or has.get("GPU", 0) < resources.gpus:
        ray.shutdown()
        raise ConfigError(
            f"a trial asks for {resources.cpus:g} CPUs and {resources.gpus:g} GPUs, but this machine has"
            f" {has.get('CPU', 0):g} and {has.get('GPU', 0):g}; change --cpus-per-trial, --gpus-per-trial or --profile"
        )


def stop_ray() -> None:
    """Leaves the cluster, or ends the Ray that `start_ray` started on this machine."""
    ray.shutdown()


def run_trials(jobs: Sequence[TrialJob], resources: Resources, storage: Path, name: str) -> StudyEnd:
    """Runs all jobs; returns when each is done, failed or lost, or when Ctrl-C or SIGTERM has stopped them."""
    return _fit({"job": tune.grid_search([asdict(job) for job in jobs])}, len(jobs), {}, resources, storage, name)


def run_search(template: TrialJob, algorithm: Searcher, count: int, resources: Resources, storage: Path, name: str) -> StudyEnd:
    """Runs `count` trials of points that `algorithm` proposes: each is `template` with the point's values."""
    # the sampler learns from what is done: were all trials proposed at once, it would know nothing
    settings = {"search_alg": algorithm, "num_samples": count}
    return _fit({"job": asdict(template)}, count, settings, resources, storage, name)


def _fit(
    param_space: dict[str, Any], total: int, settings: dict[str, Any], resources: Resources, storage: Path, name: str
) -> StudyEnd:
    progress = StudyProgress(total)
    tuner = tune.Tuner(
        tune.with_resources(_trainable, {"cpu": resources.cpus, "gpu": resources.gpus}),
        param_space=param_space,
        tune_config=tune.TuneConfig(
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,  # the imports of PyTorch are paid once a worker, not once a trial
            trial_name_creator=_trial_name,
            trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
            **settings,
        ),
        run_config=tune.RunConfig(
            name=f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            storage_path=str(storage / "ray"),
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
            callbacks=[progress],
            verbose=0,
        ),
    )
    before = signal.signal(signal.SIGTERM, lambda number, frame: os.kill(os.getpid(), signal.SIGINT))
    try:
        tuner.fit()  # turns SIGINT into an orderly end of its own
    finally:
        signal.signal(signal.SIGTERM, before)
    return progress.end()


def _trainable(config: dict[str, Any]) -> None:
    run_job(config["job"], _proposed(config))


def _proposed(config: dict[str, Any]) -> dict[str, Any]:
    """The values of a search's point: dotted keys of TrialConfig."""
    return {key: value for key, value in config.items() if key != "job"}


def _trial_name(trial: Any) -> str:
    values = _proposed(trial.config)
    return label_of(values) if values else trial.config["job"]["name"]


class StudyProgress(Callback):
    """Prints how a study goes: trials done, running and left, stage and epoch of each, time left."""

    def __init__(self, total: int, every: float = 10.0) -> None:
        self._total, self._every = total, every
        self._start = self._printed = time.monotonic()
        self._running: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.setdefault(str(trial), {})

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        name, status = str(trial), result.get(STATUS)
        if status in (DONE, FAILED):
            self._running.pop(name, None)
            self._ended[name] = str(status)
            why = f": {str(result[REASON]).splitlines()[0]}" if status == FAILED else ""
            self._print(f"{name} {status}{why}")
        elif status is not None:
            self._running[name] = result
            if time.monotonic() - self._printed >= self._every:
                self._print(" | ".join(f"{trial} {_stage(result)}" for trial, result in self._running.items()))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._print(f"{trial}: its worker was lost; it starts again from its last epoch")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._running.pop(str(trial), None)
        self._ended[str(trial)] = "lost"
        self._print(f"{trial}: its worker was lost {MAX_WORKER_LOSSES + 1} times; given up")

    def end(self) -> StudyEnd:
        states = list(self._ended.values())
        return StudyEnd(states.count(DONE), states.count(FAILED), states.count("lost"), len(states) < self._total)

    def _print(self, what: str) -> None:
        self._printed = time.monotonic()
        elapsed = self._printed - self._start
        share = (len(self._ended) + sum(state.get(PROGRESS, 0.0) for state in self._running.values())) / self._total
        left = f", about {_duration(elapsed * (1 - share) / share)} to go" if 0.02 < share < 1 else ""
        counts = f"{len(self._ended)} ended, {len(self._running)} running, of {self._total}"
        print(f"[{_duration(elapsed)}] {counts}{left} | {what}", flush=True)


def _stage(result: dict[str, Any]) -> str:
    return f"{result[STAGE]} {result[EPOCH]}/{result[EPOCHS]}" if result.get(STAGE) else "starting"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"
