"""What a chaos run must end with: the same trials by the pipeline alone, one after another, without Ray and MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chaos_space

from search_spaces.plan import StudyTrial, plan_study
from trainables import pipeline
from trainables.config import ConfigError, Runtime, parse_setting
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.methods import method_of
from trainables.plan import plan_trial

SPEC = GeneratedSpec(train_clips=36, test_clips=24, train_images=32, val_images=12, test_images=32, size=16, frames=12)


@dataclass(frozen=True)
class Expected:
    """How a trial ends: with `metrics`, or without any and for `reason`. `curves`: name -> step -> value. `stages`: their keys
    by their roles, in order. `anonymizer`: the role of the one that trains the anonymizer; empty for a trial that cannot be
    stopped early.
    """

    key: str
    name: str
    reason: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    stages: Mapping[str, str] = field(default_factory=dict)
    anonymizer: str = ""


def make_data(where: Path) -> Path:
    """A data root with two more sets of the same videos: `spare`, and `corrupt`, where one for training cannot be read."""
    root = ensure(where, SPEC)
    for name in ("spare", "corrupt"):
        if not (root / name).is_dir():
            aside = root / f".{name}"
            for folder in ("UCF-101", "ucfTrainTestlist"):
                shutil.copytree(root / folder, aside / folder)
            for labels in root.glob("*.csv"):
                shutil.copy(labels, aside)
            if name == "corrupt":
                a_video(aside).write_bytes(b"RIFF this is no video " * 200)
            aside.rename(root / name)
    return root


def a_video(folder: Path) -> Path:
    """The first training video of a set."""
    return folder / "UCF-101" / (folder / "ucfTrainTestlist" / "trainlist01.txt").read_text().split()[0]


def planned(space: str, seeds: Sequence[int], settings: Mapping[str, Any]) -> list[StudyTrial]:
    """The trials of a space of `chaos_space.py`, as `study/run.py` plans them with `settings`."""
    overrides = dict(parse_setting(f"{key}={value}") for key, value in settings.items())
    return list(plan_study(space, "small", seeds, overrides).trials)


def run_reference(trials: Sequence[StudyTrial], data_root: Path, storage: Path) -> dict[str, Expected]:
    """By trial key."""
    runtime = Runtime(data_root=str(data_root), storage=str(storage), device="cpu", threads=1)
    expected = {}
    for trial in trials:
        plan = plan_trial(trial.config, TrialData(trial.config, data_root))
        curves = _Curves()
        metrics: Mapping[str, float] = {}
        reason = ""
        keys = {stage.role: stage.key for stage in plan.stages}
        try:
            record, _ = pipeline.run_trial(trial.config, runtime, chaos_space.Journal(storage / "journal", keys, curves))
            metrics = record.metrics
        except (ConfigError, DataError, ArithmeticError) as error:
            reason = str(error)
        anonymizer = method_of(trial.config).anonymizer or ""
        expected[plan.key] = Expected(plan.key, trial.name, reason, metrics, curves.points, keys, anonymizer)
    return expected


class _Curves:
    """A Reporter that collects what of a trial's epochs MLflow must show."""

    def __init__(self) -> None:
        self.points: dict[str, dict[int, float]] = {}

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        for epoch, metrics in enumerate(history):
            for name, value in metrics.items():
                self.points.setdefault(f"{stage}/{name}", {})[epoch] = float(value)

    def finished(self, stage: Any, outcome: Any, reused: bool) -> None:
        self.epoch(stage.role, outcome.history, 0)

    def waiting(self, stage: str, holder: str) -> None:
        pass
