"""From the options of a study to its report: data and weights checked, MLflow opened, trials run, records completed."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.terminal import show_error
from search_spaces.plan import StudyPlan, StudyTrial, plan_study
from search_spaces.registry import load_spaces
from study.backend.base import Backend, Demands, StudyEnd, TrialBatch
from study.backend.job import joins_cluster, require_cluster
from study.backend.preflight import tracking_problems
from study.environment import without_passwords
from study.mlflow_versions import schema_problem, version_note
from study.options import Options
from study.schedule.choice import named
from study.schedule.costs import Costs, stored_stages
from study.schedule.order import Queue, in_order, steps_of
from study.schedule.orders import ordered_next
from study.schedule.resources import Resources, Share
from study.schedule.search import Proposals, check_objectives, points_of, with_options, worst
from study.schedule.time_left import work_of
from study.schedule.usage import Usage
from study.weights import check_all_weights
from trainables import schema
from trainables.config import ConfigError
from trainables.data.generated import DOMAINS, GeneratedSpec, ensure
from trainables.data.trial_data import TrialData
from trainables.data.verify import files_read, require_readable
from trainables.early import EarlyStopping
from trainables.plan import PlannedStage, Planner, TrialPlan, neighbours
from trainables.signals import heeding, interrupt
from trainables.store import StageStore
from trainables.trial import TrialJob

if TYPE_CHECKING:
    from study.records.tracking import StudyTracker

PlannedTrial = tuple[StudyTrial, TrialPlan]


class Study:
    """One study: its options and plan, its data and stages, its records, and the backend that runs its trials.

    Raises ConfigError if the options do not fit the space or the profile. Nothing is read or made before a method or property
    asks for it.
    """

    def __init__(self, options: Options, backend: Backend | None = None) -> None:
        """`backend` None: Ray, imported only if there is something to run."""
        self.options = options
        self.plan = plan_of(options)
        self.existing_data_root = options.existing_data_root
        self.resources = options.resources
        self.places = options.places
        self.store = StageStore(self.places.stages_at)
        self._backend = backend
        self.interrupted = False  # it was told to stop before all of its trials had ended

    def run(self) -> int:
        """Runs what is left of the study and writes its report. Returns 0 if every trial is done, 1 if one is not."""
        with heeding(interrupt):
            self.check()
            try:
                return self.close(self.run_trials(self.prepare()))
            except BaseException as error:
                if "tracker" in self.__dict__:
                    with contextlib.suppress(Exception):
                        self.tracker.abandon(error)
                raise

    @cached_property
    def data_root(self) -> Path:
        """The data root. Generated data, of the domains that the plan names, are made now if they are not there (seconds)."""
        if self.existing_data_root is not None:
            return self.existing_data_root
        wanted = {data.folder for trial in self.plan.trials for data in trial.config.data.all()}
        if unknown := wanted - set(DOMAINS):
            raise ConfigError(
                f"--profile {self.plan.profile}: data.*.folder = {unknown.pop()!r}; generated data are in"
                f" {' and '.join(DOMAINS)}"
            )
        directory, sizes = self.places.driver_directory / "generated", self.plan.generated or {}
        try:
            made = [ensure(directory, GeneratedSpec(**sizes, domain=domain)) for domain in DOMAINS if domain in wanted]
        except OSError as error:
            where = self.places.driver_directory
            raise ConfigError(f"storage {where}: cannot be written ({error}); check the place and your rights") from None
        return made[0].parent

    @cached_property
    def data(self) -> dict[str, TrialData]:
        """The data of the trials by their configuration, as JSON. Raises DataError if a data set cannot be used."""
        return read_data(self.plan, self.data_root)

    @cached_property
    def trial_plans(self) -> list[TrialPlan]:
        """The stages of every trial. Raises DataError if a data set cannot be used."""
        return plan_stages(self.plan, self.data_root, self.data)

    @cached_property
    def stages(self) -> Mapping[str, PlannedStage]:
        """The stages of all trials by their key, each once."""
        return {stage.key: stage for trial in self.trial_plans for stage in trial.stages}

    @cached_property
    def stored(self) -> set[str]:
        """The keys of the stages that were stored when the study began."""
        return stored_stages(self.store, self.stages.values())

    @cached_property
    def costs(self) -> Costs:
        """What the stages of the study took in this storage, as it was when the study began."""
        return Costs(self.store, (stage.name for stage in self.stages.values()))

    @cached_property
    def tracker(self) -> StudyTracker:
        """The study's records in MLflow, where experiment and database are made now if they are not there."""
        from study.records.opening import alone, open_study
        from study.records.tracking import StudyTracker

        places = self.places
        with alone(self.store.files, places.tracking_uri):
            identity = open_study(self.plan, places.tracking_uri, places.artifacts_at, self.options.fresh)
            return StudyTracker(places.tracking_uri, identity, self.plan.experiment, self.store.files)

    def check(self) -> None:
        """Finds out before anything starts what the study lacks: GPUs, data, weights, a storage, MLflow. Raises ConfigError
        or DataError.
        """
        self._chosen((), set())  # names that no trial has are said at once
        if self.options.fresh and self.options.retry_failed:
            raise ConfigError("--retry-failed: with --fresh there are no records in which a trial has failed; leave one out")
        require_cluster()
        if self.options.stop_early and max(self.resources.of(trial.config).gpus for trial in self.plan.trials) > 1:
            raise ConfigError("--stop-early: not where a trial has several GPUs; give --gpus-per-trial 1, or leave it out")
        self._require_gpus()
        self.trial_plans  # noqa: B018 - reads the labels
        check_all_weights(self.plan)
        data = ((self.data[trial.config.data.model_dump_json()], trial.config) for trial in self.plan.trials)
        for note in dict.fromkeys(note for sets, config in data for note in sets.enlarged(config)):
            print(f"note: {note}")
        if self.existing_data_root is not None:  # what was generated here is whole
            require_readable(files_read(self.data.values()), self.options.verify)
        self.store.require()
        uri = self.places.tracking_uri
        if problem := schema_problem(uri):
            raise ConfigError(problem)
        if problems := tracking_problems(uri) if uri.startswith("http") else ():
            raise ConfigError(problems[0])
        if note := version_note(uri):
            print(f"note: {note}")

    def prepare(self) -> list[PlannedTrial]:
        """Opens the records, sends what an earlier launch left unsent, and returns the trials that are left, in order."""
        from study.records.tracking import early_trials, failed_trials, finished_trials

        self.places.driver_directory.mkdir(parents=True, exist_ok=True)
        self.tracker.send_unsent()
        runs = self.tracker.runs()
        done, early = finished_trials(runs), early_trials(runs) if self.options.stop_early else set()
        seconds = {key: self.costs.guessed(stage) for key, stage in self.stages.items() if key not in self.stored}
        ordered = in_order(self.plan.trials, self.trial_plans, seconds)
        left = [(trial, staged) for trial, staged in ordered if staged.key not in done | early]
        before = f"{sum(staged.key in done for _, staged in ordered)} done before"
        before += f", {count} stopped early" if (count := sum(staged.key in early for _, staged in ordered)) else ""
        todo = self._chosen(left, failed_trials(runs))
        others = f", {len(left) - len(todo)} left out" if len(todo) < len(left) else ""
        print(f"{self.plan.experiment}: {len(ordered)} trials, {before}, {len(todo)} to run{others}")
        print(f"data {self.data_root}\nstorage {self.places.stages_at}\nresults {self.places.driver_directory}")
        print(f"MLflow {self.tracker.address}", flush=True)
        self.tracker.plan(
            [
                {"key": staged.key, "name": trial.name, "setting": trial.setting, "seed": trial.config.seed}
                for trial, staged in ordered
            ]
        )
        return todo

    def _chosen(self, left: Sequence[PlannedTrial], failed: set[str]) -> list[PlannedTrial]:
        """The trials of `left` that the command line asks for, those to be first before the others."""
        only, first = self.only, named(self.plan.trials, "--first", self.options.first)
        chosen = [
            (trial, staged)
            for trial, staged in left
            if (only is None or trial.name in only) and (staged.key in failed or not self.options.retry_failed)
        ]
        return sorted(chosen, key=lambda pair: pair[0].name not in first)

    @cached_property
    def only(self) -> frozenset[str] | None:
        """The names of the trials to which the command line restricts the study; None: all."""
        return named(self.plan.trials, "--only", self.options.only) if self.options.only else None

    def run_trials(self, todo: Sequence[PlannedTrial]) -> StudyEnd | None:
        """Starts the backend, runs `todo` and what a search proposes, and stops the backend; None if nothing is left to run."""
        left = self._points_left()
        if not todo and (left is None or not left.count):
            return None
        backend = self._backend or _ray_backend()
        resources = backend.start(self._demands())
        try:
            with self.tracker.sending():
                end = backend.run(self._batch(todo, resources), self._note) if todo else StudyEnd()
                if left is not None and not end.interrupted:
                    end += self._run_search(backend, resources, end.usage)
                return end
        finally:
            backend.stop()

    def close(self, end: StudyEnd | None) -> int:
        """Completes the records, writes the report and says how it ended. Returns 0 if every trial is done, 1 if not."""
        from study.records.recording import FAILED, FINISHED, KILLED

        tracker, directory = self.tracker, self.places.driver_directory
        try:
            unsent = tracker.send_patiently()
            if not unsent:
                tracker.send_usage()
                interrupted = self.interrupted = end is not None and end.interrupted
                reason = "interrupted; run the same command to continue" if interrupted else "its worker was lost for good"
                left = tracker.end_unfinished(reason)
                if end is not None:
                    used = (
                        f"{'GPU' if self.resources.gpus else 'CPU'} hours: {end.usage.busy:.2f} busy, {end.usage.idle:.2f} idle"
                    )
                    print(f"{end.counts}; {used}" + (f"; stopped: {', '.join(left)}" if left else ""))
                self._report()
                tracker.report(directory / "reports" / self.plan.experiment)
                problems = end is not None and not end.all_done
                broken = end is not None and bool(end.failed or end.lost)
                status = FINISHED if not problems else FAILED if broken and not interrupted else KILLED
                tracker.end(status, reason if interrupted else "")
                return 1 if problems else 0
            problem = f"does not answer (the records of {unsent} trials wait in {self.places.stages_at}/unsent)"
        except Exception as error:  # a server, a database, a network: each has errors of its own
            from study.records.refusal import trouble

            problem = trouble(error)
        where = without_passwords(self.places.tracking_uri)
        print(f"MLflow {where} {problem}; nothing is lost: run the same command when that is mended", file=sys.stderr)
        return 1

    def _require_gpus(self) -> None:
        """GPUs that this machine does not have are missed before anything is made; a cluster's nodes are asked later."""
        asked = max(self.resources.of(trial.config).gpus for trial in self.plan.trials)
        if not asked or joins_cluster():
            return
        import torch

        if not torch.cuda.is_available():
            what = "--gpus-per-trial auto" if self.options.pack else f"a trial asks for {asked:g} GPUs"
            raise ConfigError(
                f"{what}: PyTorch sees no GPU on this machine; give --gpus-per-trial 0 to compute on its CPUs, look at"
                " nvidia-smi if it has one, or submit the study to a cluster"
            )

    def _demands(self) -> Demands:
        options = self.options
        return Demands(
            plans=self.trial_plans,
            data_root=self.data_root,
            stages_at=self.places.stages_at,
            tracking_uri=self.places.tracking_uri,
            resources=self.resources,
            plugins=options.plugins,
            gpu_memory=options.gpu_memory,
            pack=options.pack,
            nodes_come_later=options.nodes_come_later,
        )

    def _batch(self, todo: Sequence[PlannedTrial], resources: Resources) -> TrialBatch:
        """The trials of `todo`, each with the others whose evaluators can be trained in one pass with its own."""
        from study.records.view import description_of

        shares = [resources.of(trial.config) for trial, _ in todo]
        jobs = [self._job(trial, share) for (trial, _), share in zip(todo, shares, strict=True)]
        others = [tuple(jobs[other].config for other in near) for near in neighbours([staged for _, staged in todo])]
        jobs = [
            replace(
                job, key=staged.key, name=trial.name, tags={**job.tags, schema.TAG_NOTE: description_of(trial)}, neighbours=near
            )
            for job, (trial, staged), near in zip(jobs, todo, others, strict=True)
        ]
        steps = [steps_of(staged) for _, staged in todo]
        first = ordered_next(self.store.files, jobs)
        queue = Queue(steps, self.stored, self.store.has, [str(share) for share in shares], first)
        works = [work_of(staged, self.costs, self.stored) for _, staged in todo]
        directory = self.places.driver_directory
        return TrialBatch(self.plan.experiment, jobs, shares, queue, directory, resources.max_concurrent, works, jobs[0].early)

    def _run_search(self, backend: Backend, resources: Resources, before: Usage) -> StudyEnd:
        """Runs the trials that an optimiser proposes, after what MLflow already has of this study."""
        left = self._points_left()
        assert left is not None
        search = left.search
        print(f"search with {search.sampler}: {search.trials} points, {search.trials - left.count} done before", flush=True)
        if not left.count:
            return StudyEnd()
        share = resources.of(self._varied.config)
        job = replace(self._job(self._varied, share), objectives_if_failed=worst(search, self._varied.config))
        directory = self.places.driver_directory
        varied = next(plan for trial, plan in zip(self.plan.trials, self.trial_plans, strict=True) if trial is self._varied)
        works = [work_of(varied, self.costs)]
        most, name = resources.max_concurrent, self.plan.experiment
        batch = TrialBatch(name, [job], [share], left, directory, most, works, job.early)
        return backend.run(batch, lambda usage: self._note(before + usage))

    @property
    def _varied(self) -> StudyTrial:
        """The trial that a search varies."""
        return next(trial for trial in self.plan.trials if trial.config.method == "penalty")

    def _points_left(self) -> Proposals | None:
        """The points that the search of this study has tried and those that are left; None for a grid, and where the command
        line asks for certain trials only.
        """
        if self.plan.search is None or self.only is not None or self.options.retry_failed:
            return None
        seed = self._varied.config.seed
        if_early = worst(self.plan.search, self._varied.config) if self.options.stop_early else None
        points = points_of(self.plan.search, self.tracker.runs(), self._varied.config, if_early)
        done = sum(point.objectives is not None for point in points)
        return Proposals(self.plan.search, tuple(points), max(0, self.plan.search.trials - done), seed)

    def _job(self, trial: StudyTrial, share: Share) -> TrialJob:
        """The job of a trial, but for its name and key: also the template of a search's, so that no note is about it."""
        from study.records.recording import MlflowRecorder

        recorder = MlflowRecorder(self.places.tracking_uri, self.tracker.experiment_id, self.plan.compared)
        tags = {
            **self.tracker.tags,
            schema.TAG_SPACE: self.plan.space,
            schema.TAG_PROFILE: self.plan.profile,
            schema.TAG_PROTOCOL: trial.protocol,
            schema.TAG_METHOD: trial.config.method,
            schema.TAG_SETTING: trial.setting,
            schema.TAG_SEED: str(trial.config.seed),
        }
        return TrialJob(
            name="",
            key="",
            config=trial.config,
            runtime=share.runtime(str(self.data_root), self.places.stages_at),
            recorder=recorder,
            tags=tags,
            gpus=share.gpus,
            stop=self.tracker.stop,
            plugins=self.options.plugins,
            early=EarlyStopping(f"{recorder.leases}/early") if self.options.stop_early else None,
        )

    def _note(self, usage: Usage) -> None:
        """Hands the hours used so far to the tracker."""
        prefix = schema.GPU_HOURS if self.resources.most_gpus else schema.CPU_HOURS
        self.tracker.usage = {f"{prefix}{name}": hours for name, hours in asdict(usage).items()}

    def _report(self) -> None:
        """Writes the report from the records, and prints it in short."""
        from analysis.report import report_study

        uri, out = self.places.tracking_uri, self.places.driver_directory / "reports" / self.plan.experiment
        try:
            print(f"report: {report_study(self.plan.space, self.plan.profile, uri, out)}")
        except Exception as error:  # the study itself is done, and its report can be written again
            show_error(f"{error}\nthe report could not be written; the records are safe in {without_passwords(uri)}")


