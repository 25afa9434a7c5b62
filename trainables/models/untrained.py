"""Anonymizers without training that change whole frames: fewer pixels, and differences of neighbouring frames."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainables.config import AnonymizerConfig, ConfigError
from trainables.models.axes import changes_of, clips_of
from trainables.models.base import ANONYMIZERS, Anonymizer, Options
from trainables.models.obfuscation import gaussian_blur

LUMA = (0.299, 0.587, 0.114)  # of R, G and B in a grey value, ITU-R BT.601
_REACH = 3.0  # of a Gaussian, in standard deviations


def shrunk(frames: Tensor, pixels: int) -> Tensor:
    """(F, C, H, W) -> (F, C, h, w), area-resized so that the shorter side has `pixels`; frames that have no more stay."""
    height, width = frames.shape[-2:]
    side = min(height, width)
    if pixels >= side:
        return frames
    size = tuple(max(1, round(length * pixels / side)) for length in (height, width))
    return functional.interpolate(frames, size, mode="area")


def _stretched(frames: Tensor, size: tuple[int, int]) -> Tensor:
    """(F, C, h, w) -> (F, C, *size); bilinear, as nearest would add the edges of its blocks and hold no more of the picture."""
    return frames if frames.shape[-2:] == size else functional.interpolate(frames, size, mode="bilinear", align_corners=False)


@ANONYMIZERS.register("downsample_to")
class FewerPixels(Anonymizer):
    """Area-resizes a frame until its shorter side has `pixels` (an option of the method), and brings it back to its size."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.pixels = 0

    def configure(self, options: Options) -> None:
        self.pixels = int(options.get("pixels", 0))
        if self.pixels < 1:
            raise ConfigError(f"options.pixels = {self.pixels}: give the pixels of the shorter side, 1 or more")

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        return _stretched(shrunk(frames, self.pixels), (height, width))


@ANONYMIZERS.register("difference")
class Difference(Anonymizer):
    """The difference of each frame's grey values from those of the frame before: mid-grey is no change, white +`reach`.

    It is causal: the first frame of a clip, which has none before it, and so every single image, is mid-grey. Options of the
    method: frames are first shrunk to `pixels` (0: not), then blurred by a Gaussian of `sigma`, a share of the shorter side
    (0: not); the difference, cut off at +-`reach`, is rounded to the nearest of `levels` values, evenly apart (0: not). An odd
    number of levels has one for "no change", so that the noise of a still scene is not shown.
    """

    window = 2

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.pixels, self.sigma, self.levels, self.reach = 0, 0.0, 0, 1.0

    def configure(self, options: Options) -> None:
        self.pixels, self.levels = (int(options.get(name, 0)) for name in ("pixels", "levels"))
        self.sigma, self.reach = float(options.get("sigma", 0.0)), float(options.get("reach", 1.0))
        if self.pixels < 0 or not 0.0 <= self.sigma <= 1.0:
            raise ConfigError(
                f"options.pixels = {self.pixels}, options.sigma = {self.sigma}: give 0 for neither, or pixels of the shorter"
                " side and a share of it up to 1"
            )
        if self.levels == 1 or self.levels < 0:
            raise ConfigError(f"options.levels = {self.levels}: one level shows nothing; give 2 or more, or 0 for all")
        if not 0.0 < self.reach <= 1.0:
            raise ConfigError(f"options.reach = {self.reach}: give the largest difference that is shown, above 0 and up to 1")

    def forward(self, frames: Tensor) -> Tensor:
        return self.clips(frames.unsqueeze(1)).squeeze(1)

    def clips(self, clips: Tensor) -> Tensor:
        batch, _, _, height, width = clips.shape
        luma = torch.tensor(LUMA, device=clips.device, dtype=torch.float32)
        grey = torch.einsum("btchw,c->bthw", clips.float(), luma).flatten(0, 1).unsqueeze(1)  # ((B T), 1, H, W)
        small = shrunk(grey, self.pixels) if self.pixels else grey
        if self.sigma:
            sigma = self.sigma * min(small.shape[-2:])
            small = gaussian_blur(small, 2 * max(1, round(_REACH * sigma)) + 1, sigma)
        change = changes_of(small.unflatten(0, (batch, -1)))
        shown = _stretched(self.shown(change).flatten(0, 1), (height, width))
        return clips_of(shown.expand(-1, 3, -1, -1), batch)

    def shown(self, change: Tensor) -> Tensor:
        """Differences of grey values, in [-1, 1] -> what is shown of them, in [0, 1]."""
        share = (change.clamp(-self.reach, self.reach) / self.reach + 1.0) / 2.0
        return (share * (self.levels - 1)).round() / (self.levels - 1) if self.levels else share


@ANONYMIZERS.register("moving_pixels")
class MovingPixels(Difference):
    """White where a grey value has changed by more than `reach` since the frame before, black elsewhere; options as above."""

    def shown(self, change: Tensor) -> Tensor:
        return (change.abs() > self.reach).float()
