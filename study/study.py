"""From a plan to a study that has run: data and weights checked, MLflow opened, Ray started, the report written."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search_spaces.plan import StudyPlan, StudyTrial
from search_spaces.registry import Search
from study.backend.job import JOINS_CLUSTER, results_directory
from study.backend.packing import kinds_of_gpus, measuring, packed
from study.backend.preflight import Needs, needs_of, tracking_problems
from study.schedule.costs import Costs, stored_stages
from study.schedule.order import Queue, in_order, steps_of
from study.schedule.resources import Resources, Share, Size, can_be_given
from study.schedule.usage import Usage
from trainables import schema
from trainables.config import ConfigError, Runtime
from trainables.data.generated import DOMAINS, GeneratedSpec, ensure
from trainables.data.trial_data import TrialData
from trainables.plan import TrialPlan, beside, plan_trial
from trainables.plugins import Plugin
from trainables.store import StageStore
from trainables.trial import TrialJob

if TYPE_CHECKING:
    from study.backend.ray_tune import StudyEnd
    from study.records.tracking import Study
    from study.schedule.search import Point


@dataclass(frozen=True)
class Launch:
    """Where a study runs. All paths are absolute: a Ray worker has a working directory of its own.

    `stages` is where all workers keep the stages: a directory, or a URI of an object store. `storage` is a directory in any
    case, for what the driver writes: the same one, or `results` in the working directory. `cpus` and `gpus` are what a trial
    is given, but for those that `sizes` name; with `match_cpus` a trial on GPUs gets the cores of the nodes, shared out.
    """

    data_root: Path | None  # None: generated data, made in the storage when they are needed
    storage: Path
    stages: str
    tracking_uri: str
    cpus: float
    gpus: float
    max_concurrent: int | None
    plugins: tuple[Plugin, ...] = ()
    sizes: tuple[Size, ...] = ()
    match_cpus: bool = False
    gpu_memory: float | None = None  # GiB that a trial needs
    pack: bool = False  # as many trials on a GPU as are measured to suit it, instead of `gpus`
    nodes_come_later: bool = False
    fresh: bool = False

    @staticmethod
    def of(
        plan: StudyPlan,
        generated: bool,
        data_root: str | None,
        storage: str,
        tracking_uri: str | None,
        cpus: float,
        gpus: float,
        max_concurrent: int | None,
        plugins: tuple[Plugin, ...] = (),
        sizes: tuple[Size, ...] = (),
        match_cpus: bool = False,
        gpu_memory: float | None = None,
        pack: bool = False,
        nodes_come_later: bool = False,
        fresh: bool = False,
    ) -> Launch:
        """Raises ConfigError for what cannot be: no data root, one for generated data, resources below zero, a storage that
        no worker can reach, or one where MLflow's database cannot be.
        """
        if generated and data_root is not None:
            raise ConfigError(
                f"--profile {plan.profile} makes its own data; leave out --data-root {data_root}, or --profile small"
            )
        if not generated and data_root is None:
            raise ConfigError(
                f"--profile {plan.profile} needs data: give --data-root DIR, or --profile generated to try without"
            )
        if data_root is not None and not Path(data_root).is_dir():
            raise ConfigError(f"--data-root {data_root}: no such directory")
        if cpus <= 0 or not can_be_given(gpus):
            raise ConfigError(
                f"{cpus:g} CPUs and {gpus:g} GPUs a trial: give some CPU, and a fraction or a whole number of GPUs"
            )
        if gpu_memory is not None and gpu_memory <= 0:
            raise ConfigError(f"--gpu-memory {gpu_memory:g}: give the GiB that a trial needs")
        if max_concurrent is not None and max_concurrent < 1:
            raise ConfigError(f"--max-concurrent {max_concurrent}: give at least 1")
        if "://" not in storage:
            storage = str(results_directory() / storage)
        directory = StageStore(storage).directory
        if storage.startswith("memory:"):
            raise ConfigError(f"--storage {storage}: each worker has a memory of its own; give a directory or s3://bucket/path")
        if directory is None and not tracking_uri:
            raise ConfigError(f"--storage {storage}: SQLite cannot live there; give --tracking-uri, a server or a database")
        where = directory or results_directory() / "results"
        return Launch(
            data_root=None if data_root is None else Path(data_root).absolute(),
            storage=where,
            stages=storage if directory is None else str(directory),
            tracking_uri=tracking_uri or f"sqlite:///{where}/mlflow.db",
            cpus=cpus,
            gpus=gpus,
            max_concurrent=max_concurrent,
            plugins=plugins,
            sizes=sizes,
            match_cpus=match_cpus,
            gpu_memory=gpu_memory,
            pack=pack,
            nodes_come_later=nodes_come_later,
            fresh=fresh,
        )

    @property
    def resources(self) -> Resources:
        """Before they are matched to the nodes of a cluster."""
        cpus = None if self.match_cpus and self.gpus else self.cpus
        return Resources(cpus, self.gpus, self.max_concurrent, self.sizes, self.cpus)

    def data(self, plan: StudyPlan) -> Path:
        """The data root; generated data, of the domains the plan names, are made now if they are not there (seconds)."""
        if self.data_root is not None:
            return self.data_root
        wanted = {data.folder for trial in plan.trials for data in trial.config.data.all()}
        if unknown := wanted - set(DOMAINS):
            raise ConfigError(
                f"--profile {plan.profile}: data.*.folder = {unknown.pop()!r}; generated data are in {' and '.join(DOMAINS)}"
            )
        made = [
            ensure(self.storage / "generated", GeneratedSpec(**plan.generated or {}, domain=domain))
            for domain in DOMAINS
            if domain in wanted
        ]
        return made[0].parent

    def runtime(self, data_root: Path, share: Share) -> Runtime:
        """CPUs decode where a GPU computes; without one they compute. Several GPUs share every batch of the trial."""
        ranks = max(1, int(share.gpus))
        whole = max(1, int(share.cpus) // ranks)
        return Runtime(
            data_root=str(data_root),
            storage=self.stages,
            device="cuda" if share.gpus else "cpu",
            workers=max(0, whole - 1) if share.gpus else 0,
            threads=whole,
            ranks=ranks,
        )


def launch(plan: StudyPlan, where: Launch) -> int:
    """Runs the study and writes its report. Returns 0 if every trial is done, 1 if one is not."""
    _require_gpus(plan, where)
    data_root = where.data(plan)
    plans = plan_stages(plan, data_root)
    _check_weights(plan)
    store = StageStore(where.stages)
    store.require()
    if problems_of_mlflow := where.tracking_uri.startswith("http") and tracking_problems(where.tracking_uri):
        raise ConfigError(problems_of_mlflow[0])
    from study.records.recording import FAILED, KILLED
    from study.records.tracking import Study, finished_trials, open_study

    where.storage.mkdir(parents=True, exist_ok=True)
    experiment_id = open_study(plan, where.tracking_uri, where.storage / "mlflow-artifacts", where.fresh)
    study = Study(where.tracking_uri, experiment_id, plan.experiment, store.files)
    study.send_unsent()
    runs = study.runs()
    already = finished_trials(runs)
    stages = {stage.key: stage for trial in plans for stage in trial.stages}
    stored = stored_stages(store, stages.values())
    costs = Costs(store, (stage.name for stage in stages.values()))
    ordered = in_order(plan.trials, plans, {key: costs.guessed(stage) for key, stage in stages.items() if key not in stored})
    todo = [pair for pair in ordered if pair[1].key not in already]
    print(f"{plan.experiment}: {len(ordered)} trials, {len(ordered) - len(todo)} done before, {len(todo)} to run")
    print(f"data {data_root}\nstorage {where.stages}\nresults {where.storage}\nMLflow {where.tracking_uri}", flush=True)
    study.plan([_planned(trial, staged) for trial, staged in ordered])
    left = 0 if plan.search is None else _searched(plan, plan.search, runs)[2]
    try:
        end = _run(plan, where, study, plans, todo, stored, data_root) if todo or left > 0 else None
    except BaseException as error:
        with contextlib.suppress(Exception):
            study.end_unfinished("the study ended before it")
            study.end(KILLED if isinstance(error, KeyboardInterrupt) else FAILED, f"{type(error).__name__}: {error}")
        raise
    return _close(plan, where, study, end)


def _run(
    plan: StudyPlan,
    where: Launch,
    study: Study,
    plans: Sequence[TrialPlan],
    todo: Sequence[tuple[StudyTrial, TrialPlan]],
    stored: Set[str],
    data_root: Path,
) -> StudyEnd:
    """Starts Ray, runs the trials of `todo` and what a search proposes, and stops Ray."""
    from study.backend.ray_tune import StudyEnd, run_trials, start_ray, stop_ray

    gpus = max(where.gpus, *(size.gpus for size in where.sizes), 0.0)
    needs = needs_of(plans, data_root, where.stages, where.tracking_uri, gpus, where.gpu_memory, where.plugins)
    configs = [trial.config for trial in plan.trials]
    resources, needs = start_ray(where.resources, configs, needs, where.nodes_come_later)
    prefix = schema.GPU_HOURS if gpus else schema.CPU_HOURS

    def note(usage: Usage) -> None:
        study.usage = {f"{prefix}{name}": hours for name, hours in asdict(usage).items()}

    try:
        if where.pack:
            one = where.runtime(data_root, Share(1.0, 1.0))
            resources = packed(resources, configs, kinds_of_gpus(), measuring(one, where.plugins))
            needs = replace(needs, gpus=max(resources.gpus, *(size.gpus for size in where.sizes), 0.0))
        with study.sending():
            end = StudyEnd()
            if todo:
                shares = [resources.of(trial.config) for trial, _ in todo]
                jobs = [
                    _job(plan, trial, staged, where, data_root, share, study)
                    for (trial, staged), share in zip(todo, shares, strict=True)
                ]
                jobs = [
                    replace(job, beside=tuple(jobs[other].config for other in others))
                    for job, others in zip(jobs, beside([staged for _, staged in todo]), strict=True)
                ]
                shapes = [str(share) for share in shares]
                queue = Queue([steps_of(staged) for _, staged in todo], stored, StageStore(where.stages).has, shapes)
                end = run_trials(jobs, shares, queue, needs, resources, where.storage, plan.experiment, note)
            if plan.search is not None and not end.interrupted:
                end += _search(
                    plan, plan.search, where, resources, needs, data_root, study, lambda usage: note(end.usage + usage)
                )
            return end
    finally:
        stop_ray()


def _close(plan: StudyPlan, where: Launch, study: Study, end: StudyEnd | None) -> int:
    """Brings the records up to date, writes the report and says how it ended. Returns 0 if every trial is done, 1 if not."""
    from study.records.recording import FAILED, FINISHED, KILLED

    try:
        unsent = study.send_patiently()
        if not unsent:
            study.send_usage()
            interrupted = end is not None and end.interrupted
            reason = "interrupted; run the same command to continue" if interrupted else "its worker was lost for good"
            left = study.end_unfinished(reason)
            problems = end is not None and bool(end.failed or end.lost or end.interrupted)
            if end is not None:
                used = f"{'GPU' if where.gpus else 'CPU'} hours: {end.usage.busy:.2f} busy, {end.usage.idle:.2f} idle"
                counts = f"{end.done} done, {end.failed} failed, {end.lost} lost; {used}"
                print(counts + (f"; stopped: {', '.join(left)}" if left else ""))
            _report(plan, where)
            study.report(where.storage / "reports" / plan.experiment)
            study.end(KILLED if interrupted else FAILED if problems else FINISHED, reason if interrupted else "")
            return 1 if problems else 0
        problem = f"the records of {unsent} trials wait in {where.stages}/unsent"
    except Exception as error:  # a server, a database, a network: each has errors of its own
        problem = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    print(
        f"MLflow {where.tracking_uri} does not answer ({problem}); nothing is lost: run the same command when it is back",
        file=sys.stderr,
    )
    return 1


def _planned(trial: StudyTrial, staged: TrialPlan) -> dict[str, str | int]:
    return {"key": staged.key, "name": trial.name, "setting": trial.setting, "seed": trial.config.seed}


def _search(
    plan: StudyPlan,
    search: Search,
    where: Launch,
    resources: Resources,
    needs: Needs,
    data_root: Path,
    study: Study,
    note: Callable[[Usage], None],
) -> StudyEnd:
    """The trials that an optimiser proposes, after what MLflow already has of this study."""
    from study.backend.ray_tune import StudyEnd, run_search
    from study.schedule.search import optimiser, worst

    first, points, left = _searched(plan, search, study.runs())
    print(f"search with {search.sampler}: {search.trials} points, {search.trials - max(0, left)} done before", flush=True)
    if left <= 0:
        return StudyEnd()
    share = resources.of(first.config)
    template = replace(_job(plan, first, None, where, data_root, share, study), name="", failed=worst(search))
    algorithm = optimiser(search, points, first.config.seed)
    return run_search(template, share, algorithm, left, needs, resources, where.storage, plan.experiment, note)


def _searched(plan: StudyPlan, search: Search, runs: Sequence[Any]) -> tuple[StudyTrial, list[Point], int]:
    """The trial that a search varies, the points that were tried, and how many are left."""
    from study.schedule.search import points_of

    first = next(trial for trial in plan.trials if trial.config.method == "penalty")
    points = points_of(search, runs, first.config.seed)
    return first, points, search.trials - sum(point.objectives is not None for point in points)


def _require_gpus(plan: StudyPlan, where: Launch) -> None:
    """GPUs that this machine does not have are missed before anything is made; a cluster's nodes are asked in preflight."""
    asked = max(where.resources.of(trial.config).gpus for trial in plan.trials)
    if not asked or JOINS_CLUSTER:
        return
    import torch

    if not torch.cuda.is_available():
        what = "--gpus-per-trial auto" if where.pack else f"a trial asks for {asked:g} GPUs"
        raise ConfigError(
            f"{what}: PyTorch sees no GPU on this machine; give --gpus-per-trial 0 to compute on its CPUs, look at nvidia-smi"
            " if it has one, or submit the study to a cluster"
        )


