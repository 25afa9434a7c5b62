"""The attacker that holds f_A: what its gradient says, what it restores, whom it reads, and where it is not tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.stages import stage_context
from tests.support.videos import write_video
from trainables.attacks import ATTACKS
from trainables.attacks.adaptive import RESTORER
from trainables.attacks.adaptive.training import Restorer, error_gradient, restored, restorer, run
from trainables.attacks.retrained import RETRAINED
from trainables.attacks.retrained.training import run as retrained
from trainables.attacks.shared.result import AttackResult
from trainables.attacks.shared.verdict import figures_of, holds
from trainables.config import TrialConfig, with_values
from trainables.data.items import Video, VideoSplits
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext
from trainables.methods import resolved
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer
from trainables.stages import part_name
from trainables.store import Outcome

SMALL = {
    "attacks.names": "adaptive",
    "attacks.epochs": 3,
    "attacks.frames": 2,
    "attacks.batch_size": 16,
    "attacks.learning_rate": 5e-3,
    "attacks.ensemble": ("narrow2d",),
    "attacks.weights": None,
    "attacks.decoder_width": 4,
    "clip.test_clips": 1,
}


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


@pytest.fixture(scope="module")
def painted(tmp_path_factory: pytest.TempPathFactory) -> VideoSplits:
    """Clips of noise, two of each source, whose redness is one attribute and whose brighter upper half is the other."""
    folder, random = tmp_path_factory.mktemp("painted"), np.random.default_rng(0)

    def clips(split: str, sources: int) -> tuple[Video, ...]:
        found = []
        for number in range(2 * sources):
            red, bright = number // 2 % 2, number // 4 % 2
            frames = random.integers(60, 120, (4, 16, 16, 3))
            frames[..., 0] += 90 * red
            frames[:, :8] += 90 * bright
            path = write_video(folder / f"{split}{number}.mkv", frames.astype(np.uint8))
            found.append(Video(path.name, path, 0, f"{split}{number // 2}", (float(red), float(bright))))
        return tuple(found)

    return VideoSplits("painted", ("still",), ("red", "bright"), clips("train", 16), clips("validation", 8), clips("test", 16))


def test_it_reads_what_is_there_and_nothing_of_blank_frames(
    tiny_config: TrialConfig, painted: VideoSplits, tiny_data: Path, tmp_path: Path
) -> None:
    both: Any = SimpleNamespace(attacked="clips_with_attributes", clips_with_attributes=painted, action=painted)

    def left(code: Callable[[StageContext], Outcome], name: str, method: str, inputs: dict[str, Outcome]) -> Outcome:
        config = resolved(with_values(tiny_config, {**SMALL, "method": method}))
        return code(replace(stage_context(name, config, tiny_data, tmp_path / method, inputs), data=both))

    of_raw = left(retrained, RETRAINED.name, "raw", {})
    found = {}
    for method in ("raw", "blank"):
        own = of_raw if method == "raw" else left(retrained, RETRAINED.name, method, {})
        pairs = left(restorer, RESTORER.name, method, {})
        inputs = {RETRAINED.name: own, part_name(RETRAINED.name, "raw"): of_raw, RESTORER.name: pairs}
        result = AttackResult(**left(run, "attack_adaptive", method, inputs).state["evidence"])
        assert result.effort["epochs"] == len(result.curve) == 3
        assert "three trainings" in result.notes[0]
        found[method] = figures_of(result)
    assert holds("raw", found["raw"])
    assert found["raw"].leakage > 0.5
    assert holds("blank", found["blank"])
    assert (found["blank"].leakage, found["blank"].sure.high) == (0.0, 0.0)


@pytest.mark.parametrize(("method", "tried"), [("penalty", True), ("blank", True), ("blackening", False), ("given", False)])
def test_it_is_tried_where_the_whole_frame_passes_a_network_of_pytorch(
    tiny_config: TrialConfig, tiny_data: Path, method: str, tried: bool
) -> None:
    need = ATTACKS["adaptive"].needs
    assert need is not None
    config = tiny_config.model_copy(update={"method": method})
    assert need.met(config, TrialData(config, tiny_data)) is tried
