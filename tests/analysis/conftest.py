"""Databases that are costly to create are created once a session; tests that write copy one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from analysis.read.study import RecordedStudy, read_study
from tests.support.fake_studies import FakeTrial, planned_trials, sweep_of_budget, write_study


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without studies: created once a session, because creating one takes seconds."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with a full study, `ablation_B.generated`, that tests only read."""
    folder = tmp_path_factory.mktemp("full")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    write_study(uri, folder / "artifacts", "ablation_B", "generated", sweep_of_budget())
    return uri


@pytest.fixture(scope="session")
def study(store: str) -> RecordedStudy:
    return read_study("ablation_B", tracking_uri=store)


@pytest.fixture(scope="session")
def paper_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with studies of several tables, two profiles, that tests only read."""
    folder = tmp_path_factory.mktemp("paper")
    shutil.copy(empty_store, folder / "mlflow.db")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    for profile, space, seeds in (
        ("generated", "ablation_lambda", 2),
        ("generated", "table1_vphmdb51", 2),
        ("generated", "table6_raw_attacker", 1),
        ("generated", "table7_privacy_backbones", 1),
        ("generated", "table8_privacy_backbones_imagenet", 1),
        ("paper", "table1_ucf101", 1),
        ("paper", "table5_action_backbones", 1),
    ):
        write_study(uri, folder / "artifacts", space, profile, planned_trials(space, profile, seeds))
    return uri


@pytest.fixture
def make_study(empty_store: Path, tmp_path: Path) -> Callable[..., RecordedStudy]:
    """Writes trials into a store of the test's own and reads them back as a study."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"

    def make(
        trials: list[FakeTrial], space: str = "toy", profile: str = "small", plan: list[dict[str, Any]] | None = None
    ) -> RecordedStudy:
        write_study(uri, tmp_path / "artifacts", space, profile, trials, plan)
        return read_study(space, profile, uri)

    return make
