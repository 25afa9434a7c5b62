"""What a trial will do: its stages with their keys, from the config and the fingerprints of its data. Needs no torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainables.config import ActionData, Frozen, MinimaxConfig, PrivacyData, TrialConfig
from trainables.data.items import DataError, StillSplits, VideoSplits
from trainables.data.registry import load_stills, load_videos
from trainables.methods import method_of, resolved
from trainables.stages import (
    ANONYMIZER,
    EVALUATE_ACTION,
    EVALUATE_CLIP_PRIVACY,
    EVALUATE_PRIVACY,
    TEST_PRIVACY,
    Stage,
)
from trainables.store import digest


class TrialData:
    """The data sets of a trial, each read from disk when first asked for (labels only, no pictures)."""

    def __init__(self, config: TrialConfig, root: str | Path) -> None:
        self._data, self._root = config.data, Path(root)
        self._videos: dict[ActionData, VideoSplits] = {}
        self._stills: dict[PrivacyData, StillSplits] = {}

    @property
    def action(self) -> VideoSplits:
        return self._read_videos(self._data.action)

    @property
    def privacy(self) -> StillSplits:
        return self._read_stills(self._data.privacy)

    @property
    def action_evaluation(self) -> VideoSplits:
        return self._read_videos(self._data.action_evaluation)

    @property
    def privacy_evaluation(self) -> StillSplits:
        return self._read_stills(self._data.privacy_evaluation)

    @property
    def privacy_test(self) -> StillSplits:
        return self._read_stills(self._data.test_privacy or self._data.privacy_evaluation)

    @property
    def clips_with_attributes(self) -> VideoSplits:
        return self._read_videos(self._data.clips_with_attributes)

    def require(self) -> None:
        """Raises DataError if a split that a stage needs is missing or empty, or an attribute has no answer."""
        judged = ("train", "validation", "test")
        needed = {
            "action": ("train",),
            "privacy": ("train",),
            "action_evaluation": judged,
            "privacy_evaluation": judged if self._data.test_privacy is None else judged[:2],
            "privacy_test": ("test",),
        }
        for name, parts in needed.items():
            splits: VideoSplits | StillSplits = getattr(self, name)
            for split in parts:
                if not getattr(splits, split):
                    raise DataError(f"{splits.name}: no {split} items, but it is the data set for {name}; choose another")
        if self._data.clip_privacy is not None and not self.clips_with_attributes.attributes:
            raise DataError(f"{self.clips_with_attributes.name}: no attributes, but it is data.clip_privacy; choose another")
        if self._data.test_privacy is not None:
            answers = self._data.test_privacy.sources(self.privacy_test.attributes)
            for splits, names in (
                (self.privacy_test, tuple(answers)),
                (self.privacy_evaluation, tuple(name for some in answers.values() for name in some)),
            ):
                if unknown := [name for name in names if name not in splits.attributes]:
                    raise DataError(
                        f"data.test_privacy: {splits.name} has no attribute {unknown[0]!r}, it has"
                        f" {', '.join(splits.attributes)}; set data.test_privacy.attribute_map"
                    )

    def _read_videos(self, data: ActionData) -> VideoSplits:
        if data not in self._videos:
            self._videos[data] = load_videos(data, self._root)
        return self._videos[data]

    def _read_stills(self, data: PrivacyData) -> StillSplits:
        if data not in self._stills:
            self._stills[data] = load_stills(data, self._root)
        return self._stills[data]


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a trial. `depends_on` is everything its key is the hash of; `inputs` maps a role to a stage's name.

    `config` is the trial's, but for a judge that is trained on raw data.
    """

    stage: Stage
    key: str
    depends_on: Mapping[str, Any]
    inputs: Mapping[str, str]
    config: TrialConfig

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
    config = resolved(config)
    method = method_of(config)
    planned: dict[str, PlannedStage] = {}
    for stage in (*method.stages, *_judging_stages(config, data)):
        source = method.anonymizer
        judged = config
        if stage == EVALUATE_PRIVACY and config.attacker == "raw":  # the same stage as that of the raw trial
            source, judged = None, resolved(config.model_copy(update={"method": "raw", "options": {}}))
        inputs = {role: (source if role == ANONYMIZER else role) for role in stage.inputs}
        known = {role: name for role, name in inputs.items() if name is not None}
        trained = stage in method.stages or source is not None
        depends_on = {
            "stage": stage.name,
            "version": stage.version,
            "config": {field: _semantic(_field(judged, field, trained)) for field in stage.fields},
            "data": {name: getattr(data, name).fingerprint for name in stage.data},
            "inputs": {role: planned[name].key for role, name in known.items()},
        }
        planned[stage.name] = PlannedStage(stage, digest(depends_on), depends_on, known, judged)
    return TrialPlan(config, tuple(planned.values()))


def _judging_stages(config: TrialConfig, data: TrialData) -> list[Stage]:
    stages = [EVALUATE_ACTION, EVALUATE_PRIVACY]
    if config.data.test_privacy is not None or config.attacker == "raw":
        stages.append(TEST_PRIVACY)
    if config.evaluate_privacy.clips and data.clips_with_attributes.attributes:
        stages.append(EVALUATE_CLIP_PRIVACY)
    return stages


def _field(config: TrialConfig, dotted: str, trained: bool) -> Any:
    """What of a field matters: a network that nobody trains is its name; without a penalty nothing of it counts."""
    if dotted == "anonymizer" and not trained:
        return {"name": config.anonymizer.name, "options": dict(config.options)}
    value: Any = config
    for part in dotted.split("."):
        value = None if value is None else getattr(value, part)
    if isinstance(value, MinimaxConfig) and value.penalty_weight == 0:
        return value.model_copy(update={"distortion_budget": 0.0, "penalty_scope": "clip", "penalty_norm": "absolute"})
    return value


def _semantic(value: Any) -> Any:
    """A config value as JSON, with a file of weights replaced by its content's hash: a path means nothing elsewhere."""
    if isinstance(value, Frozen):
        return {key: _weights(item) if key.endswith("weights") else _semantic(item) for key, item in value}
    if isinstance(value, BaseModel):
        raise TypeError(f"{type(value).__name__} is no part of a TrialConfig")
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _weights(value: str | None) -> str | None:
    if value is None or not Path(value).is_file():
        return value
    with Path(value).open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
