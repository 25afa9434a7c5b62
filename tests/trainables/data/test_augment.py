"""Augmentation on batches: per clip, equal over its frames, and the same as torchvision's where that has the operation."""

from __future__ import annotations

import pytest
import torch
import torchvision.transforms.v2.functional as reference
from torch import Tensor

from trainables.config import AugmentConfig
from trainables.data import augment
from trainables.data.augment import DRAWS, augment_clips, centre_crop, to_float

NOTHING = AugmentConfig(
    crop_min=1.0,
    crop_max=1.0,
    test_crop=1.0,
    flip=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    contrast_probability=1,
    colour_probability=1,
    grey=0,
    erase=0,
)


@pytest.fixture
def clips() -> Tensor:
    return torch.randint(0, 256, (4, 3, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def draws() -> Tensor:
    return torch.rand(4, DRAWS, generator=torch.Generator().manual_seed(1))


def test_without_augmentation_the_frames_are_the_video_s(clips: Tensor, draws: Tensor) -> None:
    torch.testing.assert_close(augment_clips(clips, draws, NOTHING, 12), to_float(clips), atol=1e-5, rtol=0)
    torch.testing.assert_close(centre_crop(clips, NOTHING, 12), to_float(clips), atol=1e-5, rtol=0)


def test_all_frames_of_a_clip_get_the_same(draws: Tensor) -> None:
    frame = torch.randint(0, 256, (4, 1, 3, 12, 12), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))
    out = augment_clips(frame.expand(-1, 5, -1, -1, -1).contiguous(), draws, AugmentConfig(), 8)
    torch.testing.assert_close(out, out[:, :1].expand_as(out))


def test_a_clip_gets_the_same_in_any_batch(clips: Tensor, draws: Tensor) -> None:
    config = AugmentConfig()
    together = augment_clips(clips, draws, config, 8)
    alone = torch.cat([augment_clips(clips[i : i + 1], draws[i : i + 1], config, 8) for i in range(4)])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)


def test_output_stays_in_range(clips: Tensor, draws: Tensor) -> None:
    strong = AugmentConfig(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.5, grey=0.5, erase=1.0, erasures=4)
    out = augment_clips(clips, draws, strong, 8)
    assert 0.0 <= out.min() <= out.max() <= 1.0


def test_flip_mirrors_every_frame(clips: Tensor, draws: Tensor) -> None:
    flipped = augment_clips(clips, draws, NOTHING.model_copy(update={"flip": 1.0}), 12)
    torch.testing.assert_close(flipped, to_float(clips).flip(-1), atol=1e-5, rtol=0)


def test_centre_crop_is_the_middle(clips: Tensor) -> None:
    half = centre_crop(clips, NOTHING.model_copy(update={"test_crop": 0.5}), 6)
    torch.testing.assert_close(half, to_float(clips)[..., 3:9, 3:9], atol=1e-5, rtol=0)


@pytest.mark.parametrize("corner", [0.0, 1.0])
def test_the_crop_reaches_the_corners_and_not_beyond(clips: Tensor, draws: Tensor, corner: float) -> None:
    draws = draws.clone()
    draws[:, augment._ROW] = draws[:, augment._COLUMN] = corner
    out = augment_clips(clips, draws, NOTHING.model_copy(update={"crop_min": 0.5, "crop_max": 0.5}), 6)
    expected = to_float(clips)[..., :6, :6] if corner == 0.0 else to_float(clips)[..., 6:, 6:]
    torch.testing.assert_close(out, expected, atol=1e-5, rtol=0)


