"""Downsampling: the mean of each block and nothing of what is in it, for sides of any length."""

from __future__ import annotations

import pytest
import torch

from trainables.config import AnonymizerConfig, TrialConfig
from trainables.methods import METHODS, resolved
from trainables.models.anonymizers import build_anonymizer


@pytest.mark.parametrize("factor", [2, 4])
def test_frames_that_agree_in_the_mean_of_every_block_look_alike(factor: int) -> None:
    config = resolved(TrialConfig(method=f"downsample_{factor}x")).anonymizer
    downsample = build_anonymizer(config)
    assert not list(downsample.parameters())
    frames = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    blocks = torch.nn.functional.avg_pool2d(frames, factor)
    same_means = blocks.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3)
    torch.testing.assert_close(downsample(frames), downsample(same_means))
    assert (downsample(frames) - frames).abs().mean() > 0.1
    flat = torch.full((1, 3, 16, 16), 0.4)
    torch.testing.assert_close(downsample(flat), flat)


@pytest.mark.parametrize("size", [(7, 9), (3, 2), (113, 30)])
def test_sides_that_the_factor_does_not_divide(size: tuple[int, int]) -> None:
    downsample = build_anonymizer(AnonymizerConfig(name="downsample_4x"))
    frames = torch.rand(1, 3, *size)
    out = downsample(frames)
    assert out.shape == frames.shape
    assert frames.min() <= out.min() <= out.max() <= frames.max()


def test_the_methods_name_their_source() -> None:
    assert all(METHODS[f"downsample_{factor}x"].source for factor in (2, 4))


def test_the_shorter_side_has_the_pixels_that_were_asked_for() -> None:
    """12 x 24 pixels at 4: the mean of each 3 x 3 block, whatever is in it, is what the middle of the block shows."""
    config = resolved(TrialConfig(method="downsample_to", options={"pixels": 4}))
    downsample = build_anonymizer(config.anonymizer, config.options)
    frames = torch.rand(2, 3, 12, 24, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(downsample(frames)[..., 1::3, 1::3], torch.nn.functional.avg_pool2d(frames, 3))


@pytest.mark.parametrize("size", [(8, 8), (5, 30)])
def test_frames_that_have_no_more_pixels_stay(size: tuple[int, int]) -> None:
    config = resolved(TrialConfig(method="downsample_to", options={"pixels": 8}))
    frames = torch.rand(1, 3, *size)
    assert torch.equal(build_anonymizer(config.anonymizer, config.options)(frames), frames)
