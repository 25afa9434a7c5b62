"""What the analysis knows of a study: the runs of one MLflow experiment, read once, as typed tables.

The names are those of `trainables.schema`; nothing here needs torch or ray.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from trainables.schema import (
    AP,
    AP_CHANCE,
    ARTIFACT_RECORD,
    CLIP,
    FINAL_METRICS,
    TAG_METHOD,
    TAG_PROFILE,
    TAG_PROTOCOL,
    TAG_REASON,
    TAG_SEED,
    TAG_SETTING,
    TAG_SPACE,
    TAG_STAGES_REUSED,
    TAG_TRIAL_KEY,
    experiment_name,
)

# A finished trial without these cannot be placed on the privacy-utility front.
FRONT_METRICS = ("top1", "leakage")
RAW = "raw"  # the method tag of the trial that leaves the data as they are
PARAM = "params."  # prefix of the columns that hold a trial's configuration
PIPELINE_SECONDS = "pipeline_seconds"  # all stages of a trial, also those it found done; older runs lack it

_INFINITE = 1e300  # MLflow stores inf as 1.8e308
_PAGE = 1000  # runs fetched by one call
_ATTRIBUTE_PREFIXES = tuple(clip + name for clip in ("", CLIP) for name in (AP, AP_CHANCE))
_FINAL = tuple(dict.fromkeys((*FINAL_METRICS, PIPELINE_SECONDS)))
_RUN_COLUMNS = ("name", "label", "method", "setting", "seed", "trial_key", "status", "reason", "stages_reused", "protocol_tag")
_UNFINISHED_COLUMNS = ("state", "reason", "name", "method", "setting", "label", "seed", "trial_key", "run_id", "started")
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
    (fractions; NaN where absent or infinite), `ap.<attribute>` and its kin likewise, the configuration lies in typed
    columns `params.<dotted key>`. `setting` is equal for repetitions; `label` is its readable name, `protocol_tag` the
    protocol it was measured under ("" in runs of before there were several).

    `unfinished`: a row per run that carries no usable result, with `state` (failed, killed, running, scheduled,
    incomplete = finished without its front metrics, superseded = an older run of the same setting and seed) and `reason`.
    Incomplete runs are in both tables, superseded ones in this table only.
    """

    name: str
    space: str
    profile: str
    trials: pd.DataFrame
    unfinished: pd.DataFrame
    curve_names: tuple[str, ...]
    tracking_uri: str

    @property
    def complete(self) -> pd.DataFrame:
        """The trials that carry both metrics of the front."""
        return self.trials.dropna(subset=list(FRONT_METRICS))


