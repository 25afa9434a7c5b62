"""Every loss against a slow transcription of its equation, and where its gradient goes."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import Tensor
from torch.nn import functional as F

from trainables.attacks.linkage.training import contrastive
from trainables.losses import (
    anonymizer_loss,
    distortion_penalty,
    feature_distortion,
    nt_xent,
    reconstruction_loss,
    rms_distortion,
)
from trainables.methods.mass.training import info_nce


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 4, 3, 5, 6, generator=generator), torch.rand(3, 4, 3, 5, 6, generator=generator)


def slow_rms(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values) / len(values))


def test_reconstruction_is_the_mean_absolute_difference(clips: tuple[Tensor, Tensor]) -> None:
    x, y = clips
    slow = sum(abs(a - b) for a, b in zip(x.flatten().tolist(), y.flatten().tolist(), strict=True)) / x.numel()
    assert reconstruction_loss(y, x).item() == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("scope", ["clip", "frame", "batch"])
def test_rms_distortion_by_equation_4(clips: tuple[Tensor, Tensor], scope: str) -> None:
    x, y = clips
    parts = {
        "clip": [(x[b], y[b]) for b in range(3)],
        "frame": [(x[b, t], y[b, t]) for b in range(3) for t in range(4)],
        "batch": [(x, y)],
    }[scope]
    slow = [slow_rms((a - b).flatten().tolist()) for a, b in parts]
    assert rms_distortion(x, y, scope=scope).tolist() == pytest.approx(slow, rel=1e-5)


@pytest.mark.parametrize("scope", ["clip", "frame", "batch"])
def test_relative_distortion_of_a_flat_picture_of_the_mean_colour_is_one(clips: tuple[Tensor, Tensor], scope: str) -> None:
    x, _ = clips
    dims = {"clip": (1, 3, 4), "frame": (3, 4), "batch": (0, 1, 3, 4)}[scope]
    flat = x.mean(dim=dims, keepdim=True).expand_as(x)
    relative = rms_distortion(x, flat, scope=scope, norm="relative")
    assert relative.tolist() == pytest.approx([1.0] * len(relative), rel=1e-5)


def test_relative_distortion_of_a_flat_clip_is_in_grey_levels() -> None:
    """Below a deviation of one level of 255 a clip counts as flat: it is divided by that level."""
    half, level = torch.tensor([0.5, -0.5]).repeat(8).reshape(1, 1, 1, 4, 4), 1 / 255  # of a deviation of 0.5
    for deviation, expected in ((0.0, 20.0), (0.9, 20.0), (1.5, 20 / 1.5), (4.0, 5.0)):
        x = (0.5 + 2 * deviation * level * half).expand(1, 2, 3, 4, 4)
        assert rms_distortion(x, x + 20 * level, norm="relative").item() == pytest.approx(expected, rel=1e-4), deviation


def test_distortion_of_features_by_hand() -> None:
    original, shown = torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([[3.0, 1.0], [1.0, 1.0]])
    assert feature_distortion(original, shown).tolist() == pytest.approx([(9 / 2) ** 0.5, 1.0])
    relative = feature_distortion(original, shown, "relative").tolist()
    assert relative == pytest.approx([3 / 5, 2**0.5 / 1e-6]), "of features that are all 0 it is finite"
    of_three = feature_distortion(torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 2.0, 0.0]]))
    assert of_three.item() == pytest.approx(3**0.5), "the root of a mean, not of a sum"


def test_the_distortion_of_features_moves_only_those_of_what_is_shown() -> None:
    original, shown = (torch.rand(2, 3, requires_grad=True) for _ in range(2))
    feature_distortion(original, shown).sum().backward()
    assert original.grad is None
    assert shown.grad is not None


def test_penalty_is_paid_clip_by_clip() -> None:
    """One clip's change must not hide behind another's restraint: max(0, .) comes before the mean."""
    rms = torch.tensor([0.5, 0.1])
    assert distortion_penalty(rms, 0.3).item() == pytest.approx((0.2 + 0.0) / 2)


def test_penalty_gradient_is_zero_below_the_budget_and_not_above(clips: tuple[Tensor, Tensor]) -> None:
    x, y = clips
    for budget, expected in ((10.0, False), (0.0, True)):
        anonymized = y.clone().requires_grad_()
        distortion_penalty(rms_distortion(x, anonymized), budget).backward()
        assert anonymized.grad is not None
        assert bool((anonymized.grad != 0).any()) is expected


def test_penalty_has_a_finite_gradient_at_the_identity(clips: tuple[Tensor, Tensor]) -> None:
    x, _ = clips
    anonymized = x.clone().requires_grad_()
    distortion_penalty(rms_distortion(x, anonymized), 0.0).backward()
    assert anonymized.grad is not None
    assert anonymized.grad.isfinite().all()


def slow_nt_xent(first: Tensor, second: Tensor, temperature: float) -> float:
    """SimCLR's Eq. 1, term by term."""
    points = [*first.tolist(), *second.tolist()]
    count = len(points)

    def similarity(a: list[float], b: list[float]) -> float:
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        return dot / math.sqrt(sum(p * p for p in a)) / math.sqrt(sum(q * q for q in b))

    total = 0.0
    for i in range(count):
        j = (i + count // 2) % count
        below = sum(math.exp(similarity(points[i], points[k]) / temperature) for k in range(count) if k != i)
        total -= math.log(math.exp(similarity(points[i], points[j]) / temperature) / below)
    return total / count


@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_nt_xent_by_equation_6(pairs: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(pairs)
    first, second = torch.randn(pairs, 7, generator=generator), torch.randn(pairs, 7, generator=generator)
    assert nt_xent(first, second, temperature).item() == pytest.approx(slow_nt_xent(first, second, temperature), abs=1e-5)


def test_anonymizer_loss_by_equation_3() -> None:
    action, privacy, penalty = torch.tensor(1.5), torch.tensor(0.7), torch.tensor(0.2)
    assert anonymizer_loss(action, privacy, penalty, 3.0).item() == pytest.approx(1.5 - 0.7 + 3.0 * 0.2)


def test_shapes_are_checked_in_tests() -> None:
    with pytest.raises(TypeCheckError):
        rms_distortion(torch.rand(2, 3, 4, 5, 5), torch.rand(2, 3, 4, 5, 5))  # channels are not where they should be


PEOPLE = torch.tensor([0, 0, 1, 2])
CONTRASTIVE: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nt_xent": lambda first, second: nt_xent(first, second, 0.1),
    "info_nce": lambda first, second: info_nce(first, second, 0.07),
    "contrastive": lambda first, second: contrastive(F.normalize(first, dim=1), F.normalize(second, dim=1), PEOPLE),
}


@pytest.mark.parametrize("name", CONTRASTIVE)
def test_a_contrastive_loss_is_computed_in_float32_under_autocast(name: str) -> None:
    """In bfloat16 the products of vectors that are nearly alike are rounded to steps of 1/256."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(4, 128, generator=generator)
    second = first + 0.05 * torch.randn(4, 128, generator=generator)
    loss = CONTRASTIVE[name]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(first, second)
    assert found.item() == pytest.approx(loss(first, second).item(), rel=1e-6)
