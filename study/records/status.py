"""`python study/run.py --status`: the state of the studies in MLflow. Needs no Ray; with the storage it says more."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import fmean

from mlflow.entities import Experiment, Run, ViewType
from mlflow.tracking import MlflowClient

from study.backend.preflight import tracking_problems
from study.environment import without_passwords
from study.options import Options
from study.records.orders import plan_of_run
from study.records.outbox import RUNNING, Outbox, trials_folder
from study.records.recording import FAILED, FINISHED
from study.records.tracking import pages
from trainables import schema
from trainables.config import ConfigError
from trainables.store.files import Files
from trainables.store.leases import Leases

_LISTED = 10  # trials that wait or failed, by name


@dataclass(frozen=True)
class Running:
    """A trial that runs: its `worker` (host and process), its start, its stage with the epochs done and in all, and the end of
    the last epoch. Times are in seconds since 1970; 0 stands for what is not known.
    """

    name: str
    worker: str
    since: float
    stage: str
    epoch: int
    epochs: int
    last: float


@dataclass(frozen=True)
class Status:
    """The state of a study. `waiting` trials have no run yet, `stopped` ones were interrupted, `early` ones could not win;
    `failed` ones have reasons.

    `outside` counts runs that are not in the study's last plan, such as the points of a search. `left` are the seconds to go,
    estimated from the finished trials; None without any.
    """

    experiment: str
    done: int
    running: tuple[Running, ...]
    waiting: tuple[str, ...]
    stopped: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    early: tuple[str, ...]
    outside: int
    unsent: int
    hours: Mapping[str, float]
    left: float | None

    @property
    def planned(self) -> int:
        return self.done + len(self.running) + len(self.waiting) + len(self.stopped) + len(self.failed) + len(self.early)


def show_status(options: Options) -> int:
    """Prints the status of every study in MLflow, or of those of one space. Raises ConfigError if there is none."""
    tracking_uri, space = options.places.tracking_uri, options.space
    if problems := tracking_problems(tracking_uri):
        raise ConfigError(problems[0])
    client = MlflowClient(tracking_uri)
    found = [
        experiment
        for experiment in pages(client.search_experiments)
        if schema.TAG_SPACE in experiment.tags
        and space in (None, experiment.tags[schema.TAG_SPACE])
        and experiment.name == schema.experiment_name(experiment.tags[schema.TAG_SPACE], experiment.tags[schema.TAG_PROFILE])
    ]
    if not found:
        what = "no study" if space is None else f"no study of the space {space}"
        where = f"--tracking-uri {without_passwords(tracking_uri)}"
        for gone in pages(lambda **page: client.search_experiments(view_type=ViewType.DELETED_ONLY, **page)):
            if space is not None and gone.tags.get(schema.TAG_SPACE) == space:
                raise ConfigError(
                    f"{where}: the study {gone.name} was deleted in MLflow; running it again, or `mlflow experiments restore"
                    f" --experiment-id {gone.experiment_id}`, brings its records back"
                )
        raise ConfigError(f"{where}: {what} there; give the one it was started with")
    for experiment in found:
        _print(status_of(client, tracking_uri, experiment, Files(options.places.stages_at)), time.time())
    return 0


def status_of(client: MlflowClient, tracking_uri: str, experiment: Experiment, files: Files) -> Status:
    identity = experiment.experiment_id
    runs: list[Run] = list(pages(lambda **page: client.search_runs([identity], **page)))
    own = [run for run in runs if run.data.tags.get(schema.TAG_KIND) == schema.STUDY_RUN]
    by_key = {run.data.tags[schema.TAG_TRIAL_KEY]: run for run in runs if schema.TAG_TRIAL_KEY in run.data.tags}
    plan = plan_of_run(client, own[0]) if own else None
    names = {trial["key"]: trial["name"] for trial in plan or ()}
    if plan is None:
        names = {key: str(run.info.run_name) for key, run in by_key.items()}
    trials = {key: run for key, run in by_key.items() if key in names}
    open_ = [key for key, run in trials.items() if run.info.status == RUNNING]
    seen, folder = _seen(files), trials_folder(tracking_uri, identity)
    with ThreadPoolExecutor(16) as pool:
        workers = dict(zip(open_, pool.map(lambda key: Leases(files).holder(folder, key) if seen else "", open_), strict=True))
        live = [key for key in open_ if workers[key] or not seen]
        running = list(pool.map(lambda key: _running(client, trials[key], workers[key]), live))
    done = [run for run in trials.values() if run.info.status == FINISHED]
    failed = {key: run for key, run in trials.items() if run.info.status == FAILED}
    early = [names[key] for key, run in trials.items() if schema.is_early(run)]
    stopped = [
        names[key]
        for key, run in trials.items()
        if key not in live and key not in failed and run not in done and not schema.is_early(run)
    ]
    waiting = [name for key, name in names.items() if key not in trials]
    each = [run.data.metrics["seconds"] for run in done if "seconds" in run.data.metrics]
    todo = 0.5 * len(running) + len(stopped) + len(waiting)
    return Status(
        experiment.name,
        len(done),
        tuple(running),
        tuple(waiting),
        tuple(stopped),
        tuple((names[key], run.data.tags.get(schema.TAG_REASON, "")) for key, run in failed.items()),
        tuple(early),
        len(by_key) - len(trials),
        len(list(Outbox(files, tracking_uri, identity).keys())) if seen else 0,
        {name: value for name, value in own[0].data.metrics.items() if "hours." in name} if own else {},
        todo * fmean(each) / max(1, len(running)) if each else None,
    )


def _seen(files: Files) -> bool:
    """Whether the storage can be read from here; the leases in it say which host holds a trial."""
    try:
        return bool(files.names(""))
    except Exception:  # each backend has errors of its own
        return False


def _running(client: MlflowClient, run: Run, worker: str) -> Running:
    done = {pair.partition("=")[0] for pair in run.data.tags.get(schema.TAG_STAGE_KEYS, "").split()}
    shown = [name for name in run.data.metrics if "/" in name and name.partition("/")[0] not in done]
    stage, epoch, last = "", 0, 0.0
    for name in {name.partition("/")[0]: name for name in shown}.values():  # a metric of each
        point = max(client.get_metric_history(run.info.run_id, name), key=lambda point: (point.timestamp, point.step))
        if point.timestamp / 1000 > last:
            stage, epoch, last = name.partition("/")[0], point.step + 1, point.timestamp / 1000
    group = "attacks" if stage.startswith("attack_") else stage.replace("clip_", "")
    epochs = schema.config_of(run.data.params, run.data.tags).get(f"{group}.epochs", "0")
    since = (run.info.start_time or 0) / 1000
    return Running(str(run.info.run_name), worker, since, stage, epoch, int(epochs), last)


def _print(found: Status, now: float) -> None:
    counts = {
        "done": found.done,
        "running": len(found.running),
        "waiting": len(found.waiting),
        "stopped": len(found.stopped),
        "failed": len(found.failed),
    } | ({"stopped early": len(found.early)} if found.early else {})
    print(f"{found.experiment}: {found.planned} trials: {', '.join(f'{count} {what}' for what, count in counts.items())}")
    for trial in found.running:
        epochs = f"/{trial.epochs}" if trial.epochs else ""
        stage = f"{trial.stage} {trial.epoch}{epochs}, {_ago(now - trial.last)}" if trial.stage else "no epoch of a stage yet"
        print(f"  running  {trial.name:32} {stage}; since {_clock(trial.since)}{trial.worker and f' on {trial.worker}'}")
    for name, reason in found.failed[:_LISTED]:
        print(f"  failed   {name:32} {' '.join(reason.split())[:200]}")
    _list("stopped", found.stopped)
    _list("stopped early", found.early)
    _list("waiting", found.waiting)
    if len(found.failed) > _LISTED:
        print(f"  failed   {len(found.failed) - _LISTED} more")
    if found.outside:
        print(f"  {found.outside} runs outside its last plan (points of a search, or of an earlier plan)")
    if found.unsent:
        print(f"  {found.unsent} records wait in the storage for MLflow to answer; the study sends them, or its next start")
    for unit in (schema.GPU_HOURS, schema.CPU_HOURS):
        hours = {name.removeprefix(unit): value for name, value in found.hours.items() if name.startswith(unit)}
        if hours:
            idle = ", ".join(f"{value:.2f} {name}" for name, value in hours.items() if name != "busy")
            print(f"  {unit[:3].upper()} hours: {hours.get('busy', 0.0):.2f} busy, {idle}")
    if found.left and found.running:
        print(f"  about {_duration(found.left)} to go with {len(found.running)} at a time")
    elif found.left:
        print(f"  nothing runs; what is left takes about {_duration(found.left)}, one trial after another")


def _list(what: str, names: Sequence[str]) -> None:
    if names:
        more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
        print(f"  {what}  {', '.join(names[:_LISTED])}{more}")


def _ago(seconds: float) -> str:
    return f"{_duration(seconds)} ago"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _duration(seconds: float) -> str:
    minutes = int(max(0.0, seconds)) // 60
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min {int(seconds) % 60:02d} s"
