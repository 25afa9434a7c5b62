"""What the analysis knows of a study: the runs of one MLflow experiment, read once, as typed tables.

The names are those of `trainables.schema`; nothing here needs torch or ray.
"""

from __future__ import annotations

import ast
import json
import math
import os
import re
import sqlite3
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.db.db_types import DATABASE_ENGINES
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import Engine, create_engine, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from trainables.schema import (
    AP,
    AP_CHANCE,
    ARTIFACT_PLAN,
    ARTIFACT_RECORD,
    ATTACK,
    ATTACK_HIGH,
    ATTACK_LOW,
    ATTACK_NULL,
    ATTACK_RAW,
    ATTACK_VALID,
    CLIP,
    CPU_HOURS,
    FINAL_METRICS,
    GPU_HOURS,
    STUDY_RUN,
    TAG_CONFIG,
    TAG_KIND,
    TAG_METHOD,
    TAG_PROFILE,
    TAG_PROTOCOL,
    TAG_REASON,
    TAG_SEED,
    TAG_SETTING,
    TAG_SPACE,
    TAG_STAGES_REUSED,
    TAG_TRIAL_KEY,
    config_of_tag,
    experiment_name,
)

# A finished trial without these cannot be placed on the privacy-utility front.
FRONT_METRICS = ("top1", "leakage")
RAW = "raw"  # the method tag of the trial that leaves the data as they are
PARAM = "params."  # prefix of the columns that hold a trial's configuration
PIPELINE_SECONDS = "pipeline_seconds"  # all stages of a trial, also those it found done; older runs lack it

_INFINITE = 1e300  # MLflow stores inf as 1.8e308
_PAGE = 1000  # runs fetched by one call
_PREFIXES = (
    *(clip + name for clip in ("", CLIP) for name in (AP, AP_CHANCE)),
    *(ATTACK, ATTACK_LOW, ATTACK_HIGH, ATTACK_RAW, ATTACK_NULL, ATTACK_VALID),
)
_FINAL = tuple(dict.fromkeys((*FINAL_METRICS, PIPELINE_SECONDS)))
_UNFINISHED_COLUMNS = ("state", "reason", "name", "method", "setting", "label", "seed", "trial_key", "run_id", "started")
_PLANNED = ("key", "name", "setting", "seed")
_NO_REASON = {
    "failed": "no reason recorded",
    "killed": "stopped from outside; no reason recorded",
    "running": "running now, or its process ended without saying so",
    "scheduled": "not started",
}


class AnalysisError(Exception):
    """A study that cannot be read or shown; the message is one line that says what, where and what to do."""


