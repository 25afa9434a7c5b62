"""From a plan to a study that has run: data and weights checked, MLflow opened, Ray started, the report written."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from search_spaces.registry import Search
from study.job import results_directory
from study.plan import StudyPlan, StudyTrial
from trainables import schema
from trainables.config import ConfigError, Runtime
from trainables.data.generated import DOMAINS, GeneratedSpec, ensure
from trainables.plan import TrialData, TrialPlan, plan_trial
from trainables.plugins import Plugin
from trainables.store import StageStore
from trainables.trial import TrialJob

if TYPE_CHECKING:
    from study.tuner import Resources, StudyEnd


@dataclass(frozen=True)
class Launch:
    """Where a study runs. All paths are absolute: a Ray worker has a working directory of its own.

    `stages` is where all workers keep the stages: a directory, or a URI of an object store. `storage` is a directory in any
    case, for what the driver writes: the same one, or `results` in the working directory.
    """

    data_root: Path | None  # None: generated data, made in the storage when they are needed
    storage: Path
    stages: str
    tracking_uri: str
    cpus: float
    gpus: float
    max_concurrent: int | None
    plugins: tuple[Plugin, ...] = ()

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
        if cpus <= 0 or gpus < 0 or (gpus > 1 and gpus != int(gpus)):
            raise ConfigError(
                f"{cpus:g} CPUs and {gpus:g} GPUs a trial: give some CPU, and a fraction or a whole number of GPUs"
            )
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
        )

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

    def runtime(self, data_root: Path) -> Runtime:
        """CPUs decode where a GPU computes; without one they compute."""
        whole = max(1, int(self.cpus))
        return Runtime(
            data_root=str(data_root),
            storage=self.stages,
            device="cuda" if self.gpus else "cpu",
            workers=max(0, whole - 1) if self.gpus else 0,
            threads=whole,
        )


def launch(plan: StudyPlan, where: Launch) -> int:
    """Runs the study and writes its report. Returns 0 if every trial is done, 1 if one is not."""
    data_root = where.data(plan)
    plans = plan_stages(plan, data_root)
    _check_weights(plan)
    StageStore(where.stages).require()
    from study.tracking import end_unfinished, finished_trials, open_study

    where.storage.mkdir(parents=True, exist_ok=True)
    experiment_id = open_study(plan, where.tracking_uri, where.storage / "mlflow-artifacts")
    already = finished_trials(where.tracking_uri, experiment_id)
    ordered = in_order(plan.trials, plans)
    todo = [pair for pair in ordered if pair[1].key not in already]
    print(f"{plan.experiment}: {len(ordered)} trials, {len(ordered) - len(todo)} done before, {len(todo)} to run")
    print(f"data {data_root}\nstorage {where.stages}\nresults {where.storage}\nMLflow {where.tracking_uri}", flush=True)
    problems = False
    if todo or plan.search is not None:
        from study.tuner import Resources, StudyEnd, run_trials, start_ray, stop_ray

        resources = Resources(where.cpus, where.gpus, where.max_concurrent)
        start_ray(resources)
        try:
            jobs = [_job(plan, trial, staged, where, data_root, experiment_id) for trial, staged in todo]
            end = run_trials(jobs, resources, where.storage, plan.experiment) if jobs else StudyEnd()
            if plan.search is not None and not end.interrupted:
                end += _search(plan, plan.search, where, resources, data_root, experiment_id)
        finally:
            stop_ray()
        reason = "interrupted; run the same command to continue" if end.interrupted else "its worker was lost too often"
        left = end_unfinished(where.tracking_uri, experiment_id, reason)
        problems = bool(end.failed or end.lost or end.interrupted)
        print(f"{end.done} done, {end.failed} failed, {end.lost} lost" + (f"; stopped: {', '.join(left)}" if left else ""))
    _report(plan, where)
    return 1 if problems else 0


def _search(
    plan: StudyPlan, search: Search, where: Launch, resources: Resources, data_root: Path, experiment_id: str
) -> StudyEnd:
    """The trials that an optimiser proposes, after what MLflow already has of this study."""
    from study.search import optimiser, points_of, worst
    from study.tracking import all_runs
    from study.tuner import StudyEnd, run_search

    first = next(trial for trial in plan.trials if trial.config.method == "penalty")
    points = points_of(search, all_runs(where.tracking_uri, experiment_id), first.config.seed)
    left = search.trials - sum(point.objectives is not None for point in points)
    print(f"search with {search.sampler}: {search.trials} points, {search.trials - max(0, left)} done before", flush=True)
    if left <= 0:
        return StudyEnd()
    template = replace(_job(plan, first, None, where, data_root, experiment_id), name="", failed=worst(search))
    return run_search(template, optimiser(search, points, first.config.seed), left, resources, where.storage, plan.experiment)


def in_order(trials: Sequence[StudyTrial], plans: Sequence[TrialPlan]) -> list[tuple[StudyTrial, TrialPlan]]:
    """First one trial for each anonymizer, and those of different seeds in turn: trials side by side that need the same
    stage would wait for each other.

    Of trials that are the same one (equal keys) the first stays; the others are said.
    """
    names: dict[str, str] = {}
    before: Counter[str] = Counter()
    ranked: list[tuple[int, int, StudyTrial, TrialPlan]] = []
    for trial, staged in zip(trials, plans, strict=True):
        if staged.key in names:
            print(f"{trial.name}: the same trial as {names[staged.key]}")
            continue
        names[staged.key] = trial.name
        anonymizer, start = staged.anonymizer_key, f"start {staged.stages[0].key}"
        ranked.append((before[anonymizer], before[start], trial, staged))
        before.update((anonymizer, start))
    return [(trial, staged) for _, _, trial, staged in sorted(ranked, key=lambda rank: rank[:2])]


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
    from trainables.models.weights import check_weights

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
    plan: StudyPlan, trial: StudyTrial, staged: TrialPlan | None, where: Launch, data_root: Path, experiment_id: str
) -> TrialJob:
    return TrialJob(
        name=trial.name,
        key="" if staged is None else staged.key,
        config=trial.config.model_dump(mode="json"),
        runtime=where.runtime(data_root).model_dump(),
        tracking_uri=where.tracking_uri,
        experiment_id=experiment_id,
        plugins=where.plugins,
        tags={
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
