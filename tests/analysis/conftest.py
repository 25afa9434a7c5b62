"""Databases that are costly to create are created once a session, for all its processes; tests that write copy one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from analysis.read.study import RecordedStudy, read_study
from tests.support.fake_studies import FakeTrial, planned_trials, sweep_of_budget, write_study
from tests.support.sharing import made_once


def uri_in(folder: Path) -> str:
    """The URI of the database in a folder."""
    return f"sqlite:///{folder / 'mlflow.db'}"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without studies: created once a session, because creating one takes seconds."""
    folder = made_once(
        tmp_path_factory, "empty_store", lambda made: MlflowClient(tracking_uri=uri_in(made)).search_experiments()
    )
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with a full study, `ablation_B.generated`, that tests only read."""

    def make(folder: Path) -> None:
        shutil.copy(empty_store, folder)
        write_study(uri_in(folder), folder / "artifacts", "ablation_B", "generated", sweep_of_budget())

    return uri_in(made_once(tmp_path_factory, "full_store", make))


@pytest.fixture(scope="session")
def study(store: str) -> RecordedStudy:
    return read_study("ablation_B", tracking_uri=store)


@pytest.fixture(scope="session")
def paper_store(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a store with studies of several tables, two profiles, that tests only read."""
    studies = (
        ("generated", "ablation_lambda", 2),
        ("generated", "table1_vphmdb51", 2),
        ("generated", "table6_raw_attacker", 1),
        ("generated", "table7_privacy_backbones", 1),
        ("generated", "table8_privacy_backbones_imagenet", 1),
        ("paper", "table1_ucf101", 1),
        ("paper", "table5_action_backbones", 1),
    )

    def make(folder: Path) -> None:
        shutil.copy(empty_store, folder)
        for profile, space, seeds in studies:
            write_study(uri_in(folder), folder / "artifacts", space, profile, planned_trials(space, profile, seeds))

    return uri_in(made_once(tmp_path_factory, "paper_store", make))


@pytest.fixture
def make_study(empty_store: Path, tmp_path: Path) -> Callable[..., RecordedStudy]:
    """Writes trials into a store of the test's own and reads them back as a study."""
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    uri = uri_in(tmp_path)

    def make(
        trials: list[FakeTrial], space: str = "toy", profile: str = "small", plan: list[dict[str, Any]] | None = None
    ) -> RecordedStudy:
        write_study(uri, tmp_path / "artifacts", space, profile, trials, plan)
        return read_study(space, profile, uri)

    return make