@dataclass(frozen=True)
class Study:
    """One study as MLflow holds it.

    `trials`: a row per FINISHED run, indexed by run id. Metrics are float64 columns under the names of the schema
    (fractions; NaN where absent or infinite; `worst_leakage` NaN where `controls_valid` is 0: such figures of attacks do not
    count), `ap.<attribute>` and its kin likewise, the configuration lies in typed
    columns `params.<dotted key>`. `setting` is equal for repetitions; `label` is its readable name, `protocol_tag` the
    protocol it was measured under ("" in runs of before there were several).

    `unfinished`: a row per run that carries no usable result, with `state` and `reason`: failed, killed, running, scheduled;
    incomplete = finished without its front metrics; superseded = an older run of the same setting and seed; outdated = the
    study plans that setting and seed under another key since, because code, data or recipe changed; missing = planned and
    never started (no run id). Incomplete runs are in both tables, all others in this table only.

    `hours`: what the study's own run says of its GPUs or cores, by metric (GPU_HOURS and CPU_HOURS of the schema).
    """

    name: str
    space: str
    profile: str
    trials: pd.DataFrame
    unfinished: pd.DataFrame
    curve_names: tuple[str, ...]
    tracking_uri: str
    experiment_id: str = ""
    hours: Mapping[str, float] = field(default_factory=dict)

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that carry both metrics of the front."""
        return self.trials.dropna(subset=list(FRONT_METRICS))


def read_study(space: str, profile: str | None = None, tracking_uri: str | None = None) -> Study:
    """Reads every run of a study and its last plan; curves and other artifacts are read only when asked for.

    `profile` None stands for the only one there is. `tracking_uri` None stands for MLFLOW_TRACKING_URI.
    Raises AnalysisError when the store cannot be opened, the study is not there, or the profile is ambiguous.
    """
    uri = _store(tracking_uri)
    with _reading(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment = _find_experiment(_experiments(client), space, profile, shown_uri(uri))
        runs = _runs(client, experiment.experiment_id)
        parents = runs.tags.index[runs.tags[TAG_KIND] == STUDY_RUN] if TAG_KIND in runs.tags else runs.info.index[:0]
        plan = _last_plan(client, runs.info.loc[parents])
        hours = _hours(client, parents)
    trials, unfinished = _tables(runs.without(parents), plan)
    return Study(
        name=experiment.name,
        space=space,
        profile=_profile_of(experiment, space),
        trials=trials,
        unfinished=unfinished,
        curve_names=runs.curve_names,
        tracking_uri=uri,
        experiment_id=experiment.experiment_id,
        hours=hours,
    )


def list_studies(tracking_uri: str | None = None) -> dict[str, list[str]]:
    """Space -> the profiles it was run with, of every study in the store. Raises AnalysisError as `read_study` does."""
    uri = _store(tracking_uri)
    with _reading(uri):
        experiments = _experiments(MlflowClient(tracking_uri=uri))
    found: dict[str, list[str]] = {}
    for experiment in experiments:
        space = experiment.tags.get(TAG_SPACE) or experiment.name.rpartition(".")[0]
        if space:
            found.setdefault(space, []).append(_profile_of(experiment, space))
    return {space: sorted(profiles) for space, profiles in sorted(found.items())}


@contextmanager
def open_store(tracking_uri: str | None = None) -> Iterator[MlflowClient]:
    """A client of the store. Raises AnalysisError as `read_study` does, also for what fails while it is used."""
    uri = _store(tracking_uri)
    with _reading(uri):
        # the registry named too, or MLflow takes the one of the process, and makes one where it finds none
        yield MlflowClient(tracking_uri=uri, registry_uri=uri)


@dataclass(frozen=True)
class StageSeconds:
    """What the trials of a study computed, against what all their stages would have cost without sharing.

    Only the `known` of `runs` trials count, those with both figures.
    """

    computed: float = 0.0
    whole: float = 0.0
    known: int = 0
    runs: int = 0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("computed", "whole", "known", "runs"))
        return StageSeconds(*(mine + theirs for mine, theirs in pairs))

    def text(self) -> str:
        if not self.known:
            return "stage-seconds: not recorded" if self.runs else "stage-seconds: none, nothing was run"
        share = f" ({100 * self.computed / self.whole:.0f} %)" if self.whole else ""
        lacking = f"; not recorded for {self.runs - self.known} of {self.runs} runs" if self.known < self.runs else ""
        return (
            f"stage-seconds: computed {self.computed:,.0f} of {self.whole:,.0f}{share} that one full pipeline per cell"
            f" would take{lacking}"
        )


def stage_seconds(study: Study) -> StageSeconds:
    """Sums over the finished trials; a run from before the metric existed is asked for its record, one download each."""
    total = StageSeconds(runs=len(study.trials))
    for run_id, trial in study.trials.iterrows():
        whole = trial[PIPELINE_SECONDS]
        if pd.isna(whole):
            whole = _recorded_seconds(study, str(run_id))
        if not (pd.isna(whole) or pd.isna(trial["seconds"])):
            total += StageSeconds(float(trial["seconds"]), float(whole), known=1)
    return total


def _recorded_seconds(study: Study, run_id: str) -> float:
    for record in read_records(study, [run_id]):
        try:
            return float(sum(record["stage_seconds"].values())) if record["stage_seconds"] else float("nan")
        except (KeyError, TypeError, AttributeError):
            break
    return float("nan")


def read_records(study: Study, run_ids: Iterable[object]) -> list[dict[str, Any]]:
    """`record.json` of those of the runs that have a readable one: a download each."""
    found = []
    for run_id in run_ids:
        with tempfile.TemporaryDirectory() as folder:
            try:
                record = json.loads(fetch_artifact(study, str(run_id), ARTIFACT_RECORD, folder).read_text(encoding="utf-8"))
            except (AnalysisError, OSError, ValueError):
                continue
        if isinstance(record, dict):
            found.append(record)
    return found


def read_curves(study: Study, names: Iterable[str], run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Per-epoch metrics: columns run_id, setting, label, seed, name, step, value; one call per run and curve.

    A step that was logged twice (a trial resumed inside an epoch) counts once, with what was logged last.
    Curves no run of the study has are not asked for.
    """
    client = MlflowClient(tracking_uri=study.tracking_uri)
    wanted = [name for name in names if name in study.curve_names]
    rows = []
    for run_id in study.trials.index if run_ids is None else run_ids:
        trial = study.trials.loc[run_id]
        for name in wanted:
            try:
                history = client.get_metric_history(str(run_id), name)
            except (MlflowException, SQLAlchemyError) as error:
                raise AnalysisError(f"curve {name} of run {run_id} cannot be read: {_first_line(error)}") from None
            latest = {point.step: _finite(point.value) for point in sorted(history, key=lambda point: point.timestamp)}
            for step, value in sorted(latest.items()):
                rows.append((run_id, trial.setting, trial.label, trial.seed, name, step, value))
    return pd.DataFrame(rows, columns=["run_id", "setting", "label", "seed", "name", "step", "value"])


