"""The penalty on what f_T makes of a clip, in place of its pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.stages import minimax_context
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.losses import feature_distortion
from trainables.methods.penalty import training as minimax


@pytest.mark.parametrize("space", ["features", "logits"])
@pytest.mark.parametrize("norm", ["absolute", "relative"])
def test_the_penalty_is_that_of_the_space(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, space: str, norm: str
) -> None:
    """Without anything to serve or to blind, f_A descends lambda times what the definition gives, and f_T stays."""
    budget = 0.01
    values = {"reconstruct.epochs": 0, "warm_up.epochs": 0, "minimax.penalty_space": space, "minimax.penalty_norm": norm}
    config = with_values(tiny_config, {**values, "minimax.distortion_budget": budget, "minimax.penalty_weight": 3.0})
    context = minimax_context(config, tiny_data, tmp_path)
    players = minimax.players_of(context, 1e-3)
    generator = torch.Generator().manual_seed(0)
    clips, views = torch.rand(3, 4, 3, 16, 16, generator=generator), torch.rand(2, 3, 1, 3, 16, 16, generator=generator)

    def read(clips: Tensor) -> Tensor:
        return players.action.features(clips) if space == "features" else players.action(clips)

    players.action.train()
    before = {name: value.clone() for name, value in players.action.state_dict().items()}
    with torch.no_grad():
        shown = read(players.anonymizer.train().clips(clips))
        expected = (feature_distortion(read(clips), shown, norm) - budget).relu().mean()  # type: ignore[arg-type]
    players.action.load_state_dict(before)
    found = minimax.step_anonymizer(players, clips, torch.tensor([0, 1, 2]), [*views], context.config.minimax, context)
    assert expected > 0
    assert found["penalty"].item() == pytest.approx(expected.item(), rel=1e-4)
    assert all(torch.equal(value, before[name]) for name, value in players.action.state_dict().items())
    found_gradients = [parameter.grad for parameter in players.anonymizer.parameters()]
    assert any(gradient is not None and bool((gradient != 0).any()) for gradient in found_gradients)


def test_what_f_t_makes_of_the_raw_clip_is_a_target() -> None:
    """Hand calculation: (3, 4) against (0, 0); only the anonymized clip's features get a gradient, along the difference."""
    raw, anonymized = torch.tensor([[3.0, 4.0]], requires_grad=True), torch.zeros(1, 2, requires_grad=True)
    found = feature_distortion(raw, anonymized)
    assert found.tolist() == pytest.approx([5.0 / 2**0.5])
    found.sum().backward()
    assert raw.grad is None
    assert anonymized.grad is not None
    assert anonymized.grad[0].tolist() == pytest.approx([-0.6 / 2**0.5, -0.8 / 2**0.5])


def test_one_vector_a_clip_has_no_frames(tiny_config: TrialConfig) -> None:
    with pytest.raises(ConfigError, match="penalty_scope = frame: f_T makes features of whole clips; leave it at clip"):
        with_values(tiny_config, {"minimax.penalty_space": "features", "minimax.penalty_scope": "frame"})