def plan_of(options: Options) -> StudyPlan:
    """The trials of the space that the options name. Raises ConfigError if they do not fit it."""
    if options.space is None:
        raise ConfigError("--space: give the name of a space; --list shows them")
    plan = plan_study(options.space, options.profile, options.seeds, options.overrides)
    if plan.search is not None:
        check_objectives(plan.search, (trial.config for trial in plan.trials))
    if options.stop_early and (table := load_spaces()[plan.space].table) is not None:
        raise ConfigError(f"--stop-early: {plan.space} makes Table {table} of the paper, whose cells all count; leave it out")
    if options.sampler is None and options.search_trials is None and not options.axes:
        return plan
    if plan.search is None:
        raise ConfigError(f"--sampler, --trials and --axes are for searches; {plan.space} is a grid")
    return replace(plan, search=with_options(plan.search, options.sampler, options.search_trials, options.axes))


def plan_stages(plan: StudyPlan, data_root: Path, data: Mapping[str, TrialData] | None = None) -> list[TrialPlan]:
    """The stages of every trial; `data` is what `read_data` returns. Raises DataError if a data set cannot be used."""
    data = read_data(plan, data_root) if data is None else data
    planner = Planner()
    gc.disable()  # nothing here is garbage, and it looks through millions of objects for some, again and again
    try:
        return [planner.plan(trial.config, data[trial.config.data.model_dump_json()]) for trial in plan.trials]
    finally:
        gc.enable()


def read_data(plan: StudyPlan, data_root: Path) -> dict[str, TrialData]:
    """Reads the labels of each data set once; returns the data of the trials by their configuration, as JSON.

    Raises DataError if a data set cannot be used.
    """
    read: dict[str, TrialData] = {}
    for trial in plan.trials:
        key = trial.config.data.model_dump_json()
        if key not in read:
            read[key] = TrialData(trial.config, data_root, like=next(iter(read.values()), None))
            read[key].require()
    return read


def _ray_backend() -> Backend:
    from study.backend.ray_tune import RayBackend

    return RayBackend()
