"""What a test needs to run a stage, or a trial, on its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainables.config import Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.store import Outcome, StageStore


class SilentReporter:
    """A `trainables.reporter.Reporter` that ignores everything it is told."""

    def epoch(self, *_: object) -> None: ...
    def waiting(self, *_: object) -> None: ...
    def finished(self, *_: object) -> None: ...


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

    `runtime`: further fields of `Runtime`. Other fields of the context are changed with `dataclasses.replace`.
    """
    settings = Runtime(**{"data_root": str(data), "storage": str(storage), "device": "cpu", **runtime})
    work = StageStore(storage).work(stage, key)
    return StageContext(stage, config, settings, TrialData(config, data), inputs or {}, work, lambda *_: None, lambda: False)