def fetch_artifact(study: Study, run_id: str, name: str, folder: str | Path) -> Path:
    """Copies one artifact of a run into `folder`. Raises AnalysisError when the run has none, or it cannot be fetched."""
    try:
        run = MlflowClient(tracking_uri=study.tracking_uri).get_run(run_id)
        # By its place: by its run MLflow looks for logged models too, which takes twice as long.
        uri = f"{run.info.artifact_uri}/{name}"
        return Path(download_artifacts(uri, dst_path=str(folder), tracking_uri=study.tracking_uri))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise AnalysisError(f"{name} of run {run_id} cannot be fetched: {_first_line(error)}") from None


def shown_uri(uri: str) -> str:
    """A tracking URI fit to print: without user name and password."""
    parts = urlsplit(uri)
    return uri.replace(f"{parts.netloc}", parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def _store(tracking_uri: str | None) -> str:
    uri = tracking_uri or os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise AnalysisError(
            "no MLflow store given: set MLFLOW_TRACKING_URI or pass --tracking-uri, e.g. sqlite:////abs/mlflow.db"
        )
    _check_sqlite(uri)
    return uri


@contextmanager
def _reading(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        gone = "Max retries exceeded" in str(error)
        reason = "the server does not answer; start it or give another --tracking-uri" if gone else _first_line(error)
        raise AnalysisError(f"MLflow store {shown_uri(uri)} cannot be read: {reason}") from None


def _check_sqlite(uri: str) -> None:
    """Looks before MLflow does, because MLflow creates and fills a database that is not there."""
    if not uri.startswith("sqlite"):
        return
    path = Path(make_url(uri).database or "").absolute()
    if not path.is_file():
        raise AnalysisError(f"no MLflow database at {path}: run a study first, or give the right --tracking-uri")
    try:
        with sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True) as connection:
            found = connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'experiments'").fetchone()
    except sqlite3.Error as error:
        raise AnalysisError(f"{path} cannot be read as a database ({error}); give the SQLite file of an MLflow store") from None
    if not found:
        raise AnalysisError(f"{path} holds no MLflow records; give the SQLite file of an MLflow store")


def _experiments(client: MlflowClient) -> list[Experiment]:
    found: list[Experiment] = []
    token: str | None = None
    while token is None or token:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        found += page
        token = page.token or ""
    return found


@dataclass(frozen=True)
class _Runs:
    """The runs of an experiment: `info` (name, status, start_time in ms), `tags`, `params` and final `metrics`, by run id."""

    info: pd.DataFrame
    tags: pd.DataFrame
    params: pd.DataFrame
    metrics: pd.DataFrame
    curve_names: tuple[str, ...]

    def without(self, run_ids: pd.Index) -> _Runs:
        info, tags, params, metrics = (
            frame.drop(index=frame.index.intersection(run_ids)) for frame in (self.info, self.tags, self.params, self.metrics)
        )
        return _Runs(info, tags, params, metrics, self.curve_names)


def _runs(client: MlflowClient, experiment_id: str) -> _Runs:
    """All active runs; from a database with a query for each of its tables, because MLflow's search, which makes an object
    of every value, takes 40 s for 10,000 trials where this takes 5."""
    if not is_database(client.tracking_uri):
        return _searched_runs(client, experiment_id)
    engine = create_engine(client.tracking_uri)
    try:
        return _queried_runs(engine, experiment_id)
    finally:
        engine.dispose()


def is_database(uri: str) -> bool:
    """Whether MLflow keeps its records in a database that is read without a server."""
    return uri.partition("://")[0].partition("+")[0] in DATABASE_ENGINES


def _searched_runs(client: MlflowClient, experiment_id: str) -> _Runs:
    info: dict[str, dict[str, Any]] = {}
    tags: dict[str, dict[str, str]] = {}
    params: dict[str, dict[str, str]] = {}
    metrics: dict[str, dict[str, float]] = {}
    token: str | None = None
    while token is None or token:
        page = client.search_runs([experiment_id], max_results=_PAGE, page_token=token)
        for run in page:
            run_id = run.info.run_id
            info[run_id] = {"name": run.info.run_name, "status": run.info.status, "start_time": run.info.start_time}
            tags[run_id], params[run_id], metrics[run_id] = run.data.tags, run.data.params, run.data.metrics
        token = page.token or ""
    names = {name for values in metrics.values() for name in values}
    finals = {run_id: {k: v for k, v in values.items() if _is_final(k)} for run_id, values in metrics.items()}

    def table(rows: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
        return pd.DataFrame.from_dict(dict(rows), orient="index")

    return _Runs(table(info), table(tags), table(params), table(finals), _curves_among(names))


def _queried_runs(engine: Engine, experiment_id: str) -> _Runs:
    chosen: Any = (SqlRun.experiment_id == int(experiment_id)) & (SqlRun.lifecycle_stage == "active")
    with engine.connect() as connection:
        rows: Any = connection.execute(select(SqlRun.run_uuid, SqlRun.name, SqlRun.status, SqlRun.start_time).where(chosen))
        info = pd.DataFrame(rows.fetchall(), columns=["run_id", "name", "status", "start_time"]).set_index("run_id")
        place = {run_id: i for i, run_id in enumerate(info.index)}

        def wide(model: Any, *where: Any) -> pd.DataFrame:
            columns: dict[str, list[Any]] = defaultdict(lambda: [None] * len(place))
            query = select(model.run_uuid, model.key, model.value).join(SqlRun, SqlRun.run_uuid == model.run_uuid)
            for run_id, key, value in connection.execution_options(stream_results=True).execute(query.where(chosen, *where)):
                if run_id in place:  # a run made since then waits for the next reading
                    columns[key][place[run_id]] = value
            return pd.DataFrame(columns, index=info.index, dtype=object)  # else pandas makes Arrow texts, slow to go through

        names: Any = connection.execute(
            select(SqlLatestMetric.key).join(SqlRun, SqlRun.run_uuid == SqlLatestMetric.run_uuid).where(chosen).distinct()
        )
        known = {name for (name,) in names}
        finals = [name for name in known if _is_final(name)]
        metrics = wide(SqlLatestMetric, SqlLatestMetric.key.in_(finals), SqlLatestMetric.is_nan.is_(False))
        return _Runs(info, wide(SqlTag), wide(SqlParam), metrics, _curves_among(known))


def _is_final(name: str) -> bool:
    return name in _FINAL or name.startswith(_PREFIXES)


def _curves_among(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if "/" in name))


def _last_plan(client: MlflowClient, parents: pd.DataFrame) -> pd.DataFrame | None:
    """The trials planned by the newest run of a study that says so; None where none does."""
    for run_id in parents.sort_values("start_time", ascending=False).index:
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = Path(client.download_artifacts(str(run_id), ARTIFACT_PLAN, folder))
                return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["trials"], columns=list(_PLANNED))
            except (MlflowException, OSError, ValueError, KeyError, TypeError):
                continue
    return None


