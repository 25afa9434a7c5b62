"""Ray Tune over the trials of a study: one trial, one allocation."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from search_spaces.registry import label_of
from study.backend.job import JOINS_CLUSTER, has_uploaded_code
from study.backend.preflight import Needs, NodeUnfit, preflight, preflight_here, require_here
from study.schedule.order import Queue
from study.schedule.resources import Resources, Share
from study.schedule.usage import Meter, Usage
from trainables.config import ConfigError, TrialConfig
from trainables.failures import Lost, heed_sigterm
from trainables.store.files import Files
from trainables.trial import (
    DONE,
    EPOCH,
    EPOCHS,
    FAILED,
    PROGRESS,
    REASON,
    RUNS_FOR,
    STAGE,
    STATUS,
    STOPPED,
    WAITED,
    TrialJob,
    run_job,
)

# Read when Ray is imported or a Tuner made; what the user has set wins.
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_worker_niceness": "0",  # by default every other process of the machine goes first
    "RAY_AIR_NEW_OUTPUT": "0",  # `StudyProgress` prints
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # `Halt` lets the trials save
    "TUNE_FORCE_TRIAL_CLEANUP_S": "10",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # MLflow holds the records
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # objectives are reported once, at the end
    "TUNE_MAX_PENDING_TRIALS_PG": "64",  # an autoscaler brings nodes for what is pending; `Queue` has the same number
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # MLflow and the storage know what is done: nobody reads Tune's snapshots
}
if not JOINS_CLUSTER:
    _SETTINGS["RAY_AUTH_MODE"] = "disabled"  # this machine's loopback only; otherwise a token is written to the home
for _name, _value in _SETTINGS.items():
    os.environ.setdefault(_name, _value)

import ray
from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher
from ray.tune.trainable.function_trainable import wrap_function

ROOT = Path(__file__).resolve().parents[2]
_NUMBER = "number"  # of a job, in Tune's config of a trial
MAX_WORKER_LOSSES = 1000  # of one trial; it gives up by itself when LOSSES of them come without an epoch in between
HALT_SECONDS = 20.0  # for running trials to save when the study is to stop


@dataclass(frozen=True)
class StudyEnd:
    """How many trials of this launch came to which end. `lost` are those whose worker died too often."""

    done: int = 0
    failed: int = 0
    lost: int = 0
    interrupted: bool = False
    usage: Usage = field(default_factory=Usage)

    def __add__(self, other: StudyEnd) -> StudyEnd:
        interrupted = self.interrupted or other.interrupted
        usage = self.usage + other.usage
        return StudyEnd(self.done + other.done, self.failed + other.failed, self.lost + other.lost, interrupted, usage)


def start_ray(
    resources: Resources, configs: Sequence[TrialConfig], needs: Needs, later: bool = False
) -> tuple[Resources, Needs]:
    """Joins the cluster of the job this runs in, or starts Ray on this machine, and asks every node whether it can run the
    trials of `configs`. Returns the resources matched to the nodes, and the needs with the nodes that have passed.

    Raises ConfigError if a node cannot run the study, or none could hold a trial and none is to come `later`.
    """
    runtime_env: dict[str, Any] = {} if has_uploaded_code() else {"env_vars": {"PYTHONPATH": str(ROOT)}}
    if JOINS_CLUSTER:
        ray.init(runtime_env=runtime_env, log_to_driver=False, logging_level=logging.ERROR)
    else:
        ray.init(
            address="local",
            runtime_env=runtime_env,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
        )
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        resources = resources.matched(nodes)
        shares = list(dict.fromkeys(resources.of(config) for config in configs))
        if JOINS_CLUSTER:
            return resources, preflight(needs, shares, later)
        has = ray.cluster_resources()
        for share in shares:
            if any(has.get(name, 0.0) < amount for name, amount in share.bundle.items()):
                raise ConfigError(
                    f"a trial asks for {share}, but this machine has {has.get('CPU', 0):g} and {has.get('GPU', 0):g};"
                    " change --cpus-per-trial, --gpus-per-trial or --profile"
                )
        preflight_here(needs)
        return resources, replace(needs, checked=frozenset(node["NodeID"] for node in ray.nodes()))
    except BaseException:
        ray.shutdown()
        raise


def stop_ray() -> None:
    """Leaves the cluster, or ends the Ray that `start_ray` started on this machine."""
    ray.shutdown()


def run_trials(
    jobs: Sequence[TrialJob],
    shares: Sequence[Share],
    queue: Queue,
    needs: Needs | None,
    resources: Resources,
    storage: Path,
    name: str,
    note: Callable[[Usage], None],
    run: Callable[..., None] = run_job,
) -> StudyEnd:
    """Runs all jobs, each on its share, as `queue` gives them out by number; returns when each is done, failed or lost, or
    when Ctrl-C or SIGTERM has stopped them. `note` is told now and then what they have used, `run` is what a worker does with
    a job.
    """
    settings = {"search_alg": _InOrder(queue), "num_samples": len(jobs)}
    return _fit(jobs, shares, len(jobs), settings, needs, resources, storage, name, note, run)


def run_search(
    template: TrialJob,
    share: Share,
    algorithm: Searcher,
    count: int,
    needs: Needs,
    resources: Resources,
    storage: Path,
    name: str,
    note: Callable[[Usage], None],
) -> StudyEnd:
    """Runs `count` trials of points that `algorithm` proposes: each is `template` with the point's values."""
    # the sampler learns from what is done: were all trials proposed at once, it would know nothing
    settings = {"search_alg": algorithm, "num_samples": count}
    return _fit([template], [share], count, settings, needs, resources, storage, name, note, run_job)


