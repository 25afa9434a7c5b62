"""Synthetic studies in MLflow databases, written through the client as the trials write theirs."""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from PIL import Image

from analysis.read.study import RecordedStudy, read_study
from search_spaces.profiles import PROFILES
from search_spaces.registry import label_of, load_spaces
from trainables.config import TrialConfig, with_values
from trainables.methods import METHODS
from trainables.schema import (
    ARTIFACT_PLAN,
    ATTACK,
    HIGH,
    LOW,
    STUDY_RUN,
    TAG_EARLY,
    TAG_KIND,
    VALIDATION,
    experiment_name,
    metrics_and_tags,
    params_and_tags,
)

VALIDATED = ("top1", "cmap", "leakage", "clip_cmap", "clip_leakage", "worst_leakage")  # have a twin on validation data
BOUNDED = ("top1", "leakage", "clip_leakage")  # have an interval over test items


@dataclass
class FakeTrial:
    """What one run of a synthetic study holds; metrics None = none were logged."""

    label: str
    method: str = "penalty"
    seed: int = 0
    metrics: Mapping[str, float] | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    status: str = "FINISHED"
    reason: str = ""
    curves: bool = False
    frames: bytes | None = None
    setting: str | None = None
    trial_key: str | None = None
    start: int = 0
    protocol: str = ""
    record: str | None = None
    early: bool = False


def metrics(top1: float, leakage: float, **more: float) -> dict[str, float]:
    """Final metrics that agree with one another, for data with 10 classes and a chance cMAP of one half.

    What is measured on validation data as well has the same value there, unless `more` says otherwise.
    """
    return with_twins(
        {
            "top1": top1,
            "top5": min(1.0, top1 + 0.2),
            "chance_top1": 0.1,
            "cmap": 0.5 + leakage / 2,
            "chance_cmap": 0.5,
            "macro_f1": 0.4 + leakage / 3,
            "leakage": leakage,
            "rms_distortion": 0.2,
            "penalty_active": 0.4,
            "seconds": 60.0,
            "ap.face": 0.5 + leakage / 1.8,
            "ap_chance.face": 0.5,
            "ap.gender": 0.5 + leakage / 2.2,
            "ap_chance.gender": 0.5,
        }
        | more
    )


def with_twins(found: Mapping[str, float]) -> dict[str, float]:
    """The figures, with their validation twins and the ends of their intervals over test items, where they are not given."""
    twins = {VALIDATION + name: value for name, value in found.items() if name in VALIDATED or name.startswith(ATTACK)}
    ends = {name + end: found[name] + reach for name in BOUNDED if name in found for end, reach in ((LOW, -0.04), (HIGH, 0.04))}
    return {**twins, **ends, **found}


def on_clips(leakage: float) -> dict[str, float]:
    return with_twins(
        {
            "clip_cmap": 0.6 + 0.4 * leakage,
            "clip_chance_cmap": 0.6,
            "clip_leakage": leakage,
            "clip_macro_f1": 0.5,
            "clip_ap.skin_color": 0.6 + 0.4 * leakage,
            "clip_ap_chance.skin_color": 0.6,
        }
    )


def frames_png(width: int = 256, height: int = 64) -> bytes:
    out = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


def planned_trials(
    space: str, profile: str, seeds: int = 2, methods: tuple[str, ...] = ("raw", "spact", "penalty")
) -> list[FakeTrial]:
    """Finished trials of a space as `search_spaces.plan` makes them, for some methods, with figures that rise with B."""
    found, chosen = load_spaces()[space], PROFILES[profile]
    trials = []
    for seed in range(seeds):
        for protocol in found.protocols:
            data = protocol.generated if chosen.generated else protocol.values
            for setting in found.settings_for(profile):
                method = setting.get("method", "penalty")
                if method not in methods:
                    continue
                values = {**chosen.values, **data, **found.defaults_for(profile), **setting, **METHODS[method].fixed}
                place = setting.get("minimax.distortion_budget", 0.0) / 10 + setting.get("minimax.penalty_weight", 0.0) / 100
                numbers = metrics(0.9 - place + 0.01 * seed, 0.5 - place + 0.02 * seed, pipeline_seconds=240.0)
                trials.append(
                    FakeTrial(
                        label_of(setting) + (f" [{protocol.name}]" if len(found.protocols) > 1 else ""),
                        method,
                        seed,
                        numbers | on_clips(0.3),
                        {key: value for key, value in values.items() if key != "method"},
                        protocol=protocol.name,
                    )
                )
    return trials


