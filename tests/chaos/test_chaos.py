"""The chaos run in short: a worker, MLflow and the driver die, and nothing is lost or doubled. `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest
from chaos import ChaosStudy, run_chaos, table
from chaos_space import SETTINGS, SHORT
from faults import kill_driver, kill_trial, stop_mlflow

FEWER_EPOCHS = {key: value // 2 if "epochs" in key else value for key, value in SETTINGS.items()}


@pytest.mark.timeout(2400)  # more than a busy machine takes
def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    study = ChaosStudy.of(1, FEWER_EPOCHS, tmp_path, SHORT)
    assert sorted(bool(trial.reason) for trial in study.expected.values()) == [False] * 3 + [True]
    faults = (kill_trial, stop_mlflow, kill_driver)
    result = run_chaos(study, faults, seed=0, isolated=False, keep=tmp_path / "kept", workers=1)
    assert list(result.injected) == [fault.__name__ for fault in faults]
    assert result.submissions > 1
    assert not any(result.found.values()), f"{result.found}\n{table({'seed 0': result}, study.expected)}"
