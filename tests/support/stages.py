"""What a test needs to run a stage, or a trial, on its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.attacks import ATTACKS, WEIGH_ATTACKS
from trainables.config import Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.fields import visible
from trainables.methods import METHODS, method_of
from trainables.stages import (
    ATTACKED,
    EVALUATE_ACTION,
    EVALUATE_CLIP_PRIVACY,
    EVALUATE_PRIVACY,
    POSE,
    TEST_DEPLOYED,
    TEST_POSE,
    TEST_PRIVACY,
    WITHOUT_VIDEO,
    Stage,
)
from trainables.store import Outcome, StageStore
from trainables.training import reconstruct, warm_up


class SilentReporter:
    """A `trainables.reporter.Reporter` that ignores everything it is told."""

    def epoch(self, *_: object) -> None: ...
    def waiting(self, *_: object) -> None: ...
    def finished(self, *_: object) -> None: ...


class FakeBatches(list[Any]):
    """In place of a loader: the batches, of which the first is a full one."""

    @property
    def batch_size(self) -> int:
        return len(self[0]["attributes"])


def declared_stage(name: str) -> Stage | None:
    """The stage of this name, of a method, of an attack or of the evaluation; None if there is none."""
    evaluation = (EVALUATE_ACTION, TEST_DEPLOYED, EVALUATE_PRIVACY, TEST_PRIVACY, EVALUATE_CLIP_PRIVACY, POSE, TEST_POSE)
    methods = (stage for method in METHODS for stage in METHODS[method].stages)
    attacks = (stage for attack in ATTACKS for stage in (ATTACKS[attack].stage, *ATTACKS[attack].prepared))
    every = (*evaluation, WITHOUT_VIDEO, WEIGH_ATTACKS, *methods, *attacks)
    return next((stage for stage in every if stage.name == name), None)


def stage_context(
    stage: str,
    config: TrialConfig,
    data: Path,
    storage: Path,
    inputs: Mapping[str, Outcome] | None = None,
    key: str = "k",
    **runtime: Any,
) -> StageContext:
    """The context of a stage on the CPU: with its checkpoints in `storage` under `key`, no reporter, and nobody to stop it.

    As in a trial, one of the project's stages sees what is in its key and nothing else; under another name all is seen.
    `runtime`: further fields of `Runtime`. Other fields of the context are changed with `dataclasses.replace`.
    """
    settings = Runtime(**{"data_root": str(data), "storage": str(storage), "device": "cpu", **runtime})
    work, sets = StageStore(storage).work(stage, key), TrialData(config, data)
    if (declared := declared_stage(stage)) is not None:
        names = [sets.attacked if name == ATTACKED else name for name in declared.data]
        config, sets, whole = visible(declared, config), sets.only(names, declared.name), config
    else:
        whole = config
    people = whole.obfuscation if method_of(whole).boxes else None
    return StageContext(stage, config, settings, sets, inputs or {}, work, lambda *_: None, lambda: False, people)


def minimax_context(config: TrialConfig, data: Path, storage: Path, stage: str = "minimax") -> StageContext:
    """The context of the minimax, or of another method's `stage`, after the stages before it have run."""
    inputs = {"reconstruct": reconstruct.run(stage_context("reconstruct", config, data, storage))}
    inputs["warm_up"] = warm_up.run(stage_context("warm_up", config, data, storage, inputs))
    return stage_context(stage, config, data, storage, inputs)
