"""What a trial will do: its stages with their keys, from the config and the fingerprints of its data. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainables.attacks import attack_names, attack_parts
from trainables.config import ObfuscationConfig, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.fields import key_values, visible
from trainables.methods import method_of, resolved
from trainables.methods.obfuscation import DETECT
from trainables.plugins import plugin_digests
from trainables.stages import (
    ANONYMIZER,
    EVALUATE_ACTION,
    EVALUATE_CLIP_PRIVACY,
    EVALUATE_PRIVACY,
    RAW_ACTION,
    TEST_DEPLOYED,
    TEST_PRIVACY,
    Control,
    Stage,
    StagePart,
    part_name,
)
from trainables.store import digest


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
        return self.config.obfuscation if _needs_boxes(self.stage, self.config) else None

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
        return next((stage.key for stage in self.stages if stage.name == source), self.stages[0].key)


def neighbours(plans: Sequence[TrialPlan]) -> list[list[int]]:
    """For each trial, the numbers of the others that have an evaluator which can share a pass with one of its own."""
    by_pass: dict[str, dict[str, int]] = {}  # pass key -> key of an evaluator -> one trial that has it
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
    parts = {stage.name: StagePart(stage) for stage in _training_stages(config)} | _evaluation_parts(config, data)
    planned: dict[str, PlannedStage] = {}
    same: dict[str, str] = {}  # roles of controls that are equal to another stage of the trial, and the role of that stage
    for role, part in parts.items():
        inputs = {name: same.get(other, other) for name, other in _inputs(part, parts, config).items()}
        stage = _planned(role, part, {name: planned[other] for name, other in inputs.items()}, config, data)
        twin = next((name for name, other in planned.items() if other.key == stage.key), None)
        if part.control and part.attack and twin is not None:
            same[role] = twin
        else:
            planned[role] = stage
    return TrialPlan(config, tuple(planned.values()))


def _training_stages(config: TrialConfig) -> list[Stage]:
    return [stage for stage in method_of(config).stages if stage != DETECT or config.obfuscation.detector is not None]


def _method_config(part: StagePart, config: TrialConfig) -> TrialConfig:
    """The configuration that a part of a trial runs with: that of another method for a control, and for an f_B' that is
    trained on raw images.
    """
    if part.control == "permuted":
        config = config.model_copy(update={"attacks": config.attacks.model_copy(update={"permuted": True})})
    on_raw = part.control == "permuted" or (part.stage == EVALUATE_PRIVACY and config.attacker == "raw")
    other = "raw" if on_raw else part.control
    return resolved(config.model_copy(update={"method": other, "options": {}})) if other else config


def _inputs(part: StagePart, parts: Mapping[str, StagePart], config: TrialConfig) -> dict[str, str]:
    """The roles of the inputs of a part, by the names its code knows. A control has the same kind of control as its input
    where there is one, and the f_T' of the raw trial. With exchanged labels, networks that were trained on raw frames have
    learned those.
    """
    own = _method_config(part, config)
    source = method_of(config).anonymizer if own is config else None
    found: dict[str, str] = {}
    for name in part.stage.inputs:
        if name == ANONYMIZER:
            if source is not None:
                found[name] = source
        elif part.control and part.attack:
            control = part_name(name.partition(".")[0] if part.control == "permuted" else name, part.control)
            found[name] = control if control in parts else RAW_ACTION if name == EVALUATE_ACTION.name else name
        else:
            found[name] = name
    if _needs_boxes(part.stage, own) and config.obfuscation.detector is not None:
        found[DETECT.name] = DETECT.name
    return found


def _needs_boxes(stage: Stage, config: TrialConfig) -> bool:
    return method_of(config).boxes and ANONYMIZER in stage.inputs


def _planned(
    role: str, part: StagePart, inputs: Mapping[str, PlannedStage], config: TrialConfig, data: TrialData
) -> PlannedStage:
    stage, own = part.stage, _method_config(part, config)
    values = key_values(stage, own)
    depends_on = {
        "stage": stage.name,
        "version": stage.version,
        "config": values,
        "data": {name: getattr(data, name).fingerprint for name in stage.data},
        "inputs": {name: other.key for name, other in inputs.items()},
    }
    if _needs_boxes(stage, own):
        depends_on["boxes"] = _boxes(config.obfuscation, stage, data)
    if plugins := plugin_digests(stage.run.__module__, values):
        depends_on["plugins"] = plugins
    return PlannedStage(
        role=role,
        stage=stage,
        key=digest(depends_on),
        depends_on=depends_on,
        inputs={name: other.role for name, other in inputs.items()},
        config=own,
        steps=_steps(stage, own, data),
        control=part.control,
        reported=part.reported,
        attack=part.attack,
    )


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


def _evaluation_parts(config: TrialConfig, data: TrialData) -> dict[str, StagePart]:
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
    if names:
        leakages = [part.stage.name for part in parts if part.reported and part.stage != EVALUATE_ACTION]
        roles |= attack_parts(names, config, data, tuple(leakages))
    return roles