def _hours(client: MlflowClient, parents: pd.Index) -> dict[str, float]:
    """Summed, should a study have several runs of its own; each counts the launches that found it."""
    found: dict[str, float] = {}
    for run_id in parents:
        for name, value in client.get_run(str(run_id)).data.metrics.items():
            if name.startswith((GPU_HOURS, CPU_HOURS)):
                found[name] = found.get(name, 0.0) + value
    return found


def _profile_of(experiment: Experiment, space: str) -> str:
    return str(experiment.tags.get(TAG_PROFILE) or experiment.name.removeprefix(f"{space}."))


def _find_experiment(experiments: list[Experiment], space: str, profile: str | None, where: str) -> Experiment:
    """The study's experiment, found by its tags or, where it has none, by its name."""
    of_space = {
        _profile_of(experiment, space): experiment
        for experiment in experiments
        if experiment.tags.get(TAG_SPACE, "") == space
        or (TAG_SPACE not in experiment.tags and experiment.name.rpartition(".")[0] == space)
    }
    if profile is not None and profile in of_space:
        return of_space[profile]
    if profile is None and len(of_space) == 1:
        return next(iter(of_space.values()))
    if profile is None and of_space:
        raise AnalysisError(
            f"study {space} is there with several profiles; give --profile as one of {', '.join(sorted(of_space))}"
        )
    wanted = space if profile is None else experiment_name(space, profile)
    there = ", ".join(sorted(experiment.name for experiment in experiments if experiment.name != "Default")) or "none"
    raise AnalysisError(f"no study {wanted} in {where}; studies there: {there}")


