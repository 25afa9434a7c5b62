"""What the user asks for: the command line and the environment, as one validated model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from search_spaces.plan import EVALUATE_AT, parse_seeds, parse_side
from search_spaces.profiles import PROFILES, Profile
from study.backend.job import results_directory
from study.command_line import AUTO, PROGRAM, command_line
from study.environment import Environment
from study.schedule.costs import Prices
from study.schedule.gpus import Expected
from study.schedule.resources import ResourceOverride, Resources, can_be_given
from trainables.config import ConfigError, parse_setting
from trainables.data.verify import Depth
from trainables.plugins import Plugin, load_plugins, read_plugins
from trainables.store import StageStore


@dataclass(frozen=True)
class Places:
    """Where a study writes. Every path is absolute: a worker has a working directory of its own.

    `stages_at` is the directory or URI where all workers keep the stages. `driver_directory` is where the driver writes its
    own files: `stages_at` if that is a directory, otherwise `results` in the working directory. `artifacts_at` is the URI
    where a database of MLflow, other than a server, has its artifacts: in the storage, which all workers see.
    """

    stages_at: str
    driver_directory: Path
    tracking_uri: str
    artifacts_at: str


class Options(BaseModel):
    """The options of a study. `cluster_data_root` is the environment's, which generated data do without.

    `overrides` are dotted keys of TrialConfig with the values that `--set`, `--attacks` and `--at-size` give them;
    `search_trials` is how many points a search tries. `only`, `first`, `skip` and `next` name settings or trials, see
    `study.schedule.choice`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    show_list: bool = False
    show_status: bool = False
    dry_run: bool = False
    skip: tuple[str, ...] = ()
    next: tuple[str, ...] = ()
    fresh: bool = False
    only: tuple[str, ...] = ()
    first: tuple[str, ...] = ()
    retry_failed: bool = False
    stop_early: bool = False
    space: str | None = None
    profile: str = "paper"
    data_root: str | None = None
    cluster_data_root: str | None = None
    storage: str
    tracking_uri: str | None = None
    seeds: tuple[int, ...] = (0,)
    overrides: Mapping[str, Any] = {}
    plugins: tuple[Plugin, ...] = ()
    prices: Prices = Prices({})
    sampler: str | None = None
    search_trials: int | None = None
    axes: tuple[str, ...] = ()
    cpus_per_trial: float | None = None
    gpus_per_trial: float | Literal["auto"] | None = None
    gpus_for: tuple[ResourceOverride, ...] = ()
    gpu_memory: float | None = None
    nodes_come_later: bool = False
    verify: Depth = "headers"
    max_concurrent: int | None = None

    @field_validator("gpu_memory")
    @classmethod
    def _some_memory(cls, value: float | None) -> float | None:
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"--gpu-memory {value:g}: give the GiB that a trial needs")
        return value

    @field_validator("max_concurrent")
    @classmethod
    def _at_least_one(cls, value: int | None) -> int | None:
        if value is not None and value < 1:
            raise ConfigError(f"--max-concurrent {value}: give at least 1")
        return value

    @property
    def recipe(self) -> Profile:
        """The profile by its name. Raises ConfigError if there is none."""
        return PROFILES[self.profile]

    @property
    def pack(self) -> bool:
        """Whether trials share a GPU by what is measured at the start."""
        return self.gpus_per_trial == AUTO

    @cached_property
    def resources(self) -> Resources:
        """The resources of a trial, not yet matched to the nodes. Raises ConfigError for amounts that cannot be given."""
        asked, profile = self.gpus_per_trial, self.recipe
        gpus = 1.0 if asked == AUTO else profile.gpus if asked is None else asked
        cpus = profile.cpus if self.cpus_per_trial is None else self.cpus_per_trial
        if not 0 < cpus < math.inf or not can_be_given(gpus):
            raise ConfigError(
                f"{cpus:g} CPUs and {gpus:g} GPUs a trial: give some CPU, and a fraction or a whole number of GPUs"
            )
        matched = self.cpus_per_trial is None and gpus > 0
        return Resources(None if matched else cpus, gpus, self.max_concurrent, self.gpus_for, cpus)

    @cached_property
    def places(self) -> Places:
        """Raises ConfigError for a storage that no worker can reach, or where MLflow's database cannot be."""
        storage = self.storage if "://" in self.storage else str(results_directory() / self.storage)
        directory = StageStore(storage).directory
        if storage.startswith("memory:"):
            raise ConfigError(f"--storage {storage}: each worker has a memory of its own; give a directory or s3://bucket/path")
        if directory is None and self.tracking_uri is None:
            raise ConfigError(f"--storage {storage}: SQLite cannot live there; give --tracking-uri, a server or a database")
        driver = directory or results_directory() / "results"
        stages_at = storage if directory is None else str(directory)
        artifacts_at = f"{storage}/mlflow-artifacts" if directory is None else (directory / "mlflow-artifacts").as_uri()
        if self.tracking_uri is not None:
            return Places(stages_at, driver, absolute_database(self.tracking_uri), artifacts_at)
        if found := set("?#%") & set(str(driver)):
            raise ConfigError(f"--storage {driver}: a path with {found.pop()} in it is no place for SQLite; rename it")
        return Places(stages_at, driver, f"sqlite:///{driver}/mlflow.db", artifacts_at)

    @property
    def existing_data_root(self) -> Path | None:
        """None where the profile makes its own data. Raises ConfigError for a data root that is missing or too much."""
        if self.recipe.generated:
            if self.data_root is not None:
                raise ConfigError(
                    f"--profile {self.profile} makes its own data; leave out --data-root {self.data_root}, or --profile small"
                )
            return None
        root = self.data_root or self.cluster_data_root
        if root is None:
            raise ConfigError(
                f"--profile {self.profile} needs data: give --data-root DIR, or --profile generated to try without"
            )
        if not Path(root).is_dir():
            raise ConfigError(f"--data-root {root}: no such directory")
        return Path(root).absolute()


