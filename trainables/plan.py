"""What a trial will do: its stages with their keys, from the config and the fingerprints of its data. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from trainables.attacks import attack_names, attack_parts, tried
from trainables.config import MinimaxConfig, ObfuscationConfig, TrialConfig
from trainables.data.decoding.resizing import RESIZING
from trainables.data.items import DataError
from trainables.data.trial_data import TrialData
from trainables.fields import key_values, visible
from trainables.methods import Method, method_of, resolved
from trainables.methods.obfuscation import DETECT
from trainables.plugins import plugin_digests
from trainables.stages import (
    ANONYMIZER,
    BEFORE,
    EVALUATE_ACTION,
    EVALUATE_CLIP_PRIVACY,
    EVALUATE_PRIVACY,
    POSE,
    RAW_ACTION,
    RAW_POSE,
    TEST_DEPLOYED,
    TEST_POSE,
    TEST_PRIVACY,
    Control,
    Stage,
    StagePart,
    part_name,
)
from trainables.store import canonical, digest, digest_of_parts

_OF_A_METHOD = frozenset({"method", "options", "minimax"})  # groups that hardly a stage reads which evaluates


@dataclass(frozen=True)
class PlannedStage:
    """One stage of a trial.

    role: its unique name within the trial, by which records and the `inputs` of other stages refer to it.
    key: the hash of `depends_on`, under which its outcome is stored.
    inputs: the roles of the stages it reads, by the names that its code knows.
    config: the configuration it runs with: the trial's, or for data of another method that method's. Its code is given
    `visible` only.
    steps: how many batches it trains on, or tests on if it only tests.
    control: for a stage that another trial has as well, the method of that trial.
    reported: its metrics are among those of the trial.
    attack: it is part of an attack, or weighs the attacks.
    """

    role: str
    stage: Stage
    key: str
    depends_on: Mapping[str, Any]
    inputs: Mapping[str, str]
    config: TrialConfig
    steps: int
    control: Control = ""
    reported: bool = True
    attack: bool = False

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def visible(self) -> TrialConfig:
        """The part of `config` that is in the key."""
        return visible(self.stage, self.config)

    @property
    def people(self) -> ObfuscationConfig | None:
        """Where people are, for a stage that reads what a method made that changes people only."""
        return self.config.obfuscation if _needs_boxes(self.stage, method_of(self.config)) else None

    @property
    def exchanged(self) -> bool:
        """Whether it reads videos that were anonymized elsewhere beside the originals."""
        return _exchanged(self.stage, method_of(self.config))

    @property
    def pass_key(self) -> str:
        """A key shared by evaluators that see the same anonymized batches, and differ in classifier and learning rate only.

        It is empty for other stages.
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
        """The identity of the trial: equal for equal stages, on any machine."""
        return digest([self.config.method, [stage.key for stage in self.stages]])

    @property
    def anonymizer_key(self) -> str:
        """A key shared by trials that evaluate the same anonymizer."""
        source = method_of(self.config).anonymizer
        return next((stage.key for stage in self.stages if stage.role == source), self.stages[0].key)


def neighbours(plans: Sequence[TrialPlan], most: int = 16) -> list[list[int]]:
    """For each trial, the numbers of others that have an evaluator which can share a pass with one of its own: of each pass at
    most the `most` that follow it in a circle. A pass has room for fewer, and a worker plans each of them anew.
    """
    passes: dict[str, str] = {}  # by the key of an evaluator
    by_pass: dict[str, dict[str, int]] = {}  # pass key -> key of an evaluator -> one trial that has it
    places: dict[str, int] = {}  # of an evaluator in its pass
    for number, plan in enumerate(plans):
        for stage in plan.stages:
            if stage.key not in passes:
                passes[stage.key] = stage.pass_key
            if key := passes[stage.key]:
                sharing = by_pass.setdefault(key, {})
                places.setdefault(stage.key, len(sharing))
                sharing.setdefault(stage.key, number)
    circles = {key: list(sharing.values()) for key, sharing in by_pass.items()}
    found = []
    for number, plan in enumerate(plans):
        near: set[int] = set()
        for stage in plan.stages:
            if key := passes[stage.key]:
                circle, place = circles[key], places[stage.key]
                near.update(circle[(place + step) % len(circle)] for step in range(1, min(most, len(circle) - 1) + 1))
        found.append(sorted(near - {number}))
    return found


