"""What is read of a study only when asked for: curves, records and other artifacts of its runs, and stage-seconds."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from analysis.read.runs import PIPELINE_SECONDS
from analysis.read.store import AnalysisError, first_line
from analysis.read.study import RecordedStudy
from analysis.read.trials import finite
from trainables.schema import ARTIFACT_RECORD


def read_curves(study: RecordedStudy, names: Iterable[str], run_ids: Sequence[str] | None = None) -> pd.DataFrame:
    """Per-epoch metrics with columns run_id, setting, label, seed, name, step, value; costs a call per run and curve.

    A step logged twice (a trial was resumed inside an epoch) counts once, with its last value. Names that no run has are
    left out.
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
                raise AnalysisError(f"curve {name} of run {run_id} cannot be read: {first_line(error)}") from None
            latest = {point.step: finite(point.value) for point in sorted(history, key=lambda point: point.timestamp)}
            for step, value in sorted(latest.items()):
                rows.append((run_id, trial.setting, trial.label, trial.seed, name, step, value))
    return pd.DataFrame(rows, columns=["run_id", "setting", "label", "seed", "name", "step", "value"])


def fetch_artifact(study: RecordedStudy, run_id: str, name: str, folder: str | Path) -> Path:
    """Copies one artifact of a run into `folder`; raises AnalysisError where it is not there or cannot be fetched."""
    try:
        run = MlflowClient(tracking_uri=study.tracking_uri).get_run(run_id)
        # Given a run id instead of a URI, MLflow looks for logged models too, which takes twice as long.
        uri = f"{run.info.artifact_uri}/{name}"
        return Path(download_artifacts(uri, dst_path=str(folder), tracking_uri=study.tracking_uri))
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise AnalysisError(f"{name} of run {run_id} cannot be fetched: {first_line(error)}") from None


def read_records(study: RecordedStudy, run_ids: Iterable[object]) -> list[dict[str, Any]]:
    """`record.json` of every run that has a readable one; costs a download per run."""
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


@dataclass(frozen=True)
class StageSeconds:
    """Seconds that the stages of a study took, and would have taken had every trial computed all of its own.

    Both are sums over the `known` of `runs` trials that recorded both.
    """

    computed: float = 0.0
    whole: float = 0.0
    known: int = 0
    runs: int = 0

    def __add__(self, other: StageSeconds) -> StageSeconds:
        pairs = ((getattr(self, name), getattr(other, name)) for name in ("computed", "whole", "known", "runs"))
        return StageSeconds(*(mine + theirs for mine, theirs in pairs))


def stage_seconds(study: RecordedStudy) -> StageSeconds:
    """Stage-seconds over the finished trials; costs a download for each run that lacks PIPELINE_SECONDS."""
    total = StageSeconds(runs=len(study.trials))
    for run_id, trial in study.trials.iterrows():
        whole = trial[PIPELINE_SECONDS]
        if pd.isna(whole):
            whole = _recorded_seconds(study, str(run_id))
        if not (pd.isna(whole) or pd.isna(trial["seconds"])):
            total += StageSeconds(float(trial["seconds"]), float(whole), known=1)
    return total


def _recorded_seconds(study: RecordedStudy, run_id: str) -> float:
    for record in read_records(study, [run_id]):
        try:
            return float(sum(record["stage_seconds"].values())) if record["stage_seconds"] else float("nan")
        except (KeyError, TypeError, AttributeError):
            break
    return float("nan")
