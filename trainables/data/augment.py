"""The recipe's augmentation on whole batches of tensors, on the device they are on.

Every decision comes from a row of `DRAWS` uniform numbers that was drawn with the sample; all frames of a clip share it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.config import AugmentConfig
from trainables.shapes import Clips, DecodedClips, Draws, PeopleBoxes, Rows, SquareClips

_CROP, _ROW, _COLUMN, _FLIP, _BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GREY = range(9)
_PER_ERASURE = 5
MAX_ERASURES = 4
DRAWS = 9 + _PER_ERASURE * MAX_ERASURES
ERASED_AREA = (0.02, 0.33)  # of the image, as torchvision's RandomErasing
ERASED_RATIO = (0.3, 3.3)
_LOG_RATIO: tuple[float, float] = tuple(torch.log(torch.tensor(ERASED_RATIO)).tolist())  # of float32, as the clips are
_NEVER = 1e-9  # instead of a probability of 0, to divide by
_GREY_WEIGHTS = (0.299, 0.587, 0.114)


def to_float(clips: Tensor) -> Tensor:
    """uint8 (..., C, H, W) in whatever order they lie -> float32 in [0, 1], plane by plane."""
    return clips.to(torch.float32, memory_format=torch.contiguous_format).div_(255.0)


def augment_clips(clips: DecodedClips, draws: Draws, config: AugmentConfig, size: int) -> SquareClips:
    """Training view of each clip: random crop and flip, colours, erasures.

    clips: (B, T, C, H, W) uint8; draws: (B, DRAWS) in [0, 1). Returns (B, T, C, size, size) float32 in [0, 1].
    """
    views = _crop(to_float(clips), *_random_crop(draws, config), size)
    return _erase(_colours(views, draws, config), draws, config)


def augment_boxes(boxes: PeopleBoxes, draws: Draws, config: AugmentConfig) -> PeopleBoxes:
    """Where `augment_clips` with the same draws moves boxes: (B, T, N, 4) x0 y0 x1 y1 in shares of the picture -> of the view.

    Not clipped: a box outside [0, 1] has left the view. Rows of NaN stay NaN.
    """
    return _move(boxes, *_random_crop(draws, config))


def centre_crop(clips: DecodedClips, config: AugmentConfig, size: int) -> SquareClips:
    """Test view: the central `test_crop` of each frame. (B, T, C, H, W) uint8 -> (B, T, C, size, size) in [0, 1]."""
    return _crop(to_float(clips), *_central_crop(clips, config), size)


def centre_crop_boxes(boxes: PeopleBoxes, config: AugmentConfig) -> PeopleBoxes:
    """Where `centre_crop` moves boxes: as `augment_boxes`."""
    return _move(boxes, *_central_crop(boxes, config))


def _random_crop(draws: Draws, config: AugmentConfig) -> tuple[Rows, Rows, Rows, Rows]:
    """Side, flip (-1 or 1), x and y of the crop's centre, in normalised coordinates [-1, 1], of every sample."""
    side = config.crop_min + draws[:, _CROP] * (config.crop_max - config.crop_min)
    flip = torch.where(draws[:, _FLIP] < config.flip, -1.0, 1.0)
    room = 1.0 - side  # the crop's centre moves in [-room, room]
    return side, flip, (draws[:, _COLUMN] * 2 - 1) * room, (draws[:, _ROW] * 2 - 1) * room


def _central_crop(batch: Tensor, config: AugmentConfig) -> tuple[Rows, Rows, Rows, Rows]:
    """The crop of the test view, in the form of `_random_crop`, for every sample of `batch`."""
    side = torch.full((len(batch),), config.test_crop, device=batch.device)
    zero = torch.zeros(len(batch), device=batch.device)
    return side, torch.ones_like(side), zero, zero


def _move(boxes: PeopleBoxes, side: Rows, flip: Rows, x: Rows, y: Rows) -> PeopleBoxes:
    """The inverse of `_crop`'s grid, which sends view coordinate u to side * flip * u + x."""
    left, right = _to_view(boxes[..., 0], side * flip, x), _to_view(boxes[..., 2], side * flip, x)
    top, bottom = _to_view(boxes[..., 1], side, y), _to_view(boxes[..., 3], side, y)
    return torch.stack([torch.minimum(left, right), top, torch.maximum(left, right), bottom], dim=-1)


def _to_view(positions: Tensor, scale: Rows, shift: Rows) -> Tensor:
    return ((positions * 2 - 1 - shift.view(-1, 1, 1)) / scale.view(-1, 1, 1) + 1) / 2