def write_study(
    uri: str,
    artifacts: Path,
    space: str,
    profile: str,
    trials: list[FakeTrial],
    plan: list[dict[str, Any]] | None = None,
) -> None:
    """One experiment with a run per trial and, where there is a plan, the run of the study itself."""
    client = MlflowClient(tracking_uri=uri)
    folder = artifacts / f"{abs(hash((space, profile)))}"
    experiment = client.create_experiment(experiment_name(space, profile), str(folder), {"space": space, "profile": profile})
    if plan is not None:
        study = client.create_run(experiment, run_name=space, tags={TAG_KIND: STUDY_RUN})
        client.log_text(study.info.run_id, json.dumps({"trials": plan}), ARTIFACT_PLAN)
    for number, trial in enumerate(trials):
        started = trial.start or int(time.time() * 1000) + number
        run = client.create_run(experiment, start_time=started, run_name=f"{trial.label} seed={trial.seed}").info.run_id
        config = with_values(TrialConfig(), {"method": trial.method, "seed": trial.seed, **trial.values})
        tags = {
            "trial_key": f"{space}-{number}" if trial.trial_key is None else trial.trial_key,
            "space": space,
            "profile": profile,
            "method": trial.method,
            "setting": trial.setting or trial.label,
            "seed": str(trial.seed),
            "stages_reused": "0",
            **({"protocol": trial.protocol} if trial.protocol else {}),
            **({"reason": trial.reason} if trial.reason else {}),
            **({TAG_EARLY: "true" if trial.status == "KILLED" else ""} if trial.early else {}),
        }
        params, whole = params_and_tags(config, trial.values)
        listed, figures = metrics_and_tags(trial.metrics or {})
        points = [Metric(name, value, started, 0) for name, value in listed.items()]
        if trial.curves:
            for step in range(6):
                shape = {"loss_anonymizer": 2 - step * 0.2, "loss_action": math.exp(-step), "loss_privacy": 3 - step * 0.1}
                shape |= {"penalty": 0.1, "rms_distortion": 0.1 + 0.02 * step, "penalty_active": 0.4}
                noise = 0.02 * trial.seed + 0.1 * config.minimax.distortion_budget
                points += [Metric(f"minimax/{name}", value + noise, started, step) for name, value in shape.items()]
        client.log_batch(
            run,
            metrics=points,
            params=[Param(name, value) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in {**tags, **whole, **figures}.items()],
        )
        files = {"frames.png": trial.frames, "record.json": trial.record and trial.record.encode()}
        for name, content in files.items():
            if content is not None:
                (folder / run / "artifacts").mkdir(parents=True, exist_ok=True)
                (folder / run / "artifacts" / name).write_bytes(content)
        if trial.status != "RUNNING":
            client.set_terminated(run, trial.status)


def stored(trials: list[FakeTrial], empty_store: Path, folder: Path) -> RecordedStudy:
    """The trials as the study `toy.small` of a store of its own in `folder`; `empty_store` is copied there."""
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    write_study(uri, folder / "artifacts", "toy", "small", trials)
    return read_study("toy", "small", uri)


def sweep_of_budget(seeds: int = 3) -> list[FakeTrial]:
    """Raw and four budgets; the penalty of the largest never binds, one trial failed, one was killed, one has no metrics."""
    noise = np.random.default_rng(7)
    trials = []
    for seed in range(seeds):
        png = frames_png() if seed == 0 else None
        wobble = noise.normal(0, 0.01, 10)
        raw = metrics(0.96 + wobble[0], 0.82 + wobble[1], rms_distortion=0.0, penalty_active=0.0, **on_clips(0.7 + wobble[2]))
        trials.append(FakeTrial("raw", "raw", seed, raw, frames=png))
        for budget, top1, leakage, active in (
            (0.0, 0.95, 0.6, 0.9),
            (0.3, 0.93, 0.42, 0.5),
            (0.5, 0.88, 0.44, 0.2),
            (0.9, 0.8, 0.3, 0),
        ):
            wobble = noise.normal(0, 0.01, 10)
            values = metrics(
                top1 + wobble[0], leakage + wobble[1], penalty_active=active, **on_clips(leakage + 0.1 + wobble[2])
            )
            label = f"B={budget:g} lambda=1"
            changed = {"minimax.distortion_budget": budget, "minimax.penalty_weight": 1.0}
            trials.append(FakeTrial(label, "penalty", seed, values, changed, curves=True, frames=png))
    broken = {"minimax.distortion_budget": 1.0}
    trials += [
        FakeTrial("B=1 lambda=1", seed=0, values=broken, status="FAILED", reason="CUDA out of memory in minimax"),
        FakeTrial("B=1 lambda=1", seed=1, values=broken, status="KILLED"),
        FakeTrial("B=1 lambda=1", seed=2, values=broken, metrics={"top1": 0.8}),
    ]
    return trials
