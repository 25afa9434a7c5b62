"""Leakage where the person is: on the action clips, labelled by a table of one's own or, by ranges of frames, by PA-HMDB51."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests.support.stages import FakeBatches
from tests.trainables.attacks.test_attack_trials import SILENT, SMALL, run
from trainables.config import TrialConfig, with_values
from trainables.evaluation.learning import predict
from trainables.metrics import leakage_of

Row = dict[str, str]


def labelled(data: Path) -> tuple[list[Row], set[str]]:
    """The rows of `clip_attributes.csv`, and the names of the test clips."""
    with (data / "clip_attributes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return rows, set((data / "ucfTrainTestlist" / "testlist01.txt").read_text().split())


def test_a_table_of_ones_own(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    rows, test = labelled(tiny_data)
    root = tmp_path / "data"
    (root / "splits").mkdir(parents=True)
    (root / "videos").symlink_to(tiny_data / "UCF-101")
    (root / "VISPR").symlink_to(tiny_data / "VISPR")
    with (root / "clip_attributes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", "group", "warm", "tall"])
        writer.writerows([row["filename"], row["filename"].rpartition("_c")[0], row["warm"], row["tall"]] for row in rows)
    for split, names in (("test", test), ("train", {row["filename"] for row in rows} - test)):
        (root / "splits" / f"{split}.txt").write_text("".join(f"{name}\n" for name in sorted(names)))
    values = {**SMALL, **SILENT, "method": "raw", "data.action.name": "folders", "evaluate_privacy.clips": True}
    record, _ = run(with_values(tiny_config, {**values, "attacks.names": "linkage,temporal"}), root, tmp_path / "out")
    assert {"clip_leakage", "clip_ap.warm", "clip_ap.tall", "attack.temporal", "attack.linkage"} <= record.metrics.keys()


@pytest.mark.parametrize("with_attacks", [False, True])
def test_pa_hmdb51_by_ranges_of_frames(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, with_attacks: bool) -> None:
    rows, test = labelled(tiny_data)
    root = tmp_path / "data"
    annotations: dict[str, dict[str, object]] = {}
    lists: dict[str, list[str]] = {}
    for number, row in enumerate(rows):
        action = row["filename"].partition("/")[0]
        name = f"film{number // 2}_{action}_f_cm_np1_le_med_{number % 2}.avi"
        (root / "HMDB51" / action).mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny_data / "UCF-101" / row["filename"], root / "HMDB51" / action / name)
        lists.setdefault(action, []).append(f"{name} {2 if row['filename'] in test else 1} \n")
        if row["filename"] in test:
            ranges = {
                name: [[0, 5, int(row["warm"])], [6, 11, int(row["warm"])]] for name in ("face", "nudity", "relationship")
            }
            annotations.setdefault(action, {})[name] = ranges | {
                "skin_color": [[0, 11, int(row["tall"])]],
                "gender": [[0, 11, [int(row["tall"]), 0]]],
            }
    for action, lines in lists.items():
        splits = root / "testTrainMulti_7030_splits"
        splits.mkdir(exist_ok=True)
        (splits / f"{action}_test_split1.txt").write_text("".join(lines))
        folder = root / "PA-HMDB51" / "PrivacyAttributes"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{action}.json").write_text(json.dumps(annotations[action]))
    (root / "VISPR").symlink_to(tiny_data / "VISPR")
    values = {
        **SMALL,
        **SILENT,
        "method": "raw",
        "data.action.name": "pa_hmdb51",
        "data.test_privacy.name": "pa_hmdb51",
        "data.test_privacy.attribute_map": ("face=warm", "gender=tall"),
        "attacks.names": "retrained,linkage" if with_attacks else "none",
    }
    record, outcomes = run(with_values(tiny_config, values), root, tmp_path / "out")
    assert {"ap.face", "ap.gender", "leakage"} <= record.metrics.keys()
    assert len(outcomes["test_privacy"].state["test"]["labels"]) == len(test), "the first frame of each, of twelve"
    if with_attacks:
        assert "worst_leakage" in record.metrics
        assert "attack.retrained" in record.metrics, "on the images: the training clips carry no labels"


def test_answers_that_differ_by_rounding_only_are_ties() -> None:
    labels = torch.tensor([[1.0], [0.0], [0.0], [0.0]])
    nearly = torch.full((4, 1, 1), 0.3) + torch.tensor([1e-7, 0.0, -1e-7, 0.0])[:, None, None]  # a batch of another size
    context: Any = SimpleNamespace(
        evaluation_batches=lambda batches: batches,
        autocast=contextlib.nullcontext,
        anonymized_view=lambda anonymizer, batch, clips: (batch["scores"], batch["scores"]),
    )
    batches = FakeBatches([{"scores": nearly[:3], "attributes": labels[:3]}, {"scores": nearly[3:], "attributes": labels[3:]}])
    [predictions], truth = predict(context, nn.Identity(), lambda scores: scores[None], batches)
    assert leakage_of(predictions.numpy(), truth.numpy(), ("a",), ["1", "2", "3", "4"]).leakage == 0.0


def test_equal_frames_get_equal_predictions_of_a_network_that_depends_on_the_size_of_its_batch() -> None:
    context: Any = SimpleNamespace(
        evaluation_batches=lambda batches: batches,
        autocast=contextlib.nullcontext,
        anonymized_view=lambda anonymizer, batch, clips: (batch["scores"], batch["scores"]),
    )
    blank = torch.full((4, 1, 1), 0.3)
    batches = FakeBatches([{"scores": part, "attributes": part} for part in (blank[:3], blank[3:])])
    [predictions], _ = predict(context, nn.Identity(), lambda scores: scores[None] + 0.01 * len(scores), batches)
    assert predictions.flatten().tolist() == [round(1 / (1 + math.exp(-0.33)), 6)] * 4
