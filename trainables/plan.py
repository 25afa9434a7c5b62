"""What a trial will do: its stages with their keys, from the config and the fingerprints of its data. Needs no torch."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from trainables.attacks import ATTACKS, CLIPS, CONTROLS, LABELLED_CLIPS, PEOPLE, attack_names, stages_of
from trainables.attacks.people import search_of
from trainables.config import ActionData, Frozen, MinimaxConfig, ObfuscationConfig, PrivacyData, TrialConfig
from trainables.data.boxes import Boxes, boxes_file, read_boxes
from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits
from trainables.data.registry import load_stills, load_videos
from trainables.methods import method_of, resolved
from trainables.plugins import plugin_digests
from trainables.stages import (
    ANONYMIZER,
    DETECT,
    EVALUATE_ACTION,
    EVALUATE_CLIP_PRIVACY,
    EVALUATE_PRIVACY,
    RAW_ACTION,
    TEST_DEPLOYED,
    TEST_PRIVACY,
    Stage,
)
from trainables.store import digest

# The judges whose leakage is weighed with that of the attacks.
_LEAKAGE = (EVALUATE_PRIVACY.name, TEST_PRIVACY.name, EVALUATE_CLIP_PRIVACY.name)


class TrialData:
    """The data sets of a trial, each read from disk when first asked for (labels only, no pictures).

    What was read for `like`, another trial under the same root, is not read again.
    """

    def __init__(self, config: TrialConfig, root: str | Path, like: TrialData | None = None) -> None:
        self._data, self._root = config.data, Path(root)
        self._videos: dict[ActionData, VideoSplits] = {} if like is None else like._videos
        self._stills: dict[PrivacyData, StillSplits] = {} if like is None else like._stills
        self._boxes: dict[tuple[Path, int], Boxes] = {} if like is None else like._boxes
        self._complete: set[tuple[str, Path, int]] = set()

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

    @property
    def attacked(self) -> str:
        """The data set that attackers of attributes look at: the action clips where they carry labels, otherwise the images."""
        return CLIPS if self.clips_with_attributes.attributes else "privacy_evaluation"

    def items(self, name: str) -> tuple[Video | Still, ...]:
        """What the judges look at of the data set `name`."""
        splits: VideoSplits | StillSplits = getattr(self, name)
        return splits.test if name == "privacy_test" else (*splits.train, *splits.validation, *splits.test)

    def boxes(self, settings: ObfuscationConfig, name: str) -> Boxes:
        """The file of people's boxes for the data set `name`. Raises DataError where there is none, or it misses an item."""
        where: ActionData | PrivacyData = (
            self._data.test_privacy or self._data.privacy_evaluation if name == "privacy_test" else getattr(self._data, name)
        )
        path = boxes_file(settings.boxes, self._root, where.folder)
        if (path, settings.every) not in self._boxes:
            self._boxes[path, settings.every] = read_boxes(path, settings.every)
        boxes = self._boxes[path, settings.every]
        if (name, path, settings.every) not in self._complete:
            boxes.require(self.items(name), getattr(self, name).name)
            self._complete.add((name, path, settings.every))
        return boxes

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
    """One stage of a trial. `depends_on` is everything its key is the hash of.

    `role` is its name within the trial, by which `inputs`, from the names its code knows, and records refer to it. `config`
    is the trial's, but for a judge that is trained on raw data; `steps` are the batches it trains on.
    """

    role: str
    stage: Stage
    key: str
    depends_on: Mapping[str, Any]
    inputs: Mapping[str, str]
    config: TrialConfig
    steps: int

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def pass_key(self) -> str:
        """Equal for evaluators that see the same anonymized batches and differ in their classifier and learning rate only.
        Empty for other stages.
        """
        if not self.stage.evaluator:
            return ""
        group, config = self.stage.trains, dict(self.depends_on["config"])
        config[group] = {name: value for name, value in config[group].items() if name not in ("classifier", "learning_rate")}
        return digest({**self.depends_on, "config": config})


@dataclass(frozen=True)
class TrialPlan:
    config: TrialConfig
    stages: tuple[PlannedStage, ...]

    @property
    def key(self) -> str:
        """Identity of the trial: equal for equal stages, on any machine."""
        return digest([self.config.method, [stage.key for stage in self.stages]])

    @property
    def anonymizer_key(self) -> str:
        """Equal for trials that judge the same anonymizer."""
        source = method_of(self.config).anonymizer
        return next((stage.key for stage in self.stages if stage.name == source), self.stages[0].key)


def beside(plans: Sequence[TrialPlan]) -> list[list[int]]:
    """For each trial the others of which a judge could be trained beside one of its own."""
    by_pass: dict[str, dict[str, int]] = {}  # one trial for each judge
    for number, plan in enumerate(plans):
        for stage in plan.stages:
            if key := stage.pass_key:
                by_pass.setdefault(key, {}).setdefault(stage.key, number)
    return [
        sorted({other for stage in plan.stages for other in by_pass.get(stage.pass_key, {}).values()} - {number})
        for number, plan in enumerate(plans)
    ]


