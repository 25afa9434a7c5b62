"""An anonymizer that sees the frames before the one it shows, and what it begins as and is held near to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.stages import minimax_context, stage_context
from tests.support.videos import write_video
from trainables.config import AnonymizerConfig, ClipConfig, ConfigError, TrialConfig, with_values
from trainables.data.items import Video
from trainables.data.loader import FramePairs, SampleId
from trainables.losses import reconstruction_loss, rms_distortion
from trainables.methods import resolved
from trainables.methods.penalty import training as minimax
from trainables.models.anonymizers import build_anonymizer, target_of
from trainables.models.axes import windows_of
from trainables.models.base import Anonymizer
from trainables.training import reconstruct
from trainables.training.pairs import anonymized_pair

NARROW = AnonymizerConfig(encoder="narrow", depth=2, decoder_channels=(8, 4), decoder_norm="identity")


def ramp(*greys: float) -> Tensor:
    """A clip (1, T, 3, 8, 8) whose frames are of one grey each."""
    return torch.tensor(greys, dtype=torch.float32)[None, :, None, None, None].expand(1, -1, 3, 8, 8).contiguous()


def built(**values: object) -> Anonymizer:
    torch.manual_seed(0)
    return build_anonymizer(NARROW.model_copy(update=values)).eval()


def test_windows_by_hand() -> None:
    def rows(differences: bool) -> list[list[int]]:
        found = windows_of(ramp(1, 2, 4, 8), 3, differences)
        assert found.shape == (4, 9, 8, 8)
        return [[int(value) for value in frame[::3, 0, 0]] for frame in found]

    assert rows(differences=False) == [[1, 1, 1], [2, 1, 1], [4, 2, 1], [8, 4, 2]], "the nearest first; the first stands still"
    assert rows(differences=True) == [[1, 0, 0], [2, 1, 1], [4, 2, 3], [8, 4, 6]]
    assert torch.equal(windows_of(ramp(1), 4), torch.ones(1, 12, 8, 8)), "an image"
    assert torch.equal(windows_of(ramp(1, 2), 1), ramp(1, 2)[0])


@pytest.mark.parametrize("name", ["unetpp", "unet"])
@pytest.mark.parametrize("encoder", ["narrow", "resnet18"])
@pytest.mark.parametrize("seen", ["frames", "differences"])
def test_it_begins_as_the_network_without_a_window(name: str, encoder: str, seen: str) -> None:
    clips = torch.rand(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    alone, wide = (built(name=name, encoder=encoder, window=window, window_input=seen) for window in (1, 3))
    widened = {name: value for name, value in wide.state_dict().items() if value.dim() == 4 and value.shape[1] == 9}
    assert len(widened) == 1, "the first convolution"
    wide.load_state_dict(alone.state_dict() | widened)
    assert (alone.sees_time, wide.sees_time) == (False, True)
    assert torch.allclose(wide.clips(clips), alone.clips(clips), atol=1e-5)


@pytest.mark.parametrize("seen", ["frames", "differences"])
def test_a_frame_follows_from_itself_and_from_those_of_its_window_before_it(seen: str) -> None:
    anonymizer = built(window=2, window_input=seen)
    for parameter in anonymizer.parameters():
        torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(parameter.numel()))
    clips = torch.rand(1, 5, 3, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    (gradient,) = torch.autograd.grad(anonymizer.clips(clips)[:, 3].sum(), clips)
    assert [bool(frame.abs().sum() > 0) for frame in gradient[0]] == [False, False, True, True, False]


def test_a_single_frame_is_one_that_stands_still() -> None:
    anonymizer = built(window=2)
    frame = torch.rand(1, 3, 8, 8)
    assert torch.allclose(anonymizer(frame), anonymizer.clips(frame[None].expand(1, 4, -1, -1, -1))[0, 2:3], atol=1e-6)


def test_the_target_by_hand() -> None:
    assert torch.equal(target_of(NARROW).clips(ramp(0.2, 0.4)), ramp(0.2, 0.4))
    change = target_of(NARROW.model_copy(update={"window": 2, "target": "difference"})).clips(ramp(0.2, 0.4, 0.3))
    assert torch.allclose(change, ramp(0.5, 0.7, 0.4)), "mid-grey, and 0.2 and -0.1 at a reach of 0.5"


def test_frames_of_a_pair_come_after_those_of_their_window(tmp_path: Path) -> None:
    """Frame t has the grey 10 t; frames of a clip are 2 apart, those of the pair 3."""
    frames = np.stack([np.full((16, 16, 3), 10 * time, dtype=np.uint8) for time in range(9)])
    item = Video("a", write_video(tmp_path / "a.avi", frames), 0, "g")
    clip = ClipConfig(frames=3, skip=2, size=16, decode_size=16)
    for epoch in range(8):
        pair = FramePairs([item], clip, 0, distance=3, window=3)[SampleId(epoch, 0)]["clips"][:, 0, 0, 0]
        times = [round(int(grey) / 10) for grey in pair]
        assert times[5] - times[2] == 3
        assert times == [max(0, last - back) for last in (times[2], times[5]) for back in (4, 2, 0)]


@pytest.fixture
def config(tiny_config: TrialConfig) -> TrialConfig:
    values = {"anonymizer.window": 2, "anonymizer.target": "difference", "minimax.pair": "frames"}
    return resolved(with_values(tiny_config, {**values, "reconstruct.epochs": 1, "warm_up.epochs": 1, "minimax.epochs": 1}))


def test_the_penalty_and_the_reconstruction_are_those_of_the_target(
    config: TrialConfig, tiny_data: Path, tmp_path: Path
) -> None:
    """The three stages run; the first step of the minimax finds the distance from the difference, not from the frame."""
    context = minimax_context(config, tiny_data, tmp_path)
    players = minimax.players_of(context, 1e-3)
    generator = torch.Generator().manual_seed(0)
    clips, views = torch.rand(2, 4, 3, 16, 16, generator=generator), torch.rand(2, 2, 2, 3, 16, 16, generator=generator)
    with torch.no_grad():
        shown = players.anonymizer.train().clips(clips)
    found = minimax.step_anonymizer(players, clips, torch.tensor([0, 1]), [*views], context.config.minimax, context)
    difference = target_of(config.anonymizer).clips(clips)
    assert found["rms_distortion"].item() == pytest.approx(rms_distortion(difference, shown).mean().item(), rel=1e-5)
    assert found["rms_distortion"].item() != pytest.approx(rms_distortion(clips, shown).mean().item(), rel=0.01)


def test_f_a_begins_as_the_target(
    config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def loss(anonymized: Tensor, original: Tensor) -> Tensor:
        seen.append(original)
        return reconstruction_loss(anonymized, original)

    monkeypatch.setattr(reconstruct, "reconstruction_loss", loss)
    reconstruct.run(stage_context("reconstruct", config, tiny_data, tmp_path))
    first = [target[:, 0] for target in seen]
    assert all(bool((frame == 0.5).all()) for frame in first), "before the first frame of a clip, or an image, nothing changes"
    assert any(target.shape[1] > 1 and bool((target != 0.5).any()) for target in seen)


class LessTheOneBefore(Anonymizer):
    def clips(self, clips: Tensor) -> Tensor:
        return clips - clips.roll(1, dims=1)


def test_of_a_view_the_last_frame_is_compared(config: TrialConfig, tiny_data: Path, tmp_path: Path) -> None:
    context = stage_context("other", config, tiny_data, tmp_path)
    pair = anonymized_pair(context, LessTheOneBefore(), [ramp(1, 3), ramp(7, 8)])
    assert [view.unique().tolist() for view in pair] == [[2.0], [1.0]]
    assert pair[0].shape == (1, 1, 3, 8, 8)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"anonymizer.target": "difference"}, "target = difference needs an earlier frame; set anonymizer.window"),
        ({"anonymizer.window_input": "differences"}, "window_input = differences needs an earlier frame"),
        (
            {"anonymizer.window": 2, "anonymizer.name": "residual"},
            "anonymizer.window = 2: residual takes no window, unet and unetpp do",
        ),
        ({"anonymizer.window": 2, "anonymizer.target": "difference"}, "an image has no frame before it.*minimax.pair=frames"),
    ],
)
def test_a_window_that_cannot_be_is_one_line(tiny_config: TrialConfig, values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        resolved(with_values(tiny_config, values))
