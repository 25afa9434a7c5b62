"""One stage of a trial whose networks have not been trained, for any method and its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.stages import stage_context
from trainables.config import TrialConfig, with_values
from trainables.execution.context import StageContext
from trainables.methods import resolved
from trainables.store import Outcome
from trainables.training import reconstruct, warm_up

UNTRAINED = {"reconstruct.epochs": 0, "warm_up.epochs": 0}
# as few of the steps of each method as still do everything once
SHORT: dict[str, dict[str, Any]] = {
    "tedspad": {},
    "vita": {
        "options.ensemble": 2,
        "options.retrain_steps": 2,
        "options.restart_every": 4,
        "options.privacy_steps": 2,
        "options.action_steps": 2,
    },
    "mass": {},
    "stprivacy": {},
    "bdq": {},
}

At = Callable[..., StageContext]


@pytest.fixture(scope="session")
def short() -> dict[str, dict[str, Any]]:
    return SHORT


@pytest.fixture
def at(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> At:
    """(method, values) -> the context of the method's own stage."""

    def build(method: str, values: Mapping[str, Any] | None = None) -> StageContext:
        settings = {**UNTRAINED, **SHORT.get(method, {}), **(values or {})}
        config = resolved(with_values(tiny_config.model_copy(update={"method": method}), settings))
        inputs: dict[str, Outcome] = {}

        def stage(name: str) -> StageContext:
            return stage_context(name, config, tiny_data, tmp_path, inputs)

        inputs["reconstruct"] = reconstruct.run(stage("reconstruct"))
        inputs["warm_up"] = warm_up.run(stage("warm_up"))
        return stage(method)

    return build
