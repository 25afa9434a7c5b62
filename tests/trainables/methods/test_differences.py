"""Differences of neighbouring frames, against values worked out by hand: what is shown, of which frames, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from trainables.config import ConfigError, TrialConfig
from trainables.methods import resolved
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer, anonymize_clips

METHODS = ("grey_difference", "small_difference", "blurred_difference", "moving_pixels")


def anonymizer_of(method: str, **options: Any) -> Anonymizer:
    config = resolved(TrialConfig(method=method, options=options))
    return build_anonymizer(config.anonymizer, config.options)


def clip_of(*greys: float, side: int = 16) -> Tensor:
    """One clip (1, T, 3, side, side) of flat grey frames."""
    return torch.tensor(greys)[None, :, None, None, None].expand(1, -1, 3, side, side).clone()


def shown(method: str, *greys: float, **options: Any) -> list[float]:
    """The value of each frame, which is one for all pixels."""
    out = anonymize_clips(anonymizer_of(method, **options), clip_of(*greys))
    assert out.amax(dim=(2, 3, 4)).allclose(out.amin(dim=(2, 3, 4)))
    return [round(value, 4) for value in out.mean(dim=(0, 2, 3, 4)).tolist()]


def test_a_difference_lies_around_mid_grey_and_is_cut_off_at_its_reach() -> None:
    # 0.5 + difference / (2 * reach): +0.2 -> 0.7, -0.4 -> 0.1, +0.8 -> 1.0 (cut off at 0.5)
    assert shown("grey_difference", 0.4, 0.6, 0.2, 1.0, 1.0) == [0.5, 0.7, 0.1, 1.0, 0.5]
    assert shown("grey_difference", 0.4, 0.6, 0.2, 1.0, reach=1.0) == [0.5, 0.6, 0.3, 0.9]


def test_few_levels_are_even_and_one_of_them_is_no_change() -> None:
    # levels 0, 1/4, 2/4, 3/4, 1 stand for -0.25, -0.125, 0, 0.125, 0.25; the bounds lie half-way between
    steps = {0.06: 0.5, 0.065: 0.75, 0.187: 0.75, 0.19: 1.0, 0.9: 1.0, -0.06: 0.5, -0.065: 0.25, -0.19: 0.0}
    for change, level in steps.items():
        start = 0.05 if change > 0 else 0.5
        assert shown("blurred_difference", start, start + change)[1] == level, change
    assert len({shown("blurred_difference", 0.5, 0.5 + n / 200, levels=3)[1] for n in range(-60, 61)}) == 3


def test_pixels_that_move_are_white() -> None:
    assert shown("moving_pixels", 0.5, 0.55, 0.62, 0.55, 0.55) == [0.0, 0.0, 1.0, 1.0, 0.0]


@pytest.mark.parametrize("method", METHODS)
def test_colours_of_one_grey_value_look_alike(method: str) -> None:
    """BT.601: 0.299 R + 0.587 G + 0.114 B."""
    coloured = clip_of(0.5, 0.5)
    coloured[0, 1] = torch.tensor([0.5 + 0.587 * 0.3, 0.5 - 0.299 * 0.3, 0.5])[:, None, None]
    out = anonymize_clips(anonymizer_of(method), coloured)
    torch.testing.assert_close(out, anonymize_clips(anonymizer_of(method), clip_of(0.5, 0.5)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_what_comes_later_and_other_clips_change_nothing(method: str) -> None:
    anonymizer, clips = anonymizer_of(method), torch.rand(3, 5, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    out = anonymize_clips(anonymizer, clips)
    assert out.shape == clips.shape
    assert out.min() >= 0.0
    assert out.max() <= 1.0
    assert (out == out[:, :, :1]).all(), "grey"
    torch.testing.assert_close(anonymize_clips(anonymizer, clips[1:2, :3]), out[1:2, :3])
    assert not torch.equal(out[0], out[1])
    assert torch.equal(out, anonymize_clips(anonymizer, clips)), "the same again"


@pytest.mark.parametrize("method", METHODS)
def test_a_still_scene_and_a_single_image_show_nothing(method: str) -> None:
    still = torch.rand(2, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).expand(-1, 4, -1, -1, -1)
    nothing = 0.0 if method == "moving_pixels" else 0.5
    anonymizer = anonymizer_of(method)
    torch.testing.assert_close(anonymize_clips(anonymizer, still), torch.full_like(still, nothing))
    torch.testing.assert_close(anonymizer(still[:, 0]), torch.full_like(still[:, 0], nothing))


def test_a_small_difference_is_that_of_the_means_of_blocks() -> None:
    """16 x 16 pixels in 2 x 2 blocks: a change that leaves the mean of every block is not seen; one of 0.1 in a block is."""
    small, clips = anonymizer_of("small_difference", pixels=2), clip_of(0.5, 0.5)
    clips[0, 1, :, ::2] += 0.3
    clips[0, 1, :, 1::2] -= 0.3
    torch.testing.assert_close(anonymize_clips(small, clips), torch.full_like(clips, 0.5))
    clips[0, 1, :, :8, :8] += 0.1
    out = anonymize_clips(small, clips)[0, 1, 0]
    assert out[:4, :4].allclose(torch.tensor(0.6)), "0.5 + 0.1 / (2 * 0.5) up to the middle of the block"
    assert out[12:, 12:].allclose(torch.tensor(0.5))


def test_a_blur_spreads_a_change() -> None:
    """A line that turns white changes its neighbours by the weights of a Gaussian: exp(-1/2) / (1 + 2 exp(-1/2) + ...)."""
    clips = clip_of(0.0, 0.0, side=50)
    clips[0, 1, :, :, 25] = 1.0
    out = anonymize_clips(anonymizer_of("blurred_difference", levels=0, reach=1.0, sigma=0.02), clips)[0, 1, 0, 10]
    weights = torch.exp(-0.5 * torch.arange(-3.0, 4.0) ** 2)
    torch.testing.assert_close(out[22:29], 0.5 + weights / weights.sum() / 2)


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("blurred_difference", {"levels": 1}, "one level shows nothing"),
        ("grey_difference", {"reach": 0.0}, "options.reach = 0.0"),
        ("grey_difference", {"reach": 1.5}, "options.reach = 1.5"),
        ("blurred_difference", {"sigma": 2.0}, "options.sigma = 2.0"),
        ("grey_difference", {"levels": 3}, "options.levels: the method grey_difference has no such option"),
        ("small_difference", {"pixels": -1}, "options.pixels = -1"),
        ("downsample_to", {"pixels": 0}, "options.pixels = 0"),
    ],
)
def test_options_that_cannot_be_are_refused(method: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        anonymizer_of(method, **options)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
