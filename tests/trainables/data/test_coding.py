"""Clips through H.264: near the input at a low rate factor, farther at a high one, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests.support.recording import Ran, ran
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.data import coding
from trainables.data.coding import coded
from trainables.execution import context


def moving_picture(batch: int, frames: int, height: int, width: int) -> Tensor:
    """(B, T, 3, H, W): smooth greys, with a little colour, that wander to the right."""
    chance, size = torch.Generator().manual_seed(0), (height // 8 + 1, (width + frames) // 8 + 1)
    coarse = 0.9 * torch.rand(batch, 1, *size, generator=chance) + 0.1 * torch.rand(batch, 3, *size, generator=chance)
    wide = functional.interpolate(coarse, (height, width + frames), mode="bilinear")
    return torch.stack([wide[..., n : n + width] for n in range(frames)], dim=1)


def psnr(first: Tensor, second: Tensor) -> float:
    """In decibels, of values in [0, 1]."""
    return float(-10.0 * (first - second).square().mean().log10())


def test_a_low_rate_factor_is_near_and_a_high_one_far() -> None:
    """A mean error of a grey level is 48 dB; CRF 18 counts as hardly visible, 35 dB and more."""
    clips = moving_picture(2, 6, 48, 64)
    near, middle, far = (psnr(clips, coded(clips, f"h264_crf{crf}")) for crf in (18, 28, 35))
    assert near > 35.0
    assert near > middle + 2.0 > far + 4.0
    assert far > 20.0, "it is still the same clip"


@pytest.mark.parametrize(("frames", "height", "width"), [(6, 48, 64), (1, 32, 32), (3, 33, 47)])
def test_shapes_stay_and_values_lie_in_range(frames: int, height: int, width: int) -> None:
    clips = moving_picture(2, frames, height, width) * 1.6 - 0.3  # a linear output leaves [0, 1]; a file cannot
    out = coded(clips, "h264_crf18")
    assert out.shape == clips.shape
    assert out.dtype == torch.float32
    assert out.min() >= 0.0
    assert out.max() <= 1.0
    assert psnr(clips.clamp(0.0, 1.0), out) > 25.0, "frames, axes and colours are where they were"


def test_colours_and_the_order_of_frames_stay() -> None:
    """Flat frames come back within the rounding of 8 bits and of limited-range YUV."""
    colours = torch.tensor([[0.9, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.1, 0.9], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    clips = colours[None, :, :, None, None].expand(1, -1, -1, 16, 16)
    assert (coded(clips, "h264_crf10") - clips).abs().max() < 0.04


def test_each_clip_is_coded_by_itself_and_always_alike() -> None:
    clips = moving_picture(3, 4, 32, 32)
    whole = coded(clips, "h264_crf28")
    assert torch.equal(whole, coded(clips, "h264_crf28"))
    assert torch.equal(whole[1:2], coded(clips[1:2], "h264_crf28"))


def test_nothing_that_lies_in_memory_enters() -> None:
    """On a processor with AVX-512 libx264's own choice made another clip of about one in thirty; on others this cannot fail."""
    clip, chance, kept = moving_picture(1, 4, 32, 32), np.random.default_rng(0), list[np.ndarray]()
    whole = coded(clip, "h264_crf28")
    for _ in range(300):
        kept.append(chance.integers(0, 255, chance.integers(1_000, 200_000), dtype=np.uint8))  # leaves its bytes when it goes
        if len(kept) > 20:
            kept.pop(int(chance.integers(20)))
        assert torch.equal(whole, coded(clip, "h264_crf28"))


def test_no_codec_leaves_clips_as_they_are() -> None:
    clips = moving_picture(1, 2, 16, 16)
    assert coded(clips, "none") is clips


def test_clips_that_come_again_are_coded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    through = coding.through_h264

    def counted(frames: Any, crf: int) -> Any:
        calls.append(crf)
        return through(frames, crf)

    monkeypatch.setattr(coding, "through_h264", counted)
    monkeypatch.setattr(coding, "_CACHE", coding._Cache())
    clips = moving_picture(2, 2, 16, 16)
    first = coded(clips, "h264_crf28", repeated=True)
    assert torch.equal(first, coded(clips.clone(), "h264_crf28", repeated=True))
    assert calls == [28, 28], "one a clip"
    coded(clips, "h264_crf35", repeated=True)
    assert calls == [28, 28, 35, 35], "another codec is another clip"
    monkeypatch.setattr(coding, "CACHE_BYTES", first[0].numel())  # room for one
    coded(moving_picture(4, 2, 16, 16) / 2, "h264_crf28", repeated=True)
    assert len(coding._CACHE._kept) == 1


@pytest.mark.parametrize("codec", ["h264", "h264_crf52", "h264_crf-1", "vp9", ""])
def test_a_codec_that_is_none_is_refused_when_a_trial_is_made(codec: str) -> None:
    with pytest.raises(ConfigError, match="codec = "):
        with_values(TrialConfig(), {"codec": codec})


def test_without_libx264_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str, mode: str) -> None:
        raise ValueError("no codec of that name")

    monkeypatch.setattr(av.CodecContext, "create", none, raising=False)
    with pytest.raises(ConfigError, match="this PyAV has no libx264"):
        coding.through_h264(torch.zeros(1, 16, 16, 3, dtype=torch.uint8).numpy(), 18)


STAMP = 0.9


@pytest.fixture
def delivered(numbered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """A whole trial with attackers of each kind, whose codec marks every clip: the stamp of f_A in it is STAMP."""
    once = {
        f"{name}__epochs": 1 for name in ("reconstruct", "warm_up", "minimax", "evaluate_action", "evaluate_privacy", "attacks")
    }

    def marked(clips: Tensor, codec: str, repeated: bool = False) -> Tensor:
        assert codec == "h264_crf28"
        out = clips.clone()
        lower = clips[..., -1, :2]  # (B, T, 3, 2): a raw frame is striped there, a blank one is grey
        anonymized = (lower[..., 0] - lower[..., 1]).abs().amax(dim=2) < 1e-3
        anonymized &= (lower[..., 0] - 0.5).abs().amax(dim=2) > 1e-3
        out[:, :, 0, clips.shape[-2] // 2 :] = torch.where(
            anonymized[..., None, None], STAMP, out[:, :, 0, out.shape[-2] // 2 :]
        )
        return out

    monkeypatch.setattr(context, "coded", marked)
    return ran(numbered, tmp_path, attacks__names="linkage,probe,retrained", test_deployed=True, codec="h264_crf28", **once)


def test_every_network_of_the_evaluation_and_none_of_the_training_sees_what_is_delivered(delivered: Ran) -> None:
    training = {"reconstruct", "warm_up", "minimax"}
    seen = {role: delivered.log.stamps(role) for role in delivered.log.roles}
    for role, stamps in seen.items():
        if role in training:
            assert STAMP not in stamps, role
        else:
            assert stamps <= {STAMP}, role
    own = {role for role in seen if role not in training and "." not in role} - {"raw_action", "without_video", "attacks"}
    assert {role for role, stamps in seen.items() if stamps == {STAMP}} == own
