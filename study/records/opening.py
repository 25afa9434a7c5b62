"""How a study finds its experiment in MLflow, or makes it: once, whoever else does, and with artifacts that all workers see."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Experiment, Run, ViewType
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from search_spaces.plan import StudyPlan
from study.backend.job import joins_cluster
from study.environment import without_passwords
from study.records.calls import CREATE_SECONDS, within
from study.records.refusal import trouble
from study.records.view import share_view
from trainables import schema
from trainables.config import ConfigError
from trainables.one_line import reason
from trainables.store.artifacts import digest
from trainables.store.files import Files
from trainables.store.leases import HEARTBEAT_SECONDS, Leases

if TYPE_CHECKING:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore


@contextlib.contextmanager
def alone(files: Files, tracking_uri: str) -> Iterator[None]:
    """Of the launches with this storage and this MLflow, one at a time is inside: two at a new database would both make it."""
    leases, key = Leases(files), f"opening-{digest(tracking_uri)}"
    while (lease := leases.take("launches", key)) is None:
        time.sleep(HEARTBEAT_SECONDS / 4)
    with lease:
        yield


def open_study(plan: StudyPlan, tracking_uri: str, artifacts: str, fresh: bool = False) -> str:
    """Returns the id of the study's experiment; makes it, and the database of a SQLite URI, if they are not there.

    `artifacts` is the URI where experiments of a database keep their artifacts, each in a folder of its name. If `fresh`, an
    experiment that is there gives its name to a new one, and keeps its records under a name with the time. Raises ConfigError
    if the server or the database cannot be used, or artifacts would not be seen by all workers.
    """
    try:
        client = MlflowClient(tracking_uri)
        experiment = client.get_experiment_by_name(plan.experiment)
        if experiment is not None and experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        if experiment is not None and fresh:
            past = f"{plan.space} until {time.strftime('%Y-%m-%d %H:%M:%S')}"
            client.rename_experiment(experiment.experiment_id, schema.experiment_name(past, plan.profile))
            client.set_experiment_tag(experiment.experiment_id, schema.TAG_SPACE, past)
            experiment = None
        # a server keeps artifacts where it was told to; a database alone would put them into the working directory
        is_server = tracking_uri.startswith("http")
        experiment = experiment or _created(client, plan, None if is_server else f"{artifacts}/{plan.experiment}")
        if not is_server:
            _settle_artifacts(client, tracking_uri, artifacts, experiment)
        share_view(client, experiment.experiment_id, plan)
        return str(experiment.experiment_id)
    except ConfigError:
        raise
    except Exception as error:  # a server, a database, a driver: each has errors of its own
        where = without_passwords(tracking_uri)
        raise ConfigError(f"--tracking-uri {where}: MLflow {trouble(error)}; mend that, or give another") from None


def only_run(client: MlflowClient, experiment_id: str, which: str, create: Callable[[], Run]) -> tuple[Run, bool]:
    """The run that the filter `which` finds, made with `create` if there is none; and whether it was made now.

    A run whose creation seemed to fail may have been made all the same, after another one: of several the first counts, and
    those without a figure are deleted. Only one process at a time may call this with the same filter.
    """

    def found() -> list[Run]:
        return list(client.search_runs([experiment_id], which, max_results=100, order_by=["attributes.start_time ASC"]))

    runs = found()
    if not runs:
        with within(CREATE_SECONDS, retries=0):
            return create(), True
    runs.sort(key=lambda run: not run.data.metrics)  # stable: by their start
    for ghost in runs[1:]:
        if not ghost.data.metrics:
            client.delete_run(ghost.info.run_id)
    return runs[0], False


def _created(client: MlflowClient, plan: StudyPlan, location: str | None) -> Experiment:
    tags = {schema.TAG_SPACE: plan.space, schema.TAG_PROFILE: plan.profile}
    try:
        with within(CREATE_SECONDS, retries=0):
            return client.get_experiment(client.create_experiment(plan.experiment, artifact_location=location, tags=tags))
    except MlflowException:  # another launch, with another storage, was first; or only the answer was lost
        if (experiment := client.get_experiment_by_name(plan.experiment)) is not None:
            return experiment
        raise


def _settle_artifacts(client: MlflowClient, tracking_uri: str, artifacts: str, experiment: Experiment) -> None:
    """Sees to it that the artifacts of `experiment`, in a database, are where they are looked for, and can be kept there.

    A database has absolute places in it: where the storage was moved with them, they are changed for all of its studies.
    """
    own = _local(artifacts)
    is_ours = own is not None and tracking_uri == f"sqlite:///{own.parent / 'mlflow.db'}"
    for one in client.search_experiments(view_type=ViewType.ALL):
        was = _local(one.artifact_location)
        if schema.TAG_SPACE not in one.tags or own is None or was is None or was.parent == own:
            continue
        now = own / was.name
        if now.exists() and (is_ours or not was.exists()):
            _move_records(client, one, f"{artifacts}/{was.name}")
            print(f"{one.name}: its artifacts were moved from {was} to {now}; the records say so now", flush=True)
    location = client.get_experiment(experiment.experiment_id).artifact_location
    place = _local(location)
    if place is not None and place.parent != own and (joins_cluster() or not place.exists()):
        problem = "which workers on other machines may not see" if place.exists() else "which is not there"
        raise ConfigError(
            f"--tracking-uri {without_passwords(tracking_uri)}: {experiment.name} has its artifacts in {place}, {problem};"
            f" move them to {own / experiment.name if own else artifacts}, mount them again, or start over with --fresh"
        )
    try:
        get_artifact_repository(location).list_artifacts()
    except Exception as error:  # each kind of storage has errors of its own
        raise ConfigError(
            f"MLflow's artifacts {location}: cannot be used ({reason(error, kind=True)}); check package and rights"
        ) from None


def _local(location: str) -> Path | None:
    """The path of a place on a file system; None for an object store."""
    return None if "://" in location and not location.startswith("file:") else Path(local_file_uri_to_path(location)).absolute()


def _move_records(client: MlflowClient, experiment: Experiment, location: str) -> None:
    """Changes the places of the artifacts of an experiment and its runs, which MLflow itself never does."""
    from mlflow.store.tracking.dbmodels.models import SqlExperiment, SqlRun

    store: SqlAlchemyStore = client._tracking_client.store
    identity, was = int(experiment.experiment_id), experiment.artifact_location
    with store.ManagedSessionMaker(read_only=False) as session:
        session.query(SqlExperiment).filter(SqlExperiment.experiment_id == identity).update({"artifact_location": location})
        for run in session.query(SqlRun).filter(SqlRun.experiment_id == identity):
            run.artifact_uri = location + run.artifact_uri.removeprefix(was)
