"""The three steps of BDQ's encoder against values worked out by hand: what is shown, of which frames, and what is learned."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainables.config import ConfigError, TrialConfig
from trainables.methods import resolved
from trainables.models.anonymizers import build_anonymizer
from trainables.models.bdq import BlurDifferenceQuantization


def encoder(**options: Any) -> BlurDifferenceQuantization:
    config = resolved(TrialConfig(method="bdq", options=options))
    anonymizer = build_anonymizer(config.anonymizer, config.options)
    assert isinstance(anonymizer, BlurDifferenceQuantization)
    return anonymizer


def clip_of(*greys: float, side: int = 16) -> Tensor:
    """One clip (1, T, 3, side, side) of flat grey frames."""
    return torch.tensor(greys)[None, :, None, None, None].expand(1, -1, 3, side, side).clone()


def level_of(change: float, thresholds: list[float], hardness: float = 5.0, reach: float = 0.5) -> float:
    """What is shown of one difference, in plain numbers."""
    last = len(thresholds)
    place = (max(-reach, min(reach, change)) / reach + 1) / 2 * last
    return sum(1 / (1 + math.exp(-hardness * (place - threshold))) for threshold in thresholds) / last


EVEN = [number + 0.5 for number in range(15)]


def test_it_starts_as_the_released_code() -> None:
    start = encoder()
    assert (start.sigma.item(), start.kernel, start.hardness, start.thresholds.tolist()) == (3.0, 5, 5.0, EVEN)


def test_the_blur_is_that_of_a_slow_transcription() -> None:
    """56 pixels of 224 are 5 of 20, and a sigma of 22.4 is 2."""
    frames = torch.rand(2, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    weights = {(y, x): math.exp(-(y * y + x * x) / (2 * 2.0**2)) for y in range(-2, 3) for x in range(-2, 3)}
    rows, columns = torch.arange(20), torch.arange(24)
    expected = torch.zeros_like(frames)
    for (y, x), weight in weights.items():  # beyond the border stands the pixel at the border
        moved = frames[..., (rows + y).clamp(0, 19), :][..., (columns + x).clamp(0, 23)]
        expected += weight / sum(weights.values()) * moved
    found = encoder(kernel=56, sigma=22.4).blurred(frames)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("side", "width", "sigma"), [(224, 5, 3.0), (112, 3, 1.5), (448, 9, 6.0), (16, 3, 3 * 16 / 224)])
def test_the_blur_is_as_strong_in_a_frame_of_any_size(side: int, width: int, sigma: float) -> None:
    frames = torch.zeros(1, 1, side, side)
    middle = side // 2
    frames[..., middle, middle] = 1.0
    row = encoder().blurred(frames)[0, 0, middle]
    assert int((row > 0).sum()) == width
    assert (row[middle + 1] / row[middle]).item() == pytest.approx(math.exp(-1 / (2 * sigma**2)), rel=1e-4)


def test_each_frame_is_shown_as_its_difference_from_the_one_before() -> None:
    out = encoder().clips(clip_of(0.4, 0.6, 0.6, 0.1, 0.9))[0, :, 0, 8, 8].tolist()
    expected = [level_of(change, EVEN) for change in (0.0, 0.2, 0.0, -0.5, 0.8)]
    assert out == pytest.approx(expected, abs=1e-5)
    assert expected[0] == pytest.approx(0.5, abs=1e-9), "no change, as the first frame has none, is mid-grey"
    assert encoder().clips(clip_of(0.0, 1.0))[0, 1].max() <= 1.0


def test_a_single_image_shows_nothing() -> None:
    images = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(encoder()(images), torch.full_like(images, 0.5), atol=1e-6)
    moved = encoder()
    moved.thresholds.data += 0.3
    assert moved(images).unique().numel() == 1, "one value, whatever was learned"


def test_colours_are_treated_alike_and_each_by_itself() -> None:
    clips = clip_of(0.5, 0.5)
    clips[0, 1, 1] += 0.25
    found = encoder().clips(clips)[0, 1, :, 8, 8].tolist()
    assert found == pytest.approx([0.5, level_of(0.25, EVEN), 0.5], abs=1e-5)


def test_what_is_shown_of_a_frame_depends_on_it_and_the_one_before_alone() -> None:
    """Not on the other clips of a batch, as in the released code, nor on later frames."""
    clips = torch.rand(3, 5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    whole = encoder().clips(clips)
    assert torch.allclose(encoder().clips(clips[1:2]), whole[1:2], atol=1e-6)
    assert torch.allclose(encoder().clips(clips[:, 2:4])[:, 1], whole[:, 3], atol=1e-6)


def test_soft_levels_become_hard_ones_as_the_hardness_grows() -> None:
    changes = torch.linspace(-0.6, 0.6, 97)
    thresholds = torch.tensor([0.4, 1.7, 1.7, 2.9])
    last = len(thresholds)
    place = (changes.clamp(-0.5, 0.5) / 0.5 + 1) / 2 * last
    hard = (place[:, None] > thresholds).sum(dim=1) / last
    far = (place[:, None] - thresholds).abs().min(dim=1).values > 0.1
    assert int(far.sum()) > 50
    errors = []
    for hardness in (5.0, 20.0, 200.0):
        soft = encoder(levels=5, hardness=hardness)
        soft.thresholds.data.copy_(thresholds)
        shown = soft.quantized(changes).detach()
        assert (shown.diff() >= 0).all(), "a larger difference is never shown as a smaller one"
        errors.append((shown - hard)[far].abs().max().item())
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-6
    assert sorted({round(value, 4) for value in shown[far].tolist()}) == [0.0, 0.25, 0.75, 1.0], "two thresholds are at 1.7"


def test_gradients_reach_sigma_and_every_threshold() -> None:
    clips = torch.rand(2, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    learned = encoder(levels=4, sigma=15.0)
    assert {name for name, _ in learned.named_parameters()} == {"sigma", "thresholds"}
    target = torch.rand(clips.shape, generator=torch.Generator().manual_seed(1))

    def loss() -> Tensor:
        return functional.mse_loss(learned.clips(clips), target)

    loss().backward()  # type: ignore[no-untyped-call]
    assert learned.sigma.grad is not None
    assert learned.thresholds.grad is not None
    for values, number in ((learned.sigma, ()), *((learned.thresholds, (n,)) for n in range(3))):
        gradient, step = values.grad[number].item(), 0.02  # type: ignore[index]
        with torch.no_grad():
            values[number] += step
            above = loss().item()
            values[number] -= 2 * step
            slope = (above - loss().item()) / (2 * step)
            values[number] += step
        assert slope == pytest.approx(gradient, rel=0.05), number
        assert gradient != 0


def test_a_step_that_went_too_far_is_brought_back() -> None:
    moved = encoder(levels=4)
    moved.sigma.data.fill_(-2.0)
    moved.thresholds.data.copy_(torch.tensor([-1.0, 1.25, 7.0]))
    moved.hold()
    assert moved.sigma.item() == pytest.approx(0.1)
    assert moved.thresholds.tolist() == [0.0, 1.25, 3.0]
    assert moved.clips(clip_of(0.1, 0.4, 0.3)).isfinite().all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"levels": 1}, "options.levels = 1: give a number of at least 2"),
        ({"sigma": 0.0}, "options.sigma = 0.0: give a number of at least 0.1"),
        ({"reach": 2.0}, "options.reach = 2.0: "),
        ({"hardness": 0.0}, "options.hardness = 0.0: "),
        ({"bits": 4}, "options.bits: the method bdq has no such option"),
    ],
)
def test_options_that_cannot_be_are_one_line(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as error:
        encoder(**options)
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)