def plan_trial(config: TrialConfig, data: TrialData) -> TrialPlan:
    """The stages of `config` in order. Raises ConfigError for an unknown method, DataError for unusable data."""
    return Planner().plan(config, data)


class Planner:
    """Plans the trials of a study. What the key of a stage holds of a config is worked out once for all trials that agree in
    it. The data and the files of weights must not change meanwhile.
    """

    def __init__(self) -> None:
        self._own: dict[tuple[Stage, str, int], _Own] = {}
        self._keys: dict[tuple[Hashable, ...], tuple[dict[str, Any], str]] = {}
        self._controls: dict[tuple[str, bool, str], _Config] = {}
        self._attack_parts = cache(attack_parts)

    def plan(self, config: TrialConfig, data: TrialData) -> TrialPlan:
        """See `plan_trial`."""
        config = resolved(config)
        _require_clip_labels(config, data)
        parts = {stage.name: StagePart(stage) for stage in _training_stages(config)} | self._evaluation_parts(config, data)
        return TrialPlan(config, tuple(self._stages(config, data, parts).values()))

    def _evaluation_parts(self, config: TrialConfig, data: TrialData) -> dict[str, StagePart]:
        """What evaluates the anonymizer, by role."""
        tests_others = config.data.test_privacy is not None or config.attacker == "raw"
        parts = [StagePart(EVALUATE_ACTION), StagePart(EVALUATE_PRIVACY, reported=not tests_others)]
        if tests_others:
            parts.append(StagePart(TEST_PRIVACY))
        if config.evaluate_privacy.clips and data.clips_with_attributes.attributes:
            parts.append(StagePart(EVALUATE_CLIP_PRIVACY))
        roles = {part.stage.name: part for part in parts}
        names = attack_names(config)
        if config.test_deployed or names:
            roles[RAW_ACTION] = StagePart(EVALUATE_ACTION, control="raw", reported=False)
        if config.test_deployed:
            roles[TEST_DEPLOYED.name] = StagePart(TEST_DEPLOYED)
        if config.test_pose:
            roles |= {POSE.name: StagePart(POSE, reported=False), RAW_POSE: StagePart(POSE, control="raw", reported=False)}
            roles[TEST_POSE.name] = StagePart(TEST_POSE)
        if names:
            leakages = [part.stage.name for part in parts if part.reported and part.stage != EVALUATE_ACTION]
            roles |= self._attack_parts(tried(names, config, data), data.attacked, tuple(leakages))
        return roles

    def _stages(self, config: TrialConfig, data: TrialData, parts: Mapping[str, StagePart]) -> dict[str, PlannedStage]:
        configs = _Configs(config, self._controls)
        planned: dict[str, PlannedStage] = {}
        first: dict[str, str] = {}  # role by key
        same: dict[str, str] = {}  # roles of controls that are equal to another stage of the trial, and the role of that stage
        for role, part in parts.items():
            if BEFORE in part.stage.inputs:
                planned |= self._before(config, data)
            own = configs.of(part)
            inputs = {name: planned[same.get(other, other)] for name, other in _inputs(part, parts, own).items()}
            stage = self._planned(role, part, inputs, own, data)
            twin = first.setdefault(stage.key, role)
            if part.control and part.attack and twin != role:
                same[role] = twin
            else:
                planned[role] = stage
        return planned

    def _before(self, config: TrialConfig, data: TrialData) -> dict[str, PlannedStage]:
        """By role, the stages that train the networks from which those of a trial go on, and those from which they went on."""
        continues = method_of(config).continues
        assert continues is not None
        earlier = resolved(continues(config))
        parts = {stage.name: StagePart(stage) for stage in method_of(earlier).training}
        last = method_of(earlier).anonymizer

        def here(role: str) -> str:
            return BEFORE if role == last else f"{BEFORE}.{role}" if role.startswith(BEFORE) else role

        found = self._stages(earlier, data, parts).values()
        return {
            here(stage.role): replace(
                stage,
                role=here(stage.role),
                inputs={name: here(role) for name, role in stage.inputs.items()},
                reported=False,
            )
            for stage in found
            if stage.role == last or stage.role.startswith(BEFORE)
        }

    def _planned(
        self, role: str, part: StagePart, inputs: Mapping[str, PlannedStage], own: _Config, data: TrialData
    ) -> PlannedStage:
        stage = part.stage
        boxes = _boxes(own.config.obfuscation, stage, data) if _needs_boxes(stage, own.method) else {}
        twins = {name: data.twins(name) for name in stage.data} if _exchanged(stage, own.method) else {}
        upstream = tuple((name, other.key) for name, other in inputs.items())
        known = (stage, own.seen_by(stage), id(data))
        alone = self._own.get(known)
        if alone is None:
            alone = self._own[known] = _Own.of(stage, own.config, data)
        whole = alone, upstream, repr((boxes, twins)) if boxes or twins else ""
        if whole not in self._keys:
            depends_on = {**alone.depends_on, "inputs": dict(upstream)}
            more = {"boxes": boxes, "twins": twins, "plugins": alone.plugins, "resizing": alone.resizing}
            depends_on |= {name: part for name, part in more.items() if part}
            texts = {name: alone.texts.get(name) or canonical(value) for name, value in depends_on.items()}
            self._keys[whole] = depends_on, digest_of_parts(texts)
        depends_on, key = self._keys[whole]
        return PlannedStage(
            role=role,
            stage=stage,
            key=key,
            depends_on=depends_on,
            inputs={name: other.role for name, other in inputs.items()},
            config=own.config,
            steps=alone.steps,
            control=part.control,
            reported=part.reported,
            attack=part.attack,
        )