def _fit(
    jobs: Sequence[TrialJob],
    shares: Sequence[Share],
    total: int,
    settings: Mapping[str, Any],
    needs: Needs | None,
    resources: Resources,
    storage: Path,
    name: str,
    note: Callable[[Usage], None],
    run: Callable[..., None],
) -> StudyEnd:
    progress = StudyProgress(total, note, "GPU" if any(share.gpus for share in shares) else "CPU")
    halt = Halt(progress, Files(jobs[0].runtime["storage"]), jobs[0].stop)
    callbacks: list[Callback] = [progress]
    if isinstance(settings["search_alg"], _InOrder):
        callbacks.append(_Starts(settings["search_alg"].queue))
    # jobs travel once a worker, through the object store: in Tune's own state a trial is its number
    trainable = _heeding(tune.with_parameters(_trainable, jobs=[asdict(job) for job in jobs], needs=needs, run=run))
    bundles = [share.bundle for share in shares]
    names = [job.name for job in jobs]
    tuner = tune.Tuner(
        tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([bundles[config.get(_NUMBER, 0)]])),
        tune_config=tune.TuneConfig(
            max_concurrent_trials=resources.max_concurrent,
            reuse_actors=True,  # the imports of PyTorch are paid once a worker, not once a trial
            trial_name_creator=lambda trial: (
                names[trial.config[_NUMBER]] if _NUMBER in trial.config else label_of(_proposed(trial.config))
            ),
            trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
            **settings,
        ),
        run_config=tune.RunConfig(
            name=f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            storage_path=str(storage / "ray"),
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
            callbacks=callbacks,
            stop=halt,
            verbose=0,
        ),
    )
    before = {number: signal.signal(number, halt.on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        tuner.fit()
    except KeyboardInterrupt:
        pass  # told twice
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return progress.end()


class Halt(Stopper):
    """Lets running trials save when the study is told to stop (SIGTERM, Ctrl-C), and ends it when they have, or after
    HALT_SECONDS. A second signal ends it at once.
    """

    def __init__(self, progress: StudyProgress, files: Files, marker: str) -> None:
        self._progress, self._files, self._marker = progress, files, marker
        self._since: float | None = None
        self._marked = False

    def on_signal(self, number: int, frame: Any) -> None:
        if self._since is not None:
            raise KeyboardInterrupt
        self._since = time.monotonic()

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        """Tune asks several times a second."""
        if self._since is None:
            return False
        if not self._marked:
            self._marked = True
            print(f"told to stop: running trials save at their next step, within {HALT_SECONDS:.0f} s", flush=True)
            with contextlib.suppress(Exception):  # without the storage nothing can be saved either
                self._files.replace(self._marker, b"stop")
        return not self._progress.running or time.monotonic() - self._since > HALT_SECONDS


def _heeding(trainable: Callable[..., None]) -> type[tune.Trainable]:
    """`trainable`, in a worker that lets its trial save when it gets SIGTERM itself, as on a spot machine that is to go."""

    class Worker(wrap_function(trainable)):  # type: ignore[misc]
        def setup(self, config: dict[str, Any]) -> None:
            heed_sigterm()  # here: Python lets only the main thread, and trials run in another one
            super().setup(config)

    return Worker


def _trainable(
    config: dict[str, Any], jobs: Sequence[Mapping[str, Any]], needs: Needs | None, run: Callable[..., None]
) -> None:
    if needs is not None:
        require_here(needs)
    run(jobs[config.get(_NUMBER, 0)], _proposed(config))


def _proposed(config: dict[str, Any]) -> dict[str, Any]:
    """The values of a search's point: dotted keys of TrialConfig."""
    return {key: value for key, value in config.items() if key != _NUMBER}


class _InOrder(Searcher):
    """A `Queue` as Tune asks for it."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self.queue = queue
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        number = self.queue.next()
        if number is None:
            return None
        self._numbers[trial_id] = number
        return {_NUMBER: number}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.queue.ended(self._numbers.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: a study that starts again asks MLflow what is done."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class _Starts(Callback):
    """Tells the queue which of the trials it gave out have been given their resources."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._queue.started(trial.config[_NUMBER])


class StudyProgress(Callback):
    """Prints how a study goes: trials done, running and left, stage and epoch of each, time left. Notes what is used of
    `resource`, GPU or CPU.
    """

    def __init__(self, total: int, note: Callable[[Usage], None], resource: str, every: float = 10.0) -> None:
        self._total, self._note, self._resource, self._every = total, note, resource, every
        self._start = self._printed = time.monotonic()
        self._noted, self._meter = 0.0, Meter()
        self.running: dict[str, dict[str, Any]] = {}
        self._ended: dict[str, str] = {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.running.setdefault(str(trial), {})
        amount = trial.placement_group_factory.required_resources.get(self._resource, 0.0)
        self._meter.start(str(trial), amount, time.monotonic())

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = time.monotonic()
        if now - self._noted >= self._every:
            self._noted = now
            # a worker between two trials holds what it has; only in a cluster of one's own is that known to be unused
            free = ray.available_resources() if JOINS_CLUSTER else ray.cluster_resources()
            self._meter.free(free.get(self._resource, 0.0) - (0.0 if JOINS_CLUSTER else self._meter.held), now)
            self._note(self._meter.total(now))

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        name, status = str(trial), result.get(STATUS)
        if status in (DONE, FAILED, STOPPED):
            self._meter.end(name, time.monotonic())
        else:
            self._meter.report(name, result.get(RUNS_FOR, 0.0), result.get(WAITED, 0.0), time.monotonic())
        if status in (DONE, FAILED):
            self.running.pop(name, None)
            self._ended[name] = str(status)
            why = f": {str(result[REASON]).splitlines()[0]}" if status == FAILED else ""
            self._print(f"{name} {status}{why}")
        elif status == STOPPED:
            self.running.pop(name, None)
        elif status is not None:
            self.running[name] = result
            if time.monotonic() - self._printed >= self._every:
                self._print(" | ".join(f"{trial} {_stage(result)}" for trial, result in self.running.items()))

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._meter.end(str(trial), time.monotonic())
        self._print(f"{trial}: its worker was lost{_why(trial)}; it starts again from its last epoch")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._meter.end(str(trial), time.monotonic())
        self.running.pop(str(trial), None)
        self._ended[str(trial)] = "lost"
        self._print(f"{trial}: its worker was lost {MAX_WORKER_LOSSES + 1} times; given up")

    def end(self) -> StudyEnd:
        states, now = list(self._ended.values()), time.monotonic()
        usage = self._meter.total(now)
        self._note(usage)
        return StudyEnd(states.count(DONE), states.count(FAILED), states.count("lost"), len(states) < self._total, usage)

    def _print(self, what: str) -> None:
        self._printed = time.monotonic()
        elapsed = self._printed - self._start
        share = (len(self._ended) + sum(state.get(PROGRESS, 0.0) for state in self.running.values())) / self._total
        left = f", about {_duration(elapsed * (1 - share) / share)} to go" if 0.02 < share < 1 else ""
        counts = f"{len(self._ended)} ended, {len(self.running)} running, of {self._total}"
        print(f"[{_duration(elapsed)}] {counts}{left} | {what}", flush=True)


def _stage(result: dict[str, Any]) -> str:
    return f"{result[STAGE]} {result[EPOCH]}/{result[EPOCHS]}" if result.get(STAGE) else "starting"


def _why(trial: Any) -> str:
    """What the worker itself said before it gave the trial back."""
    said = Path(trial.error_file).read_text() if trial.error_file else ""  # `get_error` looks where Tune copies it later
    last = (said.strip().splitlines() or [""])[-1]
    kind, _, reason = last.partition(": ")
    return f" ({reason})" if kind.rpartition(".")[2] in (NodeUnfit.__name__, Lost.__name__) else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes:02d}:{rest:02d}"