def test_the_side_of_the_crop_is_drawn_between_its_limits(draws: Tensor) -> None:
    """Of a picture whose colour is its column a crop in the middle spans as many columns as it is wide."""
    ramp = torch.arange(240, dtype=torch.uint8).view(1, 1, 1, 1, 240).expand(4, 1, 3, 240, 240).contiguous()
    draws = draws.clone()
    draws[:, augment._CROP] = torch.tensor([0.0, 0.25, 0.5, 1.0])
    draws[:, augment._ROW] = draws[:, augment._COLUMN] = 0.5
    out = augment_clips(ramp, draws, NOTHING.model_copy(update={"crop_min": 0.4, "crop_max": 0.8}), 60)
    spans = 255 * (out[:, 0, 0, 0, -1] - out[:, 0, 0, 0, 0]) * 60 / 59 / 240  # from the middle of a pixel to that of another
    assert spans.tolist() == pytest.approx([0.4, 0.5, 0.6, 0.8], abs=0.01)


@pytest.mark.parametrize(
    ("change", "probability"),
    [
        ("brightness", "colour_probability"),
        ("saturation", "colour_probability"),
        ("hue", "colour_probability"),
        ("contrast", "contrast_probability"),
    ],
)
def test_colours_change_as_often_and_as_much_as_configured(change: str, probability: str) -> None:
    """The clips that are changed are changed by all strengths, not by the weak ones alone."""
    pixels = torch.randint(60, 200, (1, 1, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    draws = torch.rand(2000, DRAWS, generator=torch.Generator().manual_seed(5))
    config = NOTHING.model_copy(update={change: 0.2, probability: 0.3})
    out = augment_clips(pixels.expand(2000, -1, -1, -1, -1).contiguous(), draws, config, 4)
    moved = (out - to_float(pixels)).abs().amax(dim=(1, 2, 3, 4))
    changed = moved > 1e-3
    assert changed.float().mean().item() == pytest.approx(0.3, abs=0.04)
    always = augment_clips(pixels.expand(2000, -1, -1, -1, -1).contiguous(), draws, NOTHING.model_copy(update={change: 0.2}), 4)
    largest = (always - to_float(pixels)).abs().amax(dim=(1, 2, 3, 4)).max().item()
    assert moved.max().item() == pytest.approx(largest, rel=0.05)


def test_hue_is_turned_as_torchvision_turns_it(clips: Tensor) -> None:
    pixels = to_float(clips)
    turns = torch.tensor([-0.3, 0.0, 0.1, 0.45])
    expected = torch.stack([reference.adjust_hue(clip, turn.item()) for clip, turn in zip(pixels, turns, strict=True)])
    torch.testing.assert_close(augment._turn_hue(pixels, turns), expected, atol=2e-5, rtol=0)


def test_saturation_and_brightness_as_torchvision(clips: Tensor, draws: Tensor) -> None:
    for name, column, function in (
        ("saturation", augment._SATURATION, reference.adjust_saturation),
        ("brightness", augment._BRIGHTNESS, reference.adjust_brightness),
    ):
        out = augment_clips(clips, draws, NOTHING.model_copy(update={name: 0.5}), 12)
        factors = 1.0 + 0.5 * (draws[:, column] * 2 - 1)
        expected = torch.stack([function(clip, f.item()) for clip, f in zip(to_float(clips), factors, strict=True)])
        torch.testing.assert_close(out, expected, atol=2e-3, rtol=0)  # torchvision rounds its grey weights


def test_grey_and_erasure_happen_as_often_as_configured() -> None:
    white = torch.full((400, 1, 3, 8, 8), 255, dtype=torch.uint8)
    white[:, :, 2] = 0
    draws = torch.rand(400, DRAWS, generator=torch.Generator().manual_seed(3))
    grey = augment_clips(white, draws, NOTHING.model_copy(update={"grey": 0.1}), 8)
    assert (grey[:, 0, 2] > 0.1).all(dim=(1, 2)).float().mean().item() == pytest.approx(0.1, abs=0.04)
    erased = augment_clips(white, draws, NOTHING.model_copy(update={"erase": 0.4, "erasures": 2}), 8)
    touched = (erased[:, 0, 0] == 0).any(dim=1).any(dim=1).float().mean().item()
    assert touched == pytest.approx(1 - 0.6**2, abs=0.08)