def read_study(space: str, profile: str | None = None, tracking_uri: str | None = None) -> Study:
    """Reads every run of a study in one paginated search; curves and artifacts are read only when asked for.

    `profile` None stands for the only one there is. `tracking_uri` None stands for MLFLOW_TRACKING_URI.
    Raises AnalysisError when the store cannot be opened, the study is not there, or the profile is ambiguous.
    """
    uri = _store(tracking_uri)
    with _reading(uri):
        client = MlflowClient(tracking_uri=uri)
        experiment = _find_experiment(_experiments(client), space, profile, shown_uri(uri))
        runs = _runs(client, experiment.experiment_id)
    trials, unfinished = _tables(runs)
    return Study(
        name=experiment.name,
        space=space,
        profile=_profile_of(experiment, space),
        trials=trials,
        unfinished=unfinished,
        curve_names=tuple(sorted({name for run in runs for name in run.data.metrics if "/" in name})),
        tracking_uri=uri,
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
    with tempfile.TemporaryDirectory() as folder:
        try:
            record = json.loads(fetch_artifact(study, run_id, ARTIFACT_RECORD, folder).read_text(encoding="utf-8"))
            return float(sum(record["stage_seconds"].values())) if record["stage_seconds"] else float("nan")
        except (AnalysisError, OSError, ValueError, TypeError, KeyError, AttributeError):
            return float("nan")


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
        return Path(MlflowClient(tracking_uri=study.tracking_uri).download_artifacts(run_id, name, str(folder)))
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


def _runs(client: MlflowClient, experiment_id: str) -> list[Run]:
    found: list[Run] = []
    token: str | None = None
    while token is None or token:
        page = client.search_runs([experiment_id], max_results=_PAGE, page_token=token)
        found += page
        token = page.token or ""
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


def _tables(runs: list[Run]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Finished trials, and the runs without a usable result. A trial run twice counts once, with its newest finished run."""
    runs = sorted(runs, key=lambda run: run.info.start_time or 0, reverse=True)
    records = _typed([_record(run) for run in runs])
    finished = records["status"] == "FINISHED"
    # Two results of one setting and seed (a run made twice, or again after data or code changed) are no repetition:
    # counted as one they would make the interval too small. Runs without a seed cannot repeat one another.
    seed = records["seed"].astype("string").fillna(records.index.to_series())
    repeated = pd.DataFrame({"setting": records["setting"], "seed": seed}).where(finished).duplicated()
    superseded = finished & repeated
    incomplete = finished & ~superseded & records[list(FRONT_METRICS)].isna().any(axis=1)

    records["state"] = records["status"].str.lower().mask(superseded, "superseded").mask(incomplete, "incomplete")
    reason = records["reason"].mask(records["reason"] == "", records["state"].map(_NO_REASON).fillna(""))
    reason = reason.mask(superseded, "this setting and seed finished again later; the newer run counts")
    records["reason"] = [
        _lacking(row) if is_incomplete else text
        for (_, row), is_incomplete, text in zip(records.iterrows(), incomplete, reason, strict=True)
    ]
    trials = records[finished & ~superseded].drop(columns="state").sort_values(["label", "seed", "name"])
    unfinished = records[~finished | superseded | incomplete].reset_index()[list(_UNFINISHED_COLUMNS)]
    return trials, unfinished.sort_values(["state", "name"], ignore_index=True)


def _lacking(row: pd.Series) -> str:
    lacking = " and ".join(name for name in FRONT_METRICS if pd.isna(row[name]))
    return f"finished without {lacking}" + (f": {row['reason']}" if row["reason"] else "")


def _record(run: Run) -> dict[str, Any]:
    tags, params = run.data.tags, run.data.params
    seed = tags.get(TAG_SEED, params.get("seed", ""))
    method = tags.get(TAG_METHOD) or params.get("method", "")
    label = re.sub(r"\s*\bseed=\d+\b", "", run.info.run_name or "").strip() or method or run.info.run_id
    metrics = {
        name: _finite(value)
        for name, value in run.data.metrics.items()
        if name in _FINAL or name.startswith(_ATTRIBUTE_PREFIXES)
    }
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name or run.info.run_id,
        "label": label,
        "method": method,
        "setting": tags.get(TAG_SETTING) or label,
        "seed": seed,
        "trial_key": tags.get(TAG_TRIAL_KEY, ""),
        "status": run.info.status,
        "reason": tags.get(TAG_REASON, ""),
        "stages_reused": tags.get(TAG_STAGES_REUSED, ""),
        "protocol_tag": tags.get(TAG_PROTOCOL, ""),
        "started": pd.Timestamp(run.info.start_time or 0, unit="ms", tz="UTC"),
        **metrics,
        **{PARAM + name: text for name, text in params.items()},
    }


def _typed(rows: list[dict[str, Any]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=None if rows else ["run_id", *_RUN_COLUMNS, "started"]).set_index("run_id")
    frame["seed"] = pd.to_numeric(frame["seed"], errors="coerce").astype("Int64")
    if not rows:
        frame["started"] = pd.to_datetime(frame["started"], utc=True)
    absent = [name for name in _FINAL if name not in frame]
    frame = frame.reindex(columns=[*frame.columns, *absent])
    metrics = [str(name) for name in frame if name in _FINAL or str(name).startswith(_ATTRIBUTE_PREFIXES)]
    frame[metrics] = frame[metrics].astype("float64")
    params = {str(name): _typed_param(frame[name]) for name in frame if str(name).startswith(PARAM)}
    frame = pd.concat([frame.drop(columns=list(params)), pd.DataFrame(params, index=frame.index)], axis=1)
    for column in _RUN_COLUMNS:
        if column != "seed":
            frame[column] = frame[column].astype(object)
    frame["setting"] = _distinct_settings(frame)
    frame["label"] = _distinct_labels(frame)
    return frame


def _distinct_settings(frame: pd.DataFrame) -> pd.Series:
    """The setting tag, parted where runs under one tag differ in a parameter: the tag is a name that a user's own changes
    to a profile do not reach, and unequal runs are no repetitions."""
    setting = frame["setting"].copy()
    params = frame[[name for name in map(str, frame) if name.startswith(PARAM) and name != PARAM + "seed"]].astype(str)
    differs = params.groupby(setting).nunique() > 1
    for tag in differs.index[differs.any(axis=1)]:
        keys = differs.columns[differs.loc[tag]]
        for run_id, values in params.loc[setting == tag, keys].iterrows():
            setting[run_id] = f"{tag} ({' '.join(f'{key.removeprefix(PARAM)}={value}' for key, value in values.items())})"
    return setting


def _typed_param(texts: pd.Series) -> pd.Series:
    """Booleans and numbers where every run has one, text otherwise: MLflow keeps parameters as text."""
    values = [_literal(text) for text in texts.dropna()]
    if values and len(values) == len(texts):
        if all(isinstance(value, bool) for value in values):
            return pd.Series(values, index=texts.index, dtype=bool)
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            whole = all(isinstance(value, int) for value in values)
            return pd.Series(values, index=texts.index, dtype="int64" if whole else "float64")
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
