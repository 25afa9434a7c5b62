"""Puts the anonymizer of a chosen setting into MLflow's model registry, as ONNX: it loads without this project's code."""

from __future__ import annotations

import json
import logging
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from analysis import text
from analysis.deploy.anonymizers import Stored, fetch_trial, read_stored
from analysis.deploy.card import write_card
from analysis.deploy.choice_text import choice_text
from analysis.deploy.export import ExportCheck, card_of, checked_onnx
from analysis.deploy.select import Choice, median_trial, row_of
from analysis.measure.settings import of
from analysis.read.artifacts import fetch_artifact
from analysis.read.store import AnalysisError, open_store
from trainables.one_line import reason
from trainables.schema import ARTIFACT_RECORD, FINAL_METRICS

# Not the folder of the trial's own file: MLflow would look for that one inside the model from then on.
_LOGGED_NAME = "anonymizer_onnx"
_REQUIRED = ("onnx", "onnxruntime", "numpy")


def register(choice: Choice, name: str) -> str:
    """Registers the anonymizer of the median trial as a new version of `name`; returns lines on it.

    The version's description is the choice with its figures. Its tags are the setting, run, seed and study, each final metric
    of the setting (mean, interval, n) and of the trial, and the fingerprints of the data they were measured on.
    Raises AnalysisError when the anonymizer is none of frames, or the registry takes no model.
    """
    run_id = median_trial(choice)
    with tempfile.TemporaryDirectory() as folder:
        stored = read_stored(fetch_trial(run_id, choice.study.tracking_uri, folder))
        model, check, size = _portable(stored)
        tags = _tags(choice, run_id, folder)
        saved = Path(folder) / "model"
        _save(model, saved, tags)
        card = card_of(run_id, choice.study.tracking_uri, stored, size, check)
        for file in saved.glob("*.onnx"):
            write_card(card, file)
        number = _register(choice, run_id, name, saved, tags)
    trial, metric = row_of(choice.trials, run_id), choice.rule.judged_by
    takes = f"frames of {text.frame_size(size)}" if size else "frames of any size"
    lines = [
        f"registered models:/{name}/{number}: seed {trial['seed']}, run {run_id}",
        f"  the median of {len(choice.trials)} by {metric}, {text.metric_value(metric, float(trial[metric]), space=' ')}",
        f"  takes {takes}; {check.text()}",
    ]
    broken = [c.words() for c in choice.rule.constraints if not c.miss(float(trial[c.metric])) <= 0]
    if broken:
        lines.append(f"  this one trial by itself does not meet: {' and '.join(broken)}")
    return "\n".join(lines)


def _portable(stored: Stored) -> tuple[Any, ExportCheck, tuple[int, int] | None]:
    """For any size; where ONNX has no such form, for whole frames of the size the trial was measured at."""
    try:
        return (*checked_onnx(stored), None)
    except AnalysisError:
        if stored.measured_at is None:
            raise
        size = stored.measured_at.whole_frame
        return (*checked_onnx(stored, size), size)


def _save(model: Any, folder: Path, metadata: dict[str, str]) -> None:
    """An MLflow model on disk. The requirements are named: asking MLflow to find them out needs a network."""
    import mlflow.onnx
    import numpy as np
    from mlflow.models.signature import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    def tensor(value: Any) -> Schema:
        sides = [-1 if not side.dim_value else side.dim_value for side in value.type.tensor_type.shape.dim]
        return Schema([TensorSpec(np.dtype(np.float32), tuple(sides), value.name)])

    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # pip need not be installed beside uv
    mlflow.onnx.save_model(
        model,
        str(folder),
        signature=ModelSignature(tensor(model.graph.input[0]), tensor(model.graph.output[0])),
        pip_requirements=[f"{package}=={version(package)}" for package in _REQUIRED],
        metadata=dict(metadata),
        save_as_external_data=False,
    )


def _register(choice: Choice, run_id: str, name: str, saved: Path, tags: dict[str, str]) -> str:
    """A logged model of the trial's run (which stays FINISHED and as it was), then a version in the registry."""
    with open_store(choice.study.tracking_uri) as client:
        try:
            experiment = client.get_run(run_id).info.experiment_id
            logged = client.create_logged_model(experiment, name=_LOGGED_NAME, source_run_id=run_id, tags=tags)
            client.log_model_artifacts(logged.model_id, str(saved))
            client.finalize_logged_model(logged.model_id, "READY")
            if not client.search_registered_models(f"name = '{name}'"):
                client.create_registered_model(name, description="Video anonymizers of the privacy-utility study.")
            made = client.create_model_version(
                name,
                source=logged.artifact_location,  # models:/ID would be looked up in the process's default store
                run_id=run_id,
                tags=tags,
                description=choice_text(choice),
                model_id=logged.model_id,
            )
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise AnalysisError(f"--register {name}: MLflow takes no model ({reason(error)})") from None
    return str(made.version)


def _tags(choice: Choice, run_id: str, folder: str) -> dict[str, str]:
    row, trial, study = choice.setting, row_of(choice.trials, run_id), choice.study
    tags = {
        "space": study.space,
        "profile": study.profile,
        "protocol": str(row["protocol_tag"]),
        "setting": str(row["label"]),
        "method": str(row["method"]),
        "seed": str(trial["seed"]),
        "run_id": run_id,
        "chosen_by": _rule_text(choice),
    }
    for name in FINAL_METRICS:
        if of(row, name).n:
            tags[f"setting.{name}"] = text.metric_mean_with_n(name, of(row, name), space=" ")
            tags[f"trial.{name}"] = repr(float(trial[name]))
    return tags | _fingerprints(choice, run_id, folder)


def _rule_text(choice: Choice) -> str:
    what = f"best {choice.rule.prefer}" if choice.rule.prefer else "knee of the front"
    words = " with ".join([what, *(constraint.words() for constraint in choice.rule.constraints)])
    return f"{words}, on {choice.rule.chosen_on} data"


def _fingerprints(choice: Choice, run_id: str, folder: str) -> dict[str, str]:
    """Role -> fingerprint of the data, from the trial's record; a run without one says so."""
    try:
        record = json.loads(fetch_artifact(choice.study, run_id, ARTIFACT_RECORD, folder).read_text(encoding="utf-8"))
        found = {f"data.{role}": str(value) for role, value in record["fingerprints"].items()}
    except (AnalysisError, OSError, ValueError, TypeError, KeyError, AttributeError):
        found = {}
    return found or {"data": "not recorded"}