def _tables(runs: _Runs, plan: pd.DataFrame | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Finished trials, and the runs without a usable result. A trial run twice counts once, with its newest finished run."""
    records = _records(runs)
    finished = records["status"] == "FINISHED"
    seed = records["seed"].astype("string")
    outdated = _outdated(records, seed, plan)
    # Two results of one setting and seed (a run made twice, or again after data or code changed) are no repetition:
    # counted as one they would make the interval too small. Runs without a seed cannot repeat one another.
    seed = seed.fillna(records.index.to_series())
    repeated = pd.DataFrame({"setting": records["setting"], "seed": seed}).where(finished & ~outdated).duplicated()
    superseded = finished & ~outdated & repeated
    usable = finished & ~superseded & ~outdated
    incomplete = usable & records[list(FRONT_METRICS)].isna().any(axis=1)

    state = records["status"].str.lower().mask(superseded, "superseded").mask(incomplete, "incomplete")
    records["state"] = state.mask(outdated, "outdated")
    reason = records["reason"].mask(records["reason"] == "", records["state"].map(_NO_REASON).fillna(""))
    reason = reason.mask(superseded, "this setting and seed finished again later; the newer run counts")
    reason = reason.mask(outdated, "planned anew since code, data or recipe changed; this run was " + state)
    reason.loc[incomplete] = [_lacking(row) for _, row in records[incomplete].iterrows()]
    records["reason"] = reason
    trials = records[usable].drop(columns=["state", "setting_tag"]).sort_values(["label", "seed", "name"])
    unfinished = records[~usable | incomplete].reset_index()[list(_UNFINISHED_COLUMNS)]
    missing = _missing(records, plan)
    if len(missing):
        unfinished = pd.concat([unfinished, missing], ignore_index=True) if len(unfinished) else missing
    return trials, unfinished.sort_values(["state", "name"], ignore_index=True)


def _outdated(records: pd.DataFrame, seed: pd.Series, plan: pd.DataFrame | None) -> pd.Series:
    """Runs whose setting and seed the last plan has under another key. Seeds it does not have at all (a study may be run
    seed by seed, a search plans as it goes) are no less true for that."""
    if plan is None or plan.empty:
        return pd.Series(False, index=records.index)
    places = pd.MultiIndex.from_arrays([plan["setting"].astype(str), plan["seed"].astype(str)])
    here = pd.MultiIndex.from_arrays([records["setting_tag"].astype(str), seed.fillna("")])
    return pd.Series(here.isin(places), index=records.index) & ~records["trial_key"].isin(plan["key"])


def _missing(records: pd.DataFrame, plan: pd.DataFrame | None) -> pd.DataFrame:
    """Planned trials without any run, as rows of the unfinished."""
    if plan is None:
        return pd.DataFrame(columns=list(_UNFINISHED_COLUMNS))
    rows = plan[~plan["key"].isin(records["trial_key"])]
    known = records.drop_duplicates("setting_tag").set_index("setting_tag")[["label", "method", "setting"]].astype(object)

    def told(column: str) -> pd.Series:
        return rows["setting"].map(known[column]).astype(object)

    return pd.DataFrame(
        {
            "state": "missing",
            "reason": "planned, and no run was ever started",
            "name": rows["name"],
            "method": told("method").fillna(""),
            "setting": told("setting").fillna(rows["setting"]),
            "label": told("label").fillna(rows["name"].map(_without_seed)),
            "seed": pd.to_numeric(rows["seed"], errors="coerce").astype("Int64"),
            "trial_key": rows["key"],
            "run_id": "",
            "started": pd.Series(pd.NaT, index=rows.index, dtype="datetime64[ns, UTC]"),
        },
        columns=list(_UNFINISHED_COLUMNS),
    )


def _lacking(row: pd.Series) -> str:
    lacking = " and ".join(name for name in FRONT_METRICS if pd.isna(row[name]))
    return f"finished without {lacking}" + (f": {row['reason']}" if row["reason"] else "")


def _without_seed(name: str) -> str:
    return re.sub(r"\s*\bseed=\d+\b", "", name).strip()


def _records(runs: _Runs) -> pd.DataFrame:
    """A row a run, the newest first, typed and with its setting and label told apart from all others."""
    info = runs.info.sort_values("start_time", ascending=False, kind="stable", na_position="last")
    if info.empty:
        info = info.reindex(columns=["name", "status", "start_time"])
    tags, params = runs.tags.reindex(info.index), _configs(runs).reindex(info.index)

    def told(frame: pd.DataFrame, name: str) -> pd.Series:
        found = frame[name] if name in frame else pd.Series(None, index=info.index, dtype=object)
        return found.astype(object).where(found.notna(), "")

    method = _first_of(told(tags, TAG_METHOD), told(params, "method"))
    run_id = info.index.to_series().astype(object)
    name = _first_of(info["name"].astype(object).fillna(""), run_id)
    label = _first_of(info["name"].astype(object).fillna("").map(_without_seed), method, run_id)
    seed = _first_of(told(tags, TAG_SEED), told(params, "seed"))
    setting = _first_of(told(tags, TAG_SETTING), label)
    frame = pd.DataFrame(
        {
            "name": name,
            "label": label,
            "method": method,
            "setting": setting,
            "setting_tag": setting,
            "seed": pd.to_numeric(seed, errors="coerce").astype("Int64"),
            "trial_key": told(tags, TAG_TRIAL_KEY),
            "status": info["status"].astype(object),
            "reason": told(tags, TAG_REASON),
            "stages_reused": told(tags, TAG_STAGES_REUSED),
            "protocol_tag": told(tags, TAG_PROTOCOL),
            "started": pd.to_datetime(info["start_time"].fillna(0).astype("int64"), unit="ms", utc=True),
        },
        index=info.index,
    )
    metrics = runs.metrics.reindex(info.index).astype("float64")
    metrics = metrics.mask(metrics.abs() >= _INFINITE)
    absent = pd.DataFrame(math.nan, index=info.index, columns=[name for name in _FINAL if name not in metrics])
    typed = pd.DataFrame({PARAM + str(name): _typed_param(params[name]) for name in params}, index=info.index)
    frame = pd.concat([frame, metrics, absent, typed], axis=1)
    # Who the strongest attacker is cannot be known where one of them missed a control.
    frame["worst_leakage"] = frame["worst_leakage"].mask(frame["controls_valid"] == 0)
    frame.index.name = "run_id"
    frame["setting"] = _distinct_settings(frame)
    frame["label"] = _distinct_labels(frame)
    return frame


def _configs(runs: _Runs) -> pd.DataFrame:
    """The configuration of every run as text, by dotted key: from its tag, or from the parameters of runs without one."""
    if TAG_CONFIG not in runs.tags:
        return runs.params
    configs = {run_id: config for run_id, text in runs.tags[TAG_CONFIG].dropna().items() if (config := _config(text))}
    names = dict.fromkeys(name for config in configs.values() for name in config)
    columns = {name: [config.get(name) for config in configs.values()] for name in names}
    index = pd.Index(list(configs), dtype=runs.info.index.dtype)
    return pd.concat([pd.DataFrame(columns, index=index, dtype=object), runs.params.drop(index=index)])


def _config(text: str) -> dict[str, str]:
    try:
        return config_of_tag(text)
    except ValueError:  # changed by hand: what is compared is in the parameters
        return {}


def _first_of(*columns: pd.Series) -> pd.Series:
    """Of texts, the first that is not empty."""
    found = columns[0]
    for column in columns[1:]:
        found = found.mask(found == "", column)
    return found


def _distinct_settings(frame: pd.DataFrame) -> pd.Series:
    """The setting tag, parted where runs under one tag differ in a parameter: the tag is a name that a user's own changes
    to a profile do not reach, and unequal runs are no repetitions."""
    setting = frame["setting"].copy()
    params = frame[[name for name in map(str, frame) if name.startswith(PARAM) and name != PARAM + "seed"]]
    params = params[[name for name in params if params[name].nunique(dropna=False) > 1]].astype(str)
    differs = params.groupby(setting).nunique() > 1
    for tag in differs.index[differs.any(axis=1)]:
        keys = differs.columns[differs.loc[tag]]
        for run_id, values in params.loc[setting == tag, keys].iterrows():
            setting[run_id] = f"{tag} ({' '.join(f'{key.removeprefix(PARAM)}={value}' for key, value in values.items())})"
    return setting


def _typed_param(texts: pd.Series) -> pd.Series:
    """Booleans and numbers where every run has one, text otherwise: MLflow keeps parameters as text."""
    codes, different = pd.factorize(texts)
    literals = [_literal(text) for text in different]
    if literals and (codes >= 0).all():
        kinds = {type(value) for value in literals}
        kind = "bool" if kinds == {bool} else "int64" if kinds == {int} else "float64" if kinds <= {int, float} else ""
        if kind:
            return pd.Series(np.array(literals, dtype=kind)[codes], index=texts.index)
    return texts.astype(object).where(texts.notna(), None)


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _distinct_labels(frame: pd.DataFrame) -> pd.Series:
    """One label per setting, and no label for two settings: those that share one get the start of their setting's name."""
    label = frame.groupby("setting", sort=False)["label"].transform("first")
    shared = frame["setting"].groupby(label).transform("nunique") > 1
    told_apart = [
        setting if setting.startswith(text) else f"{text} [{setting[:12]}]"
        for setting, text in zip(frame["setting"], label, strict=True)
    ]
    return label.mask(shared, pd.Series(told_apart, index=frame.index, dtype=object))


def _finite(value: float) -> float:
    return value if abs(value) < _INFINITE else float("nan")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