def absolute_database(tracking_uri: str) -> str:
    """The URI with an absolute path, if it is a SQLite database's: each worker has a working directory of its own."""
    scheme, separator, path = tracking_uri.partition(":///")
    if not scheme.startswith("sqlite") or not separator or path.startswith("/"):
        return tracking_uri
    return f"{scheme}:///{results_directory() / path}"


def read_options(arguments: Sequence[str] | None = None, prog: str = PROGRAM) -> Options:
    """Reads the command line (None: the one of this process) and the environment, and runs the plug-ins that are named.

    Raises ConfigError with one line that says what is wrong. `prog` is what `--help` calls the command.
    """
    given = command_line(prog).parse_args(arguments)
    environment = Environment()
    plugins = read_plugins(given.plugin)
    load_plugins(plugins)
    overrides = dict(parse_setting(text) for text in given.set)
    if given.attacks is not None:
        overrides["attacks.names"] = given.attacks
    if given.at_size is not None:
        overrides[EVALUATE_AT] = parse_side(given.at_size)
    try:
        return Options(
            show_list=given.list,
            show_status=given.status,
            dry_run=given.dry_run,
            skip=tuple(given.skip),
            next=tuple(given.next),
            fresh=given.fresh,
            only=tuple(given.only),
            first=tuple(given.first),
            retry_failed=given.retry_failed,
            stop_early=given.stop_early,
            space=given.space,
            profile=given.profile,
            data_root=given.data_root,
            cluster_data_root=environment.data_root,
            storage=given.storage or environment.storage or "results",
            tracking_uri=given.tracking_uri or environment.tracking_uri,
            seeds=parse_seeds(given.seeds),
            overrides=overrides,
            plugins=plugins,
            prices=Prices.of(given.seconds_per_step, given.price_per_gpu_hour, Expected.of(given.gpu, given.share_of_peak)),
            sampler=given.sampler,
            search_trials=given.trials,
            axes=tuple(filter(None, given.axes.split(","))),
            cpus_per_trial=given.cpus_per_trial,
            gpus_per_trial=given.gpus_per_trial,
            gpus_for=tuple(ResourceOverride.of(text) for text in given.gpus_for),
            gpu_memory=given.gpu_memory,
            verify=given.verify,
            nodes_come_later=given.nodes_come_later or bool(environment.nodes_come_later),
            max_concurrent=given.max_concurrent,
        )
    except ValidationError as error:
        raise ConfigError(str(error.errors()[0]["msg"]).removeprefix("Value error, ")) from None
