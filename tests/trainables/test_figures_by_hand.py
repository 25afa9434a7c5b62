"""Figures of small cases, computed by hand: what is learned from, what is averaged, what is mapped, what is chosen."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.support.recording import ITEMS, attributes_of, picture, ran
from tests.support.stages import FakeBatches
from trainables.attacks.inversion.training import psnr
from trainables.config import ClipConfig
from trainables.evaluation.learning import Cosine, attribute_loss, clip_of_frames, predict, show_anonymized, show_raw
from trainables.evaluation.privacy import _Schedule
from trainables.metrics import chance_top1, retrieve, topk_accuracy


def test_top_k_of_ties_goes_by_the_number_of_the_class() -> None:
    probabilities = np.array([[0.4, 0.4, 0.2], [0.4, 0.4, 0.2], [0.1, 0.1, 0.8], [0.6, 0.3, 0.1]])
    labels = np.array([0, 1, 2, 2])
    assert [topk_accuracy(probabilities, labels, k) for k in (1, 2, 3)] == [0.5, 0.75, 1.0]


@pytest.mark.parametrize(("labels", "chance"), [([0, 1, 1, 2], 0.5), ([3, 3, 3], 1.0), ([0, 1, 2, 3, 4], 0.2), ([2, 5], 0.5)])
def test_chance_is_the_most_frequent_class(labels: list[int], chance: float) -> None:
    assert chance_top1(np.array(labels)) == chance


def test_the_loss_of_attributes_is_that_of_the_labels_of_the_item() -> None:
    logits = torch.tensor([[[2.0, -1.0], [0.0, 0.5]], [[-3.0, 1.0], [1.0, -2.0]]])  # (B, T, A)
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    by_hand = [
        math.log1p(math.exp(-logit if label else logit))
        for clip, row in zip(logits.tolist(), labels.tolist(), strict=True)
        for frame in clip
        for logit, label in zip(frame, row, strict=True)
    ]
    assert attribute_loss(logits, labels).item() == pytest.approx(sum(by_hand) / 8)
    assert attribute_loss(logits[:, 0], labels).item() == pytest.approx(sum(by_hand[0:2] + by_hand[4:6]) / 4)


def test_predictions_are_averaged_over_the_frames_and_clips_of_an_item_only() -> None:
    """Two items of two clips of two frames, one attribute, two members; the last item comes in a batch of its own."""
    raw = torch.linspace(-2, 2, 12).view(6, 2, 1, 1, 1)  # ((item clip), frame, ...)
    labels = torch.tensor([[1.0], [0.0], [1.0]])
    context: Any = SimpleNamespace(
        evaluation_batches=lambda batches: batches,
        autocast=contextlib.nullcontext,
        anonymized_view=lambda anonymizer, batch, clips: (batch["raw"], -batch["raw"]),
    )
    batches = FakeBatches([{"raw": raw[:4], "attributes": labels[:2]}, {"raw": raw[4:], "attributes": labels[2:]}])

    def members(clips: torch.Tensor) -> torch.Tensor:
        return torch.stack([clips, 3 * clips]).flatten(3)  # (M, B, T, A)

    for shown, sign in ((show_anonymized, -1.0), (show_raw, 1.0)):
        found, truth = predict(context, nn.Identity(), members, batches, shown, clips=2)  # type: ignore[arg-type]
        by_hand = [[torch.sigmoid(sign * scale * raw[2 * i : 2 * i + 2]).mean() for i in range(3)] for scale in (1.0, 3.0)]
        assert found[..., 0].tolist() == [[pytest.approx(float(value), abs=1e-6) for value in row] for row in by_hand]
        assert truth.tolist() == labels.tolist()


def test_frames_of_a_clip_span_the_time_of_the_clip() -> None:
    whole = ClipConfig(frames=16, skip=4)
    assert [(clip.frames, clip.skip) for clip in (clip_of_frames(whole, n) for n in (1, 2, 4, 5, 16, 40))] == [
        (1, 64),
        (2, 32),
        (4, 16),
        (5, 12),
        (16, 4),
        (16, 4),
    ]


def rates(schedule: Any, optimizer: torch.optim.Optimizer, losses: list[float]) -> list[float]:
    found = []
    for loss in losses:
        found.append(round(optimizer.param_groups[0]["lr"], 9))
        optimizer.step()
        schedule.step(loss)
    return found


def test_the_learning_rate_of_f_b_rises_and_falls_when_the_loss_stagnates() -> None:
    """Warm-up over two epochs in thirds; the loss must fall within two epochs, then the rate is a tenth."""
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = _Schedule(optimizer, warm_up=2, factor=0.1, patience=1)
    losses = [9.0, 8.0, 7.0, 6.0, 6.0, 6.0, 5.0, 5.0, 5.0, 5.0]
    assert rates(schedule, optimizer, losses) == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3, 0.3, 0.03, 0.03, 0.03, 0.003])
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule = _Schedule(optimizer, warm_up=0, factor=0.5, patience=1)
    assert rates(schedule, optimizer, [1.0] * 6) == pytest.approx([0.3, 0.3, 0.3, 0.15, 0.15, 0.075])


def test_the_learning_rate_of_attackers_falls_to_nothing_whatever_the_loss() -> None:
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    found = rates(Cosine(optimizer, 4), optimizer, [5.0, 9.0, 1.0, 7.0])
    assert found == pytest.approx([(1 + math.cos(math.pi * epoch / 4)) / 2 for epoch in range(4)])
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_an_attribute_of_another_set_is_answered_by_the_larger_of_those_that_stand_for_it(
    numbered: Path, tmp_path: Path
) -> None:
    """Columns are in the order of the map, labels those of the set that is tested."""
    found = ran(
        numbered,
        tmp_path,
        method="raw",
        evaluate_action__epochs=1,
        evaluate_privacy__learning_rate=0.5,
        evaluate_privacy__clips=False,
        data__test_privacy__attribute_map=("b=a+b", "a=b+a"),
    )
    state = found.outcomes["evaluate_privacy"].state["classifier"]
    colours = np.stack([picture("test_privacy", "test", item, 0).mean((0, 1)) / 255 for item in range(ITEMS["test"])])
    features = torch.tensor(colours, dtype=torch.float32) * state["backbone.scale"]
    a, b = torch.sigmoid(features @ state["head.weight"].T + state["head.bias"]).T
    test = found.outcomes["test_privacy"].state["test"]
    larger = torch.maximum(a, b)
    assert torch.allclose(test["probabilities"].float(), torch.stack([larger, larger], dim=1), atol=1e-5)
    assert test["labels"].tolist() == [list(reversed(attributes_of(item))) for item in range(ITEMS["test"])]
    assert not torch.allclose(a, b, atol=1e-3)


def test_a_search_by_hand() -> None:
    """Three queries, four candidates; the second query may not look at the first candidate, its best."""
    similarity = np.array([[0.9, 0.8, 0.3, 0.1], [0.9, 0.2, 0.6, 0.5], [0.4, 0.4, 0.4, 0.45]])
    same = np.array([[False, True, True, False], [False, False, True, False], [True, False, False, True]])
    candidates = np.array([[True] * 4, [False, True, True, True], [True] * 4])
    found = retrieve(similarity, same, candidates)
    assert found.asked.all()
    assert found.hits.tolist() == [0.0, 1.0, 1.0]
    assert found.chances.tolist() == [0.5, pytest.approx(1 / 3), 0.5]
    assert found.best.tolist() == [0, 2, 3]
    assert found.margins.tolist() == [pytest.approx(0.9 - 0.525), pytest.approx(0.6 - 1.3 / 3), pytest.approx(0.45 - 0.4125)]
    # precision at the ranks of the right ones; in the third query three are equal, and count together
    assert found.mean_ap == pytest.approx(((1 / 2 + 2 / 3) / 2 + 1 + (1 + 2 / 4) / 2) / 3)
    # the five right pairs: 0.8, 0.6, 0.45, 0.4, 0.3; the six wrong ones: 0.9, 0.5, 0.4, 0.4, 0.2, 0.1. From 0.45 on three of
    # five are found and two of six pass: nowhere are the two kinds of errors, 2/5 and 2/6, nearer to each other
    assert found.eer == pytest.approx((2 / 6 + 2 / 5) / 2)


def test_errors_of_both_kinds_are_as_many_between_two_corners_of_the_curve() -> None:
    """Of ten right pairs nine are the most similar, one the least: with one of ten wrong ones, a tenth of each is wrong."""
    similarity = np.concatenate([np.linspace(0.9, 0.8, 9), np.linspace(0.5, 0.4, 10), [0.1]])[None]
    same = np.array([[True] * 9 + [False] * 10 + [True]])
    assert retrieve(similarity, same, np.ones_like(same)).eer == pytest.approx(0.1)


def test_psnr_by_hand() -> None:
    first = torch.zeros(2, 3, 4, 4)
    second = torch.stack([torch.full((3, 4, 4), 0.1), torch.zeros(3, 4, 4)])
    assert psnr(first, second).tolist() == pytest.approx([20.0, 100.0])
