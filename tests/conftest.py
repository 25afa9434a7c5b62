"""Shape annotations of the pure modules are checked at every call; a small data set with known truth is made once a session."""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import create_engine, event
from sqlalchemy.engine import Engine

os.environ.setdefault("OMP_NUM_THREADS", "1")
CHECKED = ("trainables.losses", "trainables.data.augment", "trainables.models.axes")
install_import_hook(CHECKED, "beartype.beartype")

from tests.support.environment import FEW_WORKERS
from tests.support.sharing import made_once
from trainables.config import TrialConfig, with_values
from trainables.data.decoding.known import CACHE_VARIABLE
from trainables.data.generated import GeneratedSpec, ensure

os.environ |= FEW_WORKERS
TINY_DATA = GeneratedSpec(train_clips=36, test_clips=24, train_images=32, val_images=12, test_images=32, size=16, frames=12)

TINY = {
    "anonymizer.encoder": "narrow",
    "anonymizer.encoder_weights": None,
    "anonymizer.depth": 2,
    "anonymizer.decoder_channels": (8, 4),
    "anonymizer.output": "linear",
    "action_classifier.name": "narrow3d",
    "action_classifier.weights": None,
    "privacy_encoder.name": "narrow2d",
    "privacy_encoder.weights": None,
    "evaluate_action.classifier.name": "narrow3d",
    "evaluate_action.classifier.weights": None,
    "evaluate_privacy.classifier.name": "narrow2d",
    "clip.frames": 4,
    "clip.skip": 2,
    "clip.size": 16,
    "clip.decode_size": 16,
    "clip.test_clips": 2,
    "reconstruct.epochs": 2,
    "warm_up.epochs": 2,
    "minimax.epochs": 2,
    "evaluate_action.epochs": 2,
    "evaluate_privacy.epochs": 2,
}


# Files that take longest come first: one that starts last leaves a core with nothing to do. Those with a Ray of their own
# are many processes, so that others come between them, for three workers on two cores. For `--dist loadfile` with
# `--no-loadscope-reorder`, which hands files out in the order of the tests, one ahead where a file has less than three.
LONGEST = (
    *("integration/test_study.py", "chaos/test_chaos.py", "analysis/deploy/test_export.py"),
    *(
        "integration/test_jobs_on_a_cluster.py",
        "analysis/report/test_report.py",
        "trainables/methods/test_stages_of_methods.py",
    ),
    *("study/backend/test_packing.py", "analysis/measure/test_validation.py", "trainables/execution/test_distributed.py"),
    *(
        "integration/test_jobs.py",
        "chaos/test_chaos_archive.py",
        "trainables/test_pipeline.py",
        "analysis/deploy/test_select.py",
    ),
    *("integration/test_search.py", "analysis/deploy/test_dial.py", "trainables/attacks/test_attack_trials.py"),
    *("integration/test_packing_on_ray.py", "trainables/store/test_sharing.py", "trainables/test_choices.py"),
    *("integration/test_plugins.py", "analysis/deploy/test_archive.py", "trainables/data/test_inputs.py"),
    *("integration/test_early_stopping.py", "benchmarks/test_speed_benchmark.py", "analysis/deploy/test_window.py"),
    *("integration/test_preflight.py", "trainables/methods/test_obfuscation.py", "trainables/test_statistics.py"),
    *("integration/test_process_group.py", "trainables/test_settings_are_heard.py", "search_spaces/test_protocols.py"),
    *("trainables/data/test_readers_official.py", "study/test_run.py", "mutants/test_listed.py"),
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: a collector of garbage that looked at it time and again would take a
    tenth of all computing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files that take longest first; the order within a file stays."""
    order = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.nodeid.partition("::")[0].removeprefix("tests/"), len(order)))


@event.listens_for(Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, record: Any) -> None:
    """A database of a test need not survive a power cut."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")


@pytest.fixture(scope="session", autouse=True)
def _tables_of_mlflow(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A new SQLite database gets MLflow's tables from one that has them: its own way, all migrations, takes 1.7 s each time."""
    from mlflow.store.db import utils

    create = utils._initialize_tables

    def copy(engine: Engine) -> None:
        if engine.dialect.name != "sqlite" or not utils._is_empty_database(engine):
            return create(engine)

        def make(folder: Path) -> None:
            own = create_engine(f"sqlite:///{folder}/tables.db")
            create(own)
            own.dispose()

        with contextlib.closing(sqlite3.connect(made_once(tmp_path_factory, "tables", make) / "tables.db")) as tables:
            given = engine.raw_connection()
            assert isinstance(given.driver_connection, sqlite3.Connection)
            tables.backup(given.driver_connection)
            given.close()

    utils._initialize_tables = copy


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real clips and annotation files that lie beside the repository on the developers' machines."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"needs the real data in {path}")
    return path


@pytest.fixture(scope="session", autouse=True)
def _known_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is known of files is kept apart from what the machine knows."""
    os.environ[CACHE_VARIABLE] = str(tmp_path_factory.mktemp("known"))


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with generated clips of 16 pixels."""
    return ensure(made_once(tmp_path_factory, "generated", lambda folder: ensure(folder, TINY_DATA)), TINY_DATA)


@pytest.fixture(scope="session")
def tiny_config() -> TrialConfig:
    """A trial that takes seconds on one core."""
    return with_values(TrialConfig(), TINY)
