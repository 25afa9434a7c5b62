"""Each loss against a slow transcription of its formula."""

from __future__ import annotations

import math

import pytest
import torch

from trainables.methods.mass import MassOptions
from trainables.methods.mass.training import binary_entropy, info_nce, information, over
from trainables.methods.tedspad.training import triplet_loss
from trainables.methods.vita.training import negative_entropy, worst_sureness, worst_sureness_by_clip


def test_triplet_loss_leaves_out_videos_without_a_second_time() -> None:
    generator = torch.Generator().manual_seed(0)
    anchor, positive, negative = (torch.randn(5, 7, generator=generator) for _ in range(3))
    counts = torch.tensor([True, False, True, True, False])
    rows = []
    for a, p, n, counted in zip(anchor.tolist(), positive.tolist(), negative.tolist(), counts.tolist(), strict=True):
        if counted:
            near = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, p, strict=True)))
            far = math.sqrt(sum((x - y) ** 2 for x, y in zip(a, n, strict=True)))
            rows.append(max(0.0, near - far + 1.0))
    found = triplet_loss(anchor, positive, negative, counts, margin=1.0)
    assert found.item() == pytest.approx(sum(rows) / 3, abs=1e-4)
    assert triplet_loss(anchor, positive, negative, torch.zeros(5, dtype=torch.bool), 1.0).item() == 0.0


def test_negative_entropy_of_yes_or_no_attributes() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for value in logits.flatten().tolist():
        p = 1.0 / (1.0 + math.exp(-value))
        total += p * math.log(p) + (1.0 - p) * math.log(1.0 - p)
    assert negative_entropy(logits).item() == pytest.approx(total / 12, abs=1e-5)
    assert negative_entropy(torch.zeros(2, 2)).item() == pytest.approx(-math.log(2.0))
    assert negative_entropy(torch.tensor([[200.0, -200.0]])).item() == 0.0


def test_the_surest_member_alone_is_pushed() -> None:
    ensemble = [torch.full((2, 3), value, requires_grad=True) for value in (0.5, -3.0, 1.0)]
    worst = worst_sureness(ensemble)
    assert worst.item() == negative_entropy(ensemble[1]).item()
    worst.backward()
    assert [member.grad is not None and bool((member.grad != 0).any()) for member in ensemble] == [False, True, False]
    with torch.no_grad():  # a step down the gradient makes it less sure
        assert negative_entropy(ensemble[1] - 0.1 * ensemble[1].grad) < worst


def test_the_surest_member_of_each_clip_counts_for_it() -> None:
    """Logits are averaged over the frames of a clip, entropies over its attributes; the largest member, then the mean."""
    ensemble = list(torch.randn(3, 4 * 2, 5, generator=torch.Generator().manual_seed(0)))  # 4 clips of 2 frames

    def sureness(logits: list[float]) -> float:
        shares = [1.0 / (1.0 + math.exp(-value)) for value in logits]
        return sum(p * math.log(p) + (1.0 - p) * math.log(1.0 - p) for p in shares) / len(shares)

    worst = 0.0
    for clip in range(4):
        of_members = []
        for member in ensemble:
            first, second = member[2 * clip].tolist(), member[2 * clip + 1].tolist()
            of_members.append(sureness([(a + b) / 2 for a, b in zip(first, second, strict=True)]))
        worst += max(of_members) / 4
    assert worst_sureness_by_clip(ensemble, frames=2).item() == pytest.approx(worst, abs=1e-6)


def test_information_is_entropy_less_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 2, generator=generator)
    labels = torch.randint(0, 2, (6, 2), generator=generator).float()
    shares = torch.tensor([0.3, 1.0])
    found = information(logits, labels, binary_entropy(shares)).tolist()
    entropies = [-0.3 * math.log(0.3) - 0.7 * math.log(0.7), 0.0]
    for a in range(2):
        conditional = 0.0
        for i in range(6):
            p = 1.0 / (1.0 + math.exp(-logits[i, a].item()))
            conditional -= math.log(p if labels[i, a] else 1.0 - p) / 6
        assert found[a] == pytest.approx(entropies[a] - conditional, abs=1e-5)


@pytest.mark.parametrize(("excess", "expected"), [(-0.5, 0.0), (0.0, 0.0), (0.5, 2.0 * 0.5 + 3.0 * 0.25)])
def test_only_what_exceeds_a_bound_costs(excess: float, expected: float) -> None:
    weights = MassOptions(**{"linear_weight": 2.0, "quadratic_weight": 3.0})
    assert over(torch.tensor(excess), weights).item() == pytest.approx(expected)


def test_info_nce() -> None:
    generator = torch.Generator().manual_seed(0)
    original, anonymized = (torch.randn(4, 6, generator=generator).double() for _ in range(2))
    total = 0.0
    for i in range(4):
        near = [torch.cosine_similarity(anonymized[i], original[j], dim=0).item() / 0.07 for j in range(4)]
        total += -math.log(math.exp(near[i]) / sum(math.exp(value) for value in near))
    assert info_nce(original, anonymized, 0.07).item() == pytest.approx(total / 4, abs=1e-3)
