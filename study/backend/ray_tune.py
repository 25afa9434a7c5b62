"""The Ray backend: Ray Tune runs the trials of a study, each on an allocation of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import ray
from ray import tune
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher
from ray.tune.trainable.function_trainable import wrap_function

from study.backend.base import Demands, StudyEnd, TrialBatch
from study.backend.early import EarlyStoppingScheduler
from study.backend.job import as_given, joins_cluster
from study.backend.packing import kinds_of_gpus, measuring, packed
from study.backend.preflight import Needs, needs_of, preflight, preflight_here, require_here
from study.backend.progress import MAX_WORKER_LOSSES, StudyProgress
from study.environment import Environment
from study.schedule.order import Queue
from study.schedule.resources import Resources, Share
from study.schedule.search import Proposals, optimiser
from study.schedule.usage import Usage
from trainables.cluster import join_or_start
from trainables.config import ConfigError
from trainables.failures import heed_sigterm
from trainables.signals import heeding, leave_terminal
from trainables.store.files import Files
from trainables.trial import Report, TrialJob, TrialState, run_job

_NUMBER = "number"  # of a job, in Tune's config of a trial
HALT_SECONDS = 20.0  # for running trials to save when the study is to stop
_GRACE_SECONDS = 10.0  # until Tune has seen that they have

RunJob = Callable[[TrialJob, Mapping[str, Any], Report], None]


class RayBackend:
    """The Ray cluster of the job that this process runs in, or else a Ray of its own on this machine.

    `run_one` is what a worker does with a job.
    """

    def __init__(self, run_one: RunJob = run_job) -> None:
        self._run_one = run_one
        self._needs: Needs | None = None

    def start(self, demands: Demands) -> Resources:
        """Joins or starts Ray, asks every node whether it can run the trials, and measures how many share a GPU if asked to.

        Returns the resources matched to the nodes. Raises ConfigError if a node cannot run the study, or none could hold a
        trial.
        """
        join_or_start(Environment().ray_address if joins_cluster() else None, as_given())
        try:
            resources, needs = _checked(demands)
            if demands.pack:
                runtime = Share(1.0, 1.0).runtime(str(demands.data_root), demands.stages_at)
                configs = [plan.config for plan in demands.plans]
                resources = packed(resources, configs, kinds_of_gpus(), measuring(runtime, demands.plugins))
                needs = replace(needs, gpus=resources.most_gpus)
        except BaseException:
            ray.shutdown()
            raise
        self._needs = needs
        return resources

    def run(self, batch: TrialBatch, note: Callable[[Usage], None]) -> StudyEnd:
        """Runs all trials of a batch; returns when each is done, failed or lost, or when Ctrl-C or SIGTERM has stopped them.

        `note` is told now and then what they have used.
        """
        resource = "GPU" if any(share.gpus for share in batch.shares) else "CPU"
        progress = StudyProgress(batch.count, note, resource, batch.time_left)
        halt = Halt(progress, Files(batch.jobs[0].runtime.storage), batch.jobs[0].stop)
        tuner = _tuner(batch, self._trainable(batch), progress, halt)
        with heeding(halt.on_signal), contextlib.suppress(KeyboardInterrupt):  # told twice
            try:
                tuner.fit()
            finally:
                halt.over = True
                progress.close()
        return progress.end()

    def stop(self) -> None:
        """Leaves the cluster, or ends the Ray that `start` started on this machine."""
        ray.shutdown()

    def _trainable(self, batch: TrialBatch) -> type[tune.Trainable]:
        # jobs travel once a worker, through the object store: in Tune's own state a trial is its number
        given = tune.with_parameters(_run_on_worker, jobs=list(batch.jobs), needs=self._needs, run_one=self._run_one)

        class Worker(wrap_function(given)):  # type: ignore[misc]
            """Lets its trial save when its process gets SIGTERM, as on a spot machine that is taken back."""

            def setup(self, config: dict[str, Any]) -> None:
                heed_sigterm()  # here: Python lets only the main thread, and trials run in another one
                super().setup(config)

        return Worker


def _checked(demands: Demands) -> tuple[Resources, Needs]:
    """The resources matched to the nodes, and what trials need of a node with the nodes that have it."""
    needs = needs_of(demands)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    resources = demands.resources.matched(nodes)
    shares = list(dict.fromkeys(resources.of(plan.config) for plan in demands.plans))
    if joins_cluster():
        return resources, preflight(needs, shares, demands.nodes_come_later)
    has = ray.cluster_resources()
    for share in shares:
        if any(has.get(name, 0.0) < amount for name, amount in share.bundle.items()):
            raise ConfigError(
                f"a trial asks for {share}, but this machine has {has.get('CPU', 0):g} and {has.get('GPU', 0):g};"
                " change --cpus-per-trial, --gpus-per-trial or --profile"
            )
    preflight_here(needs)
    return resources, replace(needs, checked=frozenset(node["NodeID"] for node in ray.nodes()))


def _tuner(batch: TrialBatch, trainable: type[tune.Trainable], progress: StudyProgress, halt: Halt) -> tune.Tuner:
    # Tune pickles these functions: they hold no jobs
    bundles, names = [share.bundle for share in batch.shares], [job.name for job in batch.jobs]
    label = batch.jobs[0].recorder.label
    callbacks: list[Callback] = [progress]
    search: Searcher
    if isinstance(batch.source, Proposals):
        # the sampler learns from what is done: were all trials proposed at once, it would know nothing
        search = optimiser(batch.source.search, batch.source.points, batch.source.seed)
    else:
        search = _InOrder(batch.source)
        callbacks.append(_Starts(batch.source))

    def name(trial: Any) -> str:
        return names[trial.config[_NUMBER]] if _NUMBER in trial.config else label(_proposed(trial.config))

    return tune.Tuner(
        tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([bundles[config.get(_NUMBER, 0)]])),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=None if batch.early is None else EarlyStoppingScheduler(batch.early, batch.jobs[0].runtime.storage),
            num_samples=batch.count,
            max_concurrent_trials=batch.max_concurrent,
            reuse_actors=True,  # the imports of PyTorch are paid once a worker, not once a trial
            trial_name_creator=name,
            trial_dirname_creator=lambda trial: f"trial-{trial.trial_id}",
        ),
        run_config=tune.RunConfig(
            name=f"{batch.name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}",
            storage_path=str(batch.directory / "ray"),
            failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
            callbacks=callbacks,
            stop=halt,
            verbose=0,
        ),
    )


def _run_on_worker(config: dict[str, Any], jobs: Sequence[TrialJob], needs: Needs | None, run_one: RunJob) -> None:
    """The function trainable: checks a node that came later, and runs the job that Tune's config names."""
    if needs is not None:
        require_here(needs)
    run_one(jobs[config.get(_NUMBER, 0)], _proposed(config), _report)


