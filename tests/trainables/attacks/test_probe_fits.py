"""What the linear classifiers of the probe and the decoder of inversion learn from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.support.recording import ITEMS, attributes_of, ran
from trainables.attacks.inversion import training as inversion
from trainables.attacks.probe import training

FEW = {f"{name}__epochs": 1 for name in ("evaluate_action", "evaluate_privacy")}


def test_the_probe_learns_from_training_items_and_answers_for_validation_and_test_items(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    honest = training._fit

    def fit(train: Tensor, labels: Tensor, others: Tensor) -> Tensor:
        seen.append((train, labels, others))
        return honest(train, labels, others)

    monkeypatch.setattr(training, "_fit", fit)
    ran(numbered, tmp_path, **FEW, method="raw", attacks__names="probe", evaluate_privacy__clips=False)
    assert [len(train) for train, _, _ in seen[:4]] == [1, 2, 3, 6], "a tenth, a quarter, half, and all of six"
    train, labels, others = seen[3]
    assert sorted(labels.tolist()) == sorted(list(attributes_of(number)) for number in range(ITEMS["train"]))
    assert len(others) == ITEMS["validation"] + ITEMS["test"]
    assert not any(torch.equal(row, other) for row in train for other in others)


def test_the_decoder_learns_to_make_raw_frames_of_anonymized_ones(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    targets: list[Tensor] = []

    def mse_loss(restored: Tensor, target: Tensor) -> Tensor:
        targets.append(target)
        return (restored - target).square().mean()

    monkeypatch.setattr(inversion, "F", SimpleNamespace(mse_loss=mse_loss))
    ran(numbered, tmp_path, **FEW, method="blank", attacks__names="inversion", attacks__epochs=1, evaluate_privacy__clips=False)
    # the trial's own decoder, the control on raw frames, and the one on blank frames, which is the trial's own again
    for target in targets:
        assert target[..., -1, :].amax(dim=(-1, -2)).min() > 0.99, "the stripes of a raw frame are there"
    assert targets
