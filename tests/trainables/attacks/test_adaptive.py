"""The attacker that holds f_A: what its gradient says, what it restores, whom it reads, and where it is not tried."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.stages import stage_context
from trainables.attacks import ATTACKS
from trainables.attacks.adaptive.training import Restorer, error_gradient, restored
from trainables.config import TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer


class Paler(Anonymizer):
    """Half of the contrast: f_A(x) = x / 2 + 1 / 4."""

    def forward(self, frames: Tensor) -> Tensor:
        return frames / 2 + 0.25


@pytest.fixture
def context(tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path) -> StageContext:
    return stage_context("other", with_values(tiny_config, {"method": "raw"}), tiny_data, tmp_path)


@pytest.fixture
def clips() -> tuple[Tensor, Tensor]:
    """What was filmed, and a guess at it."""
    torch.manual_seed(0)
    return torch.rand(2, 3, 3, 4, 4), torch.rand(2, 3, 3, 4, 4)


def test_the_gradient_of_the_error_by_hand(context: StageContext, clips: tuple[Tensor, Tensor]) -> None:
    """Of x / 2 + 1/4: half of what f_A(guess) misses, whoever calls it and whether or not gradients are on."""
    filmed, guess = clips
    with torch.no_grad():
        found = error_gradient(context, Paler(), guess, Paler().clips(filmed))
    assert torch.allclose(found, (guess - filmed) / 4, atol=1e-6)
    assert not found.requires_grad
    identity, blank = (
        build_anonymizer(context.config.anonymizer.model_copy(update={"name": n})) for n in ("identity", "blank")
    )
    assert torch.allclose(error_gradient(context, identity, guess, filmed), guess - filmed, atol=1e-6)
    assert not error_gradient(context, blank, guess, filmed).any(), "blank frames say nothing of what was filmed"


def test_a_frame_is_restored_by_the_guess_and_a_step_along_the_gradient(
    context: StageContext, clips: tuple[Tensor, Tensor]
) -> None:
    """It begins with what was published; from any guess a step of 4 along the gradient undoes half of the contrast at once."""
    filmed, guess = clips
    published = Paler().clips(filmed)
    network = Restorer(4).eval()
    assert torch.equal(restored(context, Paler(), network, published), published)

    class Descent(Restorer):
        def guess(self, published: Tensor) -> Tensor:
            return guess

        def correction(self, known: Tensor) -> Tensor:
            assert torch.equal(known[:, :, :6], torch.cat([published, guess], dim=2))
            return -4.0 * known[:, :, 6:]

    assert torch.allclose(restored(context, Paler(), Descent(4).eval(), published), filmed, atol=1e-5)


@pytest.mark.parametrize(("method", "tried"), [("penalty", True), ("blank", True), ("blackening", False), ("given", False)])
def test_it_is_tried_where_the_whole_frame_passes_a_network_of_pytorch(
    tiny_config: TrialConfig, tiny_data: Path, method: str, tried: bool
) -> None:
    need = ATTACKS["adaptive"].needs
    assert need is not None
    config = tiny_config.model_copy(update={"method": method})
    assert need.met(config, TrialData(config, tiny_data)) is tried