@dataclass(frozen=True, eq=False)
class _Own:
    """What a stage depends on but for its inputs and boxes, and its steps; equal to itself alone. `data` lives as long as its
    id is a key.
    """

    depends_on: dict[str, Any]
    texts: dict[str, str]  # of each of these, for the key
    plugins: dict[str, str]
    resizing: int
    steps: int
    data: TrialData

    @staticmethod
    def of(stage: Stage, config: TrialConfig, data: TrialData) -> _Own:
        values = key_values(stage, config)
        depends_on = {
            "stage": stage.name,
            "version": stage.version,
            "config": values,
            "data": {name: getattr(data, name).fingerprint for name in stage.data},
        }
        plugins = plugin_digests(stage.run.__module__, values)
        texts = {name: canonical(value) for name, value in depends_on.items()}
        return _Own(depends_on, texts, plugins, _resizing(stage, config, data), _steps(stage, config, data), data)


class _Config:
    """A resolved config with its method, and its values as text, which tells 1 from 1.0 and from True as keys do."""

    def __init__(self, config: TrialConfig) -> None:
        self.config, self.method, values = config, method_of(config), config.model_dump(mode="json")
        self.values = values
        # what `key_values` reads besides the fields that a stage names
        everywhere = [values[name] for name in ("method", "options", "microbatch", "anonymizer")]
        self._everywhere = repr([*everywhere, bool(config.minimax.penalty_weight)])
        self._texts, self._seen = _Texts(values), dict[tuple[str, ...], str]()

    def seen_by(self, stage: Stage) -> str:
        """All that `key_values` of a stage depends on, as text; its number of steps depends on nothing else of a config."""
        if stage.fields not in self._seen:
            texts = self._texts
            self._seen[stage.fields] = self._everywhere + ",".join([texts[name] for name in stage.fields])
        return self._seen[stage.fields]


