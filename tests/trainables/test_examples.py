"""The anonymizer, the privacy network and the still set of tests/examples, in one trial; the others have tests of their own."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
import torch

from tests.support import ROOT
from tests.support.plugin_files import loaded
from tests.support.stages import SilentReporter
from trainables.config import PrivacyData, Runtime, TrialConfig, with_values
from trainables.data.registry import load_stills
from trainables.methods import resolved
from trainables.models.anonymizers import build_anonymizer
from trainables.models.check import check_weights
from trainables.pipeline import run_trial

EXAMPLES = [ROOT / "tests" / "examples" / f"{name}.py" for name in ("my_anonymizer", "my_privacy_network", "my_stills")]


@pytest.fixture
def root(tiny_data: Path, tmp_path: Path) -> Path:
    """The generated videos, and some of the generated images as the example has them."""
    place = tmp_path / "data"
    shutil.copytree(tiny_data, place)
    (place / "portraits").mkdir()
    splits, rows = load_stills(PrivacyData(), tiny_data), []
    for split in ("train", "validation", "test"):
        for number, still in enumerate(getattr(splits, split)):
            name = f"{split}{number}{still.path.suffix}"
            shutil.copy(still.path, place / "portraits" / name)
            rows.append((name, f"{split} {number % 3}", split, number % 2, number // 2 % 2))
    with (place / "portraits" / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "person", "split", "glasses", "beard"), *rows])
    return place


def test_edges_are_what_changes_from_pixel_to_pixel() -> None:
    with loaded(EXAMPLES[0]):
        config = resolved(TrialConfig(method="edges"))
        edges = build_anonymizer(config.anonymizer, config.options)
        frames = torch.zeros(1, 3, 4, 4)
        frames[..., 2:] = 0.3  # one upright edge, twice as strong
        assert torch.allclose(edges(frames)[0, 0], torch.tensor([[0.0, 0.0, 0.6, 0.0]]).expand(4, 4))


def test_one_of_each_runs_in_a_trial(root: Path, tiny_config: TrialConfig, tmp_path: Path) -> None:
    values = {
        "method": "edges",
        "data.privacy.name": "portraits",
        "evaluate_privacy.classifier.name": "coarse",
        "evaluate_privacy.clips": False,
        "evaluate_action.epochs": 1,
        "evaluate_privacy.epochs": 1,
    }
    with loaded(*EXAMPLES):
        config = resolved(with_values(tiny_config, values))
        check_weights(config)
        record, _ = run_trial(
            config, Runtime(data_root=str(root), storage=str(tmp_path / "results"), device="cpu"), SilentReporter()
        )
    assert {"ap.glasses", "ap.beard", "top1"} <= record.metrics.keys()
