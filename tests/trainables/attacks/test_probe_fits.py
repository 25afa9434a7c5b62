"""What the linear classifiers of the probe learn from, and what they answer for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.recording import ITEMS, attributes_of, ran
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