class _Texts(dict[str, str]):
    """The values of dotted fields as text."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, dotted: str) -> str:
        value: Any = self._values
        for part in dotted.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        self[dotted] = repr(value)
        return self[dotted]


class _Configs:
    """The configs that the parts of a trial run with: the trial's, at the size `evaluate_at` for what comes after the training
    of its anonymizer; and for a control, or an f_B' that is trained on raw images, that of another method.

    `controls`: those of other trials. One whose stage reads nothing of `_OF_A_METHOD` has the minimax of nobody, and is shared
    by all trials that differ in it.
    """

    def __init__(self, config: TrialConfig, controls: dict[tuple[str, bool, str], _Config]) -> None:
        self.config, self._training = config, {stage.name for stage in method_of(config).training}
        self._trained = _Config(config)
        self._own = self._trained if config.evaluate_at is None else _Config(config.as_evaluated)
        self._controls = controls

    def of(self, part: StagePart) -> _Config:
        if part.stage.name in self._training:
            return self._trained
        permuted = part.control == "permuted"
        on_raw = permuted or (part.stage == EVALUATE_PRIVACY and self.config.attacker == "raw")
        other = "raw" if on_raw else part.control
        if not other:
            return self._own
        alone = bool(_OF_A_METHOD & {name.partition(".")[0] for name in part.stage.fields})
        known = other, permuted, self._whole if alone else self._without_method
        if known not in self._controls:
            values: dict[str, Any] = {"method": other, "options": {}}
            if not alone:
                values["minimax"] = MinimaxConfig()
            if permuted:
                values["attacks"] = self.config.attacks.model_copy(update={"permuted": True})
            self._controls[known] = _Config(resolved(self._own.config.model_copy(update=values)))
        return self._controls[known]

    @cached_property
    def _whole(self) -> str:
        return repr(self._own.values)

    @cached_property
    def _without_method(self) -> str:
        return repr({name: value for name, value in self._own.values.items() if name not in _OF_A_METHOD})


def _require_clip_labels(config: TrialConfig, data: TrialData) -> None:
    """Raises DataError for a method that learns private attributes from clips which carry none."""
    if method_of(config).clip_labels and not data.action.attributes:
        raise DataError(
            f"{data.action.name}: no attributes of its clips, from which {config.method} learns what to hide; label them"
            " (clip_attributes.csv), choose another set as data.action.name, or leave the method out"
        )


def _training_stages(config: TrialConfig) -> list[Stage]:
    return [stage for stage in method_of(config).stages if stage != DETECT or config.obfuscation.detector is not None]


def _inputs(part: StagePart, parts: Mapping[str, StagePart], own: _Config) -> dict[str, str]:
    """The roles of the inputs of a part, which runs with `own`, by the names its code knows. A control has the same kind of
    control as its input where there is one, and the f_T' of the raw trial. With exchanged labels, networks that were trained
    on raw frames have learned those.
    """
    source = own.method.anonymizer
    found: dict[str, str] = {}
    for name in part.stage.inputs:
        if name == ANONYMIZER:
            if source is not None:
                found[name] = source
        elif part.control:
            control = part_name(name.partition(".")[0] if part.control == "permuted" else name, part.control)
            found[name] = control if control in parts else RAW_ACTION if name == EVALUATE_ACTION.name else name
        else:
            found[name] = name
    if _needs_boxes(part.stage, own.method) and own.config.obfuscation.detector is not None:
        found[DETECT.name] = DETECT.name
    return found


def _exchanged(stage: Stage, method: Method) -> bool:
    return method.exchanged and ANONYMIZER in stage.inputs


def _needs_boxes(stage: Stage, method: Method) -> bool:
    return method.boxes and ANONYMIZER in stage.inputs


def _resizing(stage: Stage, config: TrialConfig, data: TrialData) -> int:
    """The version of how videos are resized, for a stage that reads resized ones; otherwise 0."""
    reads = "clip" in stage.fields or "clip.decode_size" in stage.fields
    return RESIZING if reads and any(data.resized(name, config.clip.decode_size) for name in stage.data) else 0


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
    epochs = config.attack_epochs if group is config.attacks else group.epochs
    splits = getattr(data, stage.data[0])
    batches = math.ceil(len(splits.train) / group.batch_size)
    if stage.evaluator and config.refit:  # at most: as many epochs again
        batches += math.ceil((len(splits.train) + len(splits.validation)) / group.batch_size)
    return networks * epochs * batches


def _boxes(settings: ObfuscationConfig, stage: Stage, data: TrialData) -> dict[str, Any]:
    """What a stage that reads obfuscated data owes to the boxes of people. Those of a detector are an input of their own."""
    files = {} if settings.detector is not None else {name: data.boxes(settings, name).fingerprint for name in stage.data}
    return {"files": files, "every": settings.every, "margin": settings.margin}
