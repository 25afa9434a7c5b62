"""What a trial will do: its stages with their keys, from the config and the fingerprints of its data. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainables.config import Frozen, TrialConfig
from trainables.data.items import DataError, StillSplits, VideoSplits
from trainables.data.registry import load_stills, load_videos
from trainables.methods import METHODS
from trainables.stages import ANONYMIZER, EVALUATE_ACTION, EVALUATE_CLIP_PRIVACY, EVALUATE_PRIVACY, Stage
from trainables.store import digest


class TrialData:
    """The data sets of a trial, each read from disk when first asked for (labels only, no pictures)."""

    def __init__(self, config: TrialConfig, root: str | Path) -> None:
        self._data, self._root = config.data, Path(root)

    @cached_property
    def action(self) -> VideoSplits:
        return load_videos(self._data.action, self._root)

    @cached_property
    def privacy(self) -> StillSplits:
        return load_stills(self._data.privacy, self._root)

    @cached_property
    def action_evaluation(self) -> VideoSplits:
        same = self._data.action_evaluation == self._data.action
        return self.action if same else load_videos(self._data.action_evaluation, self._root)

    @cached_property
    def privacy_evaluation(self) -> StillSplits:
        same = self._data.privacy_evaluation == self._data.privacy
        return self.privacy if same else load_stills(self._data.privacy_evaluation, self._root)

    def require(self) -> None:
        """Raises DataError if a split that a stage needs is missing or empty."""
        for name in ("action", "privacy", "action_evaluation", "privacy_evaluation"):
            splits: VideoSplits | StillSplits = getattr(self, name)
            needed = ("train", "validation", "test") if name.endswith("evaluation") else ("train",)
            for split in needed:
                if not getattr(splits, split):
                    raise DataError(f"{splits.name}: no {split} items, but it is the data set for {name}; choose another")


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a trial. `depends_on` is everything its key is the hash of; `inputs` maps a role to a stage's name."""

    stage: Stage
    key: str
    depends_on: Mapping[str, Any]
    inputs: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.stage.name


@dataclass(frozen=True)
class TrialPlan:
    config: TrialConfig
    stages: tuple[PlannedStage, ...]

    @property
    def key(self) -> str:
        """Identity of the trial: equal for equal stages, on any machine."""
        return digest([self.config.method, [stage.key for stage in self.stages]])


def plan_trial(config: TrialConfig, data: TrialData) -> TrialPlan:
    """The stages of `config` in order. Raises ConfigError for an unknown method, DataError for unusable data."""
    method = METHODS[config.method]
    stages = [*method.stages, EVALUATE_ACTION, EVALUATE_PRIVACY]
    if config.evaluate_privacy.clips and data.action_evaluation.attributes:
        stages.append(EVALUATE_CLIP_PRIVACY)
    planned: dict[str, PlannedStage] = {}
    for stage in stages:
        inputs = {role: (method.anonymizer if role == ANONYMIZER else role) for role in stage.inputs}
        known = {role: name for role, name in inputs.items() if name is not None}
        fields = [field for field in stage.fields if method.anonymizer or field != "anonymizer"]
        depends_on = {
            "stage": stage.name,
            "version": stage.version,
            "config": {field: _semantic(_field(config, field)) for field in fields},
            "data": {name: getattr(data, name).fingerprint for name in stage.data},
            "inputs": {role: planned[name].key for role, name in known.items()},
        }
        planned[stage.name] = PlannedStage(stage, digest(depends_on), depends_on, known)
    return TrialPlan(config, tuple(planned.values()))


def _field(config: TrialConfig, dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = getattr(value, part)
    return value


def _semantic(value: Any) -> Any:
    """A config value as JSON, with a file of weights replaced by its content's hash: a path means nothing elsewhere."""
    if isinstance(value, Frozen):
        return {key: _weights(item) if key.endswith("weights") else _semantic(item) for key, item in value}
    if isinstance(value, BaseModel):
        raise TypeError(f"{type(value).__name__} is no part of a TrialConfig")
    return list(value) if isinstance(value, tuple) else value


def _weights(value: str | None) -> str | None:
    if value is None or not Path(value).is_file():
        return value
    with Path(value).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
