"""What the linear classifiers of the probe and the decoder of inversion learn from."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.support.recording import ITEMS, attributes_of, ran
from trainables.attacks.inversion import training as inversion
from trainables.attacks.shared import linear

FEW = {f"{name}__epochs": 1 for name in ("evaluate_action", "evaluate_privacy")}


def test_the_probe_learns_from_training_items_and_answers_for_validation_and_test_items(
    numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    honest = linear.fit

    def fit(train: Tensor, labels: Tensor, others: Tensor) -> Tensor:
        seen.append((train, labels, others))
        return honest(train, labels, others)

    monkeypatch.setattr(linear, "fit", fit)
    ran(numbered, tmp_path, **FEW, method="raw", attacks__names="probe", evaluate_privacy__clips=False)
    assert [len(train) for train, _, _ in seen[:5]] == [1, 2, 3, 4, 6], "a tenth, a quarter, half, three quarters, all of six"
    assert {len(others) for _, _, others in seen[:5]} == {ITEMS["validation"]}
    train, labels, _ = seen[4]
    assert sorted(labels.tolist()) == sorted(list(attributes_of(number)) for number in range(ITEMS["train"]))
    every, _, test = seen[5]
    assert sorted(every[: len(train)].tolist()) == sorted(train.tolist()), "before the test it learns from both"
    assert (len(every), len(test)) == (ITEMS["train"] + ITEMS["validation"], ITEMS["test"])
    assert not any(torch.equal(row, other) for row in every for other in test)


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