def _crop(clips: Clips, side: Rows, flip: Rows, x: Rows, y: Rows, size: int) -> SquareClips:
    """Crops, flips and resizes each clip by one affine grid.

    Its T x C planes are the channels that grid_sample moves together.
    """
    batch, time, channels = clips.shape[:3]
    zero = torch.zeros_like(side)
    theta = torch.stack([torch.stack([side * flip, zero, x], dim=1), torch.stack([zero, side, y], dim=1)], dim=1)
    with torch.autocast(clips.device.type, enabled=False):  # bfloat16 would move the crop by up to half a pixel
        grid = F.affine_grid(theta, [batch, 1, size, size], align_corners=False)
    planes = F.grid_sample(clips.flatten(1, 2), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return planes.unflatten(1, (time, channels))


def _grey(clips: Tensor) -> Tensor:
    """(B, T, 3, H, W) -> (B, T, 1, H, W)"""
    weights = torch.tensor(_GREY_WEIGHTS, device=clips.device, dtype=clips.dtype).view(3, 1, 1)
    return (clips * weights).sum(dim=2, keepdim=True)


def _colours(clips: Clips, draws: Draws, config: AugmentConfig) -> Clips:
    """Brightness, contrast, saturation by a factor in 1 +- strength; hue by +- `hue` turns; grey. Each with its probability."""
    if config.brightness:
        change = _change(draws[:, _BRIGHTNESS], config.brightness, config.colour_probability)
        clips = (clips * _factor(change)).clamp(0.0, 1.0)
    if config.contrast:  # towards the mean grey of the whole clip: one value for all of its frames
        change = _change(draws[:, _CONTRAST], config.contrast, config.contrast_probability)
        clips = _blend(clips, _grey(clips).mean(dim=(1, 2, 3, 4), keepdim=True), _factor(change))
    if config.saturation:
        change = _change(draws[:, _SATURATION], config.saturation, config.colour_probability)
        clips = _blend(clips, _grey(clips), _factor(change))
    if config.hue:
        clips = _turn_hue(clips, _change(draws[:, _HUE], config.hue, config.colour_probability))
    if config.grey:
        clips = torch.where((draws[:, _GREY] < config.grey).view(-1, 1, 1, 1, 1), _grey(clips), clips)
    return clips


def _change(drawn: Rows, strength: float, probability: float) -> Rows:
    """Between -strength and strength, and 0 for the clips that are not changed."""
    place = drawn / max(probability, _NEVER)  # uniform in [0, 1) where drawn < probability
    return torch.where(drawn < probability, strength * (place * 2 - 1), torch.zeros_like(drawn))


def _factor(change: Rows) -> Tensor:
    """(B,) -> (B, 1, 1, 1, 1)"""
    return (1.0 + change).view(-1, 1, 1, 1, 1)


def _blend(clips: Clips, other: Tensor, ratio: Tensor) -> Clips:
    return (clips * ratio + other * (1.0 - ratio)).clamp(0.0, 1.0)


def _turn_hue(clips: Clips, turns: Rows) -> Clips:
    """Adds `turns` (B,) to the HSV hue, keeping saturation and value."""
    red, green, blue = clips.unbind(dim=2)
    value, least = clips.amax(dim=2), clips.amin(dim=2)
    chroma = value - least
    safe = torch.where(chroma > 0, chroma, torch.ones_like(chroma))
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2.0 + (blue - red) / safe, 4.0 + (red - green) / safe),
    )
    sixth = sixth + 6.0 * turns.view(-1, 1, 1, 1)
    # HSV -> RGB: channel n is value - chroma * clamp(min(k, 4 - k), 0, 1) with k = (n + hue) mod 6, n = 5, 3, 1
    planes = []
    for n in (5.0, 3.0, 1.0):
        k = torch.remainder(sixth + n, 6.0)
        planes.append(value - chroma * torch.minimum(k, 4.0 - k).clamp(0.0, 1.0))
    return torch.stack(planes, dim=2)


def _erase(clips: Clips, draws: Draws, config: AugmentConfig) -> Clips:
    """Blacks out `erasures` rectangles, each with probability `erase`, at the same place in all frames of a clip."""
    if not config.erase or not config.erasures:
        return clips
    size = clips.shape[-1]
    axis = (torch.arange(size, device=clips.device) + 0.5) / size
    keep = torch.ones(clips.shape[0], 1, 1, size, size, dtype=torch.bool, device=clips.device)
    for number in range(config.erasures):
        on, area, ratio, row, column = draws[:, 9 + number * _PER_ERASURE :][:, :_PER_ERASURE].unbind(dim=1)
        area = ERASED_AREA[0] + area * (ERASED_AREA[1] - ERASED_AREA[0])
        low, high = _LOG_RATIO
        ratio = torch.exp(low + ratio * (high - low))
        height, width = (area * ratio).sqrt().clamp(max=1.0), (area / ratio).sqrt().clamp(max=1.0)
        top, left = row * (1.0 - height), column * (1.0 - width)
        rows = (axis >= top[:, None]) & (axis < (top + height)[:, None])
        columns = (axis >= left[:, None]) & (axis < (left + width)[:, None])
        erased = rows[:, :, None] & columns[:, None, :] & (on < config.erase)[:, None, None]
        keep &= ~erased[:, None, None]
    return clips * keep
