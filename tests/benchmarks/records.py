"""What do reading a large study and reporting on it cost, in time and memory, and does that grow in step with the trials?

    python tests/benchmarks/records.py --storage DIR [--trials 10000]

Makes two studies of synthetic trials in MLflow databases of their own (made once, found again), one with a tenth of the
trials, with parameters, final metrics, curves and tags as trials leave them; then runs `python -m analysis report` on each
in a fresh process. Prints seconds, CPU-seconds and the largest memory of each, and how the times compare.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.models import SqlLatestMetric, SqlMetric, SqlParam, SqlRun, SqlTag
from sqlalchemy import create_engine, insert

from trainables.config import TrialConfig, with_values
from trainables.schema import (
    AP,
    AP_CHANCE,
    ARTIFACT_PLAN,
    CLIP,
    STUDY_RUN,
    TAG_KIND,
    TAG_METHOD,
    TAG_PROFILE,
    TAG_SEED,
    TAG_SETTING,
    TAG_SPACE,
    TAG_TRIAL_KEY,
    experiment_name,
    params_and_tags,
)

SPACE, PROFILE, SEEDS, EPOCHS = "synthetic", "generated", 4, 5
ATTRIBUTES = ("face", "gender", "skin_color", "nudity", "relationship", "age", "race")
CURVES = ("loss_anonymizer", "loss_action", "loss_privacy", "rms_distortion", "penalty", "penalty_active")
STATES = ("FINISHED",) * 17 + ("FAILED", "KILLED", "RUNNING")
BLOCK = 500  # trials written at a time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True)
    parser.add_argument("--trials", type=int, default=10_000)
    options = parser.parse_args()
    taken = {trials: _report(options.storage.absolute(), trials) for trials in (options.trials // 10, options.trials)}
    print(f"{'trials':>8}  {'seconds':>8}  {'CPU s':>8}  {'MB':>6}  {'page MB':>8}")
    for trials, (wall, cpu, memory, page) in taken.items():
        print(f"{trials:>8}  {wall:>8.1f}  {cpu:>8.1f}  {memory:>6.0f}  {page:>8.2f}")
    (few, few_cpu, *_), (many, many_cpu, *_) = taken.values()
    print(f"ten times the trials cost {many / few:.1f} times the time ({many_cpu / few_cpu:.1f} of CPU)")


def _report(storage: Path, trials: int) -> tuple[float, float, float, float]:
    """Wall seconds, CPU seconds, peak resident megabytes of one report, and the size of its page in megabytes."""
    uri = make_store(storage / f"trials-{trials}", trials)
    out = storage / f"report-{trials}"
    command = [sys.executable, "-m", "analysis", "report", "--space", SPACE, "--tracking-uri", uri, "--out", str(out)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if status:
        raise SystemExit(f"the report of {trials} trials failed")
    page = (out / "report.html").stat().st_size
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, page / 1e6


def make_store(folder: Path, trials: int) -> str:
    """The URI of a database with one study of so many trials; written past the client, which takes an hour for 10,000."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    if (folder / "DONE").exists():
        return uri
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mlflow.db").unlink(missing_ok=True)
    client = MlflowClient(uri)
    tags = {TAG_SPACE: SPACE, TAG_PROFILE: PROFILE}
    experiment = client.create_experiment(experiment_name(SPACE, PROFILE), (folder / "artifacts").as_uri(), tags)
    study = client.create_run(experiment, run_name=SPACE, tags={TAG_KIND: STUDY_RUN})
    plan = [{"key": f"key-{i}", "name": _name(i), "setting": _setting(i), "seed": i % SEEDS} for i in range(trials + 10)]
    client.log_text(study.info.run_id, json.dumps({"trials": plan}), ARTIFACT_PLAN)
    engine = create_engine(uri)
    for first in range(0, trials, BLOCK):
        rows: dict[Any, list[dict[str, Any]]] = {model: [] for model in (SqlRun, SqlTag, SqlParam, SqlLatestMetric, SqlMetric)}
        for number in range(first, min(first + BLOCK, trials)):
            for model, row in _rows(number, int(experiment), folder):
                rows[model].append(row)
        with engine.begin() as connection:
            for model, block in rows.items():
                if block:
                    connection.execute(insert(model), block)
    engine.dispose()
    (folder / "DONE").touch()
    return uri


