"""The runs of one MLflow experiment as they are stored: tables of text and numbers, read in bulk."""

from __future__ import annotations

import json
import math
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import Engine, create_engine, select

from analysis.read.store import PAGE, AnalysisError, is_database
from trainables.schema import (
    ARTIFACT_PLAN,
    CPU_HOURS,
    GPU_HOURS,
    TAG_FIGURES,
    figures_of,
    is_read,
    name_of,
)

PIPELINE_SECONDS = "pipeline_seconds"  # all stages of a trial, also reused ones; older runs lack it

_PLANNED = ("key", "name", "setting", "seed")


@dataclass(frozen=True)
class Runs:
    """Tables by run id: `info` (name, status, start_time in ms), `tags`, `params` and the final `metrics`.

    Metrics have the names they were recorded by, and `curve_names` are keys of MLflow: see `trainables.schema.key_of`.
    """

    info: pd.DataFrame
    tags: pd.DataFrame
    params: pd.DataFrame
    metrics: pd.DataFrame
    curve_names: tuple[str, ...]

    def without(self, run_ids: pd.Index) -> Runs:
        info, tags, params, metrics = (
            frame.drop(index=frame.index.intersection(run_ids)) for frame in (self.info, self.tags, self.params, self.metrics)
        )
        return Runs(info, tags, params, metrics, self.curve_names)


def read_runs(client: MlflowClient, experiment_id: str) -> Runs:
    """All active runs of an experiment.

    A database is queried table by table: MLflow's search makes an object of every value and takes 40 s for 10,000 trials
    where the queries take 5.
    """
    if not is_database(client.tracking_uri):
        return _searched_runs(client, experiment_id)
    engine = create_engine(client.tracking_uri)
    try:
        return _queried_runs(engine, experiment_id)
    finally:
        engine.dispose()


def _searched_runs(client: MlflowClient, experiment_id: str) -> Runs:
    info: dict[str, dict[str, Any]] = {}
    tags: dict[str, dict[str, str]] = {}
    params: dict[str, dict[str, str]] = {}
    metrics: dict[str, dict[str, float]] = {}
    token: str | None = None
    while token is None or token:
        page = client.search_runs([experiment_id], max_results=PAGE, page_token=token)
        for run in page:
            run_id = run.info.run_id
            info[run_id] = {"name": run.info.run_name, "status": run.info.status, "start_time": run.info.start_time}
            tags[run_id], params[run_id], metrics[run_id] = run.data.tags, run.data.params, run.data.metrics
        token = page.token or ""
    names = {name for values in metrics.values() for name in values}
    finals = {run_id: {name_of(k): v for k, v in values.items() if is_read(k)} for run_id, values in metrics.items()}

    def table(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame.from_dict(dict(rows), orient="index")

    return _with_figures(Runs(table(info), table(tags), table(params), table(finals), _curves_among(names)))


def _queried_runs(engine: Engine, experiment_id: str) -> Runs:
    chosen: Any = (SqlRun.experiment_id == int(experiment_id)) & (SqlRun.lifecycle_stage == "active")
    with engine.connect() as connection:
        rows: Any = connection.execute(select(SqlRun.run_uuid, SqlRun.name, SqlRun.status, SqlRun.start_time).where(chosen))
        info = pd.DataFrame(rows.fetchall(), columns=["run_id", "name", "status", "start_time"]).set_index("run_id")
        place = {run_id: i for i, run_id in enumerate(info.index)}

        def wide(model: Any, *where: Any) -> pd.DataFrame:
            columns: dict[str, list[Any]] = defaultdict(lambda: [None] * len(place))
            query = select(model.run_uuid, model.key, model.value).join(SqlRun, SqlRun.run_uuid == model.run_uuid)
            for run_id, key, value in connection.execution_options(stream_results=True).execute(query.where(chosen, *where)):
                if run_id in place:  # not a run that was created since the first query
                    columns[key][place[run_id]] = value
            return pd.DataFrame(columns, index=info.index, dtype=object)  # pandas would make slow Arrow strings

        names: Any = connection.execute(
            select(SqlLatestMetric.key).join(SqlRun, SqlRun.run_uuid == SqlLatestMetric.run_uuid).where(chosen).distinct()
        )
        known = {name for (name,) in names}
        finals = [name for name in known if is_read(name)]
        metrics = wide(SqlLatestMetric, SqlLatestMetric.key.in_(finals), SqlLatestMetric.is_nan.is_(False))
        metrics = metrics.rename(columns=name_of)
        return _with_figures(Runs(info, wide(SqlTag), wide(SqlParam), metrics, _curves_among(known)))


def _with_figures(runs: Runs) -> Runs:
    """The runs with the figures that lie in their tags among the metrics. Raises AnalysisError for a tag that is no JSON."""
    held = [str(name) for name in runs.tags if str(name).startswith(TAG_FIGURES)]
    columns: dict[str, list[float]] = defaultdict(lambda: [math.nan] * len(runs.tags))
    for place, (run_id, *tags) in enumerate(runs.tags[held].itertuples(name=None)):
        try:
            found = figures_of({}, {name: text for name, text in zip(held, tags, strict=True) if isinstance(text, str)})
        except ValueError:
            raise AnalysisError(
                f"run {run_id}: a tag {TAG_FIGURES}* is no JSON; delete the run and run its study again"
            ) from None
        for key, value in found.items():
            columns[key][place] = value
    figures = pd.DataFrame({name_of(key): values for key, values in columns.items() if is_read(key)}, index=runs.tags.index)
    metrics = figures.combine_first(runs.metrics).copy()  # in one piece: combined column by column, it is slow and warned of
    return Runs(runs.info, runs.tags.drop(columns=held), runs.params, metrics, runs.curve_names)


def _curves_among(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if "/" in name))


def last_plan(client: MlflowClient, parents: pd.DataFrame) -> pd.DataFrame | None:
    """The trials planned by the newest of the study's own runs that has a readable plan; None where none has."""
    for run_id in parents.sort_values("start_time", ascending=False).index:
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = Path(client.download_artifacts(str(run_id), ARTIFACT_PLAN, folder))
                return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["trials"], columns=list(_PLANNED))
            except (MlflowException, OSError, ValueError, KeyError, TypeError):
                continue
    return None


def parent_hours(client: MlflowClient, parents: pd.Index) -> dict[str, float]:
    """GPU and core hours by metric, summed over the study's own runs: each counts the launches that continued it."""
    found: dict[str, float] = {}
    for run_id in parents:
        for name, value in client.get_run(str(run_id)).data.metrics.items():
            if name.startswith((GPU_HOURS, CPU_HOURS)):
                found[name] = found.get(name, 0.0) + value
    return found
