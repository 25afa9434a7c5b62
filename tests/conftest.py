"""Shape annotations of the pure modules are checked at every call; a small data set with known truth is made once a worker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")
CHECKED = ("trainables.losses", "trainables.data.augment", "trainables.models.axes")
install_import_hook(CHECKED, "beartype.beartype")

from trainables.config import TrialConfig, with_values
from trainables.data.decoding.known import CACHE_VARIABLE
from trainables.data.generated import GeneratedSpec, ensure

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
    return ensure(tmp_path_factory.mktemp("generated"), TINY_DATA)


@pytest.fixture(scope="session")
def tiny_config() -> TrialConfig:
    """A trial that takes seconds on one core."""
    return with_values(TrialConfig(), TINY)