def _report(state: TrialState) -> None:
    """Tells Tune how far the trial is. The objectives of a search lie beside the other fields, as Optuna looks for them."""
    result = asdict(state)
    tune.report({**result, **result.pop("objectives")})


def _proposed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a search's point: dotted keys of TrialConfig."""
    return {key: value for key, value in config.items() if key != _NUMBER}


class Halt(Stopper):
    """Lets running trials save when the study is told to stop (SIGTERM, Ctrl-C, SIGHUP), and ends it when they have, or after
    HALT_SECONDS. A second signal ends it at once. `over`: Tune has ended.
    """

    def __init__(self, progress: StudyProgress, files: Files, marker: str) -> None:
        self._progress, self._files, self._marker = progress, files, marker
        self._since: float | None = None
        self._marked = False
        self.over = False

    def on_signal(self, number: int, frame: Any) -> None:
        """The signal handler."""
        if self._since is not None:
            raise KeyboardInterrupt
        self._since = time.monotonic()
        leave_terminal(number)
        late = threading.Timer(HALT_SECONDS + _GRACE_SECONDS, self._insist)
        late.daemon = True
        late.start()

    def _insist(self) -> None:
        """Tells the study a second time where Tune does not get to `stop_all`: Ray's processes may have been ended too."""
        if not self.over:
            os.kill(os.getpid(), signal.SIGINT)

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


class _InOrder(Searcher):
    """Lets Tune take trials from a `Queue`."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        number = self._queue.next()
        if number is None:
            return None
        self._numbers[trial_id] = number
        return {_NUMBER: number}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._queue.ended(self._numbers.pop(trial_id))

    def save(self, checkpoint_path: str) -> None:
        """Saves nothing: a study that starts again asks MLflow what is done."""

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class _Starts(Callback):
    """Tells the queue which of the trials it gave out have been given their resources."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._queue.started(trial.config[_NUMBER])