def plan_stages(plan: StudyPlan, data_root: Path) -> list[TrialPlan]:
    """Reads the labels of every data set that a trial needs, each once. Raises DataError if one cannot be used."""
    read: dict[str, TrialData] = {}
    plans = []
    for trial in plan.trials:
        key = trial.config.data.model_dump_json()
        if key not in read:
            read[key] = TrialData(trial.config, data_root, like=next(iter(read.values()), None))
            read[key].require()
        plans.append(plan_trial(trial.config, read[key]))
    return plans


def _check_weights(plan: StudyPlan) -> None:
    """Weights that are not there are found out before anything starts, each combination once."""
    from trainables.models.check import check_weights

    seen = set()
    for trial in plan.trials:
        config = trial.config
        networks = (
            config.anonymizer,
            config.action_classifier,
            config.privacy_encoder,
            config.evaluate_action.classifier,
            config.evaluate_privacy.classifier,
            config.clip,
            config.method,
            config.obfuscation,
            tuple(sorted(config.options.items())),
        )
        if networks not in seen:
            seen.add(networks)
            check_weights(config)


def _job(
    plan: StudyPlan,
    trial: StudyTrial,
    staged: TrialPlan | None,
    where: Launch,
    data_root: Path,
    share: Share,
    study: Study,
) -> TrialJob:
    return TrialJob(
        name=trial.name,
        key="" if staged is None else staged.key,
        config=trial.config.model_dump(mode="json"),
        runtime=where.runtime(data_root, share).model_dump(),
        tracking_uri=where.tracking_uri,
        experiment_id=study.experiment_id,
        gpus=share.gpus,
        stop=study.stop,
        plugins=where.plugins,
        compared=plan.compared,
        tags={
            **study.tags,
            schema.TAG_SPACE: plan.space,
            schema.TAG_PROFILE: plan.profile,
            schema.TAG_PROTOCOL: trial.protocol,
            schema.TAG_METHOD: trial.config.method,
            schema.TAG_SETTING: trial.setting,
            schema.TAG_SEED: str(trial.config.seed),
        },
    )


def _report(plan: StudyPlan, where: Launch) -> None:
    from analysis.__main__ import main as analysis

    out = where.storage / "reports" / plan.experiment
    arguments = ["report", "--space", plan.space, "--profile", plan.profile, "--tracking-uri", where.tracking_uri]
    if analysis([*arguments, "--out", str(out)]) != 0:
        print(f"the report could not be written; the records are safe in {where.tracking_uri}", file=sys.stderr)