def _setting(number: int) -> str:
    budget, rate = _values(number)
    return "raw" if number < SEEDS else f"B={budget:g} lr={rate:g}"


def _name(number: int) -> str:
    return f"{_setting(number)} seed={number % SEEDS}"


def _values(number: int) -> tuple[float, float]:
    setting = number // SEEDS
    return round(setting % 50 / 50, 2), round(1e-4 * (1 + setting // 50), 6)


def _rows(number: int, experiment: int, folder: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The rows of one trial, by the model they belong to."""
    run = f"{number:032x}"
    noise = np.random.default_rng(number)
    budget, rate = _values(number)
    raw = number < SEEDS
    method = "raw" if raw else "penalty"
    state = "FINISHED" if raw else STATES[number % len(STATES)]
    now = 1_700_000_000_000 + 60_000 * number
    yield (
        SqlRun,
        {
            "run_uuid": run,
            "name": _name(number),
            "source_type": "UNKNOWN",
            "user_id": "someone",
            "status": state,
            "start_time": now,
            "end_time": now + 60_000,
            "lifecycle_stage": "active",
            "artifact_uri": (folder / "artifacts" / run / "artifacts").as_uri(),
            "experiment_id": experiment,
        },
    )
    tags = {TAG_SPACE: SPACE, TAG_PROFILE: PROFILE, TAG_METHOD: method, TAG_SETTING: _setting(number)}
    tags |= {TAG_SEED: str(number % SEEDS), TAG_TRIAL_KEY: f"key-{number}", "mlflow.runName": _name(number)}
    values = {"minimax.distortion_budget": budget, "minimax.learning_rate_anonymizer": rate}
    params, whole = params_and_tags(with_values(TrialConfig(), {"method": method, "seed": number % SEEDS, **values}), values)
    for key, value in {**tags, **whole}.items():
        yield SqlTag, {"run_uuid": run, "key": key, "value": value}
    for key, value in params.items():
        yield SqlParam, {"run_uuid": run, "key": key, "value": value}
    if state == "FINISHED":
        leakage = 0.8 if raw else 0.8 - 0.6 * budget + noise.normal(0, 0.02)
        top1 = 0.95 if raw else 0.95 - 0.3 * budget**2 - 20 * rate + noise.normal(0, 0.02)
        for key, value in _metrics(float(top1), float(leakage)).items():
            yield SqlLatestMetric, _point(run, key, value, now, 0)
    for name in CURVES:
        for step in range(EPOCHS):
            yield SqlMetric, _point(run, f"minimax/{name}", 1 / (1 + step) + 0.01 * noise.random(), now, step)
        yield SqlLatestMetric, _point(run, f"minimax/{name}", 1 / EPOCHS, now, EPOCHS - 1)


def _point(run: str, key: str, value: float, now: int, step: int) -> dict[str, Any]:
    return {"run_uuid": run, "key": key, "value": value, "timestamp": now, "step": step, "is_nan": False}


def _metrics(top1: float, leakage: float) -> dict[str, float]:
    found = {"top1": top1, "top5": min(1.0, top1 + 0.1), "chance_top1": 0.1, "penalty_active": 0.4, "rms_distortion": 0.2}
    found |= {"seconds": 60.0, "pipeline_seconds": 240.0}
    for prefix in ("", CLIP):
        found |= {f"{prefix}cmap": 0.5 + leakage / 2, f"{prefix}chance_cmap": 0.5}
        found |= {f"{prefix}leakage": leakage, f"{prefix}macro_f1": 0.5}
        for attribute in ATTRIBUTES:
            found |= {f"{prefix}{AP}{attribute}": 0.5 + leakage / 2, f"{prefix}{AP_CHANCE}{attribute}": 0.5}
    return found


if __name__ == "__main__":
    main()