def plan_trial(config: TrialConfig, data: TrialData) -> TrialPlan:
    """The stages of `config` in order. Raises ConfigError for an unknown method, DataError for unusable data."""
    config = resolved(config)
    method = method_of(config)
    planned: dict[str, PlannedStage] = {}
    same: dict[str, str] = {}  # roles of controls that another stage of the trial plays already, and its role
    detects = config.obfuscation.detector is not None
    roles = {stage.name: stage for stage in method.stages if stage != DETECT or detects} | _judging_stages(config, data)
    for role, stage in roles.items():
        source, judged = method.anonymizer, config
        control = role.removeprefix(stage.name)
        other = (
            "raw"
            if role == RAW_ACTION or (role == EVALUATE_PRIVACY.name and config.attacker == "raw")
            else CONTROLS.get(control)
        )
        if other is not None:  # the very stage of the trial of another method
            source, judged = None, resolved(config.model_copy(update={"method": other, "options": {}}))
        inputs = {name: (source if name == ANONYMIZER else _role(name, control, roles)) for name in stage.inputs}
        inputs = {name: (None if role is None else same.get(role, role)) for name, role in inputs.items()}
        needs_boxes = method_of(judged).boxes and ANONYMIZER in stage.inputs
        if needs_boxes and detects:
            inputs[DETECT.name] = DETECT.name
        known = {role: name for role, name in inputs.items() if name is not None}
        trained = stage in method.stages or source is not None
        values = {field: _semantic(_field(judged, field, trained)) for field in stage.fields}
        depends_on = {
            "stage": stage.name,
            "version": stage.version,
            "config": values,
            "data": {name: getattr(data, name).fingerprint for name in stage.data},
            "inputs": {role: planned[name].key for role, name in known.items()},
        }
        if needs_boxes:
            depends_on["boxes"] = _boxes(config.obfuscation, stage, data)
        if plugins := plugin_digests(stage.run.__module__, values):
            depends_on["plugins"] = plugins
        key = digest(depends_on)
        twin = next((name for name, stage in planned.items() if stage.key == key), None) if control in CONTROLS else None
        if twin is not None:
            same[role] = twin
        else:
            planned[role] = PlannedStage(role, stage, key, depends_on, known, judged, _steps(stage, judged, data))
    return TrialPlan(config, tuple(planned.values()))


def _role(name: str, control: str, roles: Mapping[str, Stage]) -> str:
    """Who plays the input `name` of a stage: for a control the same kind of control, or the raw trial's stage."""
    if control not in CONTROLS:
        return name
    return name + control if name + control in roles else RAW_ACTION if name == EVALUATE_ACTION.name else name


def _steps(stage: Stage, config: TrialConfig, data: TrialData) -> int:
    """The batches that a stage trains on: the training items of its first data set, once an epoch. For a stage that only
    tests: the batches of the test items of its last data set.
    """
    if stage.tests:
        return math.ceil(len(getattr(data, stage.data[-1]).test) / getattr(config, stage.tests).batch_size)
    if not stage.trains:
        return 0
    group = getattr(config, stage.trains)
    networks = getattr(group, "attackers", 1)
    return networks * group.epochs * math.ceil(len(getattr(data, stage.data[0]).train) / group.batch_size)


def _boxes(settings: ObfuscationConfig, stage: Stage, data: TrialData) -> dict[str, Any]:
    """What a judge's figures owe to the boxes of people, those of a detector apart."""
    files = {} if settings.detector is not None else {name: data.boxes(settings, name).fingerprint for name in stage.data}
    return {"files": files, "every": settings.every, "margin": settings.margin}


def _judging_stages(config: TrialConfig, data: TrialData) -> dict[str, Stage]:
    """Stages by the role they play in a trial: their own name but for another trial's stage."""
    stages = [EVALUATE_ACTION, EVALUATE_PRIVACY]
    if config.data.test_privacy is not None or config.attacker == "raw":
        stages.append(TEST_PRIVACY)
    if config.evaluate_privacy.clips and data.clips_with_attributes.attributes:
        stages.append(EVALUATE_CLIP_PRIVACY)
    roles = {stage.name: stage for stage in stages}
    names = attack_names(config)
    if config.test_deployed or names:
        roles[RAW_ACTION] = EVALUATE_ACTION
    if config.test_deployed:
        roles[TEST_DEPLOYED.name] = TEST_DEPLOYED
    if names:
        clips = data.clips_with_attributes
        there = {
            "": True,
            LABELLED_CLIPS: data.attacked == CLIPS,
            PEOPLE: search_of(clips, clips.test, config.attacks.people).asked.any(),
        }
        tried = tuple(name for name in names if there[ATTACKS[name].needs])
        judges = tuple(
            role for role in roles if role in _LEAKAGE and not (role == EVALUATE_PRIVACY.name and TEST_PRIVACY.name in roles)
        )
        roles |= stages_of(tried, data.attacked, judges)
    return roles


def _field(config: TrialConfig, dotted: str, trained: bool) -> Any:
    """What of a field matters: a network that nobody trains is its name; without a penalty nothing of it counts."""
    if dotted == "anonymizer" and not trained:
        return {"name": config.anonymizer.name, "options": dict(config.options)}
    value: Any = config
    for part in dotted.split("."):
        value = None if value is None else getattr(value, part)
    if dotted.endswith("weights"):
        return _weights(value)
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
