"""Anonymizers without training that change the people of a frame inside given boxes, and a Gaussian blur."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainables.config import AnonymizerConfig, ConfigError
from trainables.models.axes import clips_of, frames_of
from trainables.models.base import ANONYMIZERS, Anonymizer, Options

_ROUNDING = 1e-3  # of a pixel: a box that ends on the edge of a pixel does not cover the next one


def people_mask(boxes: Tensor, height: int, width: int) -> Tensor:
    """(F, N, 4) boxes in shares of the frame -> (F, 1, H, W) bool: every pixel that a box covers, be it in part.

    Rows of NaN and boxes outside the frame cover nothing.
    """
    boxes = boxes.float()

    def covered(low: Tensor, high: Tensor, size: int) -> Tensor:
        """(F, N), (F, N) -> (F, N, size)"""
        pixel = torch.arange(size, device=boxes.device)
        low, high = low[..., None] * size + _ROUNDING, high[..., None] * size - _ROUNDING
        return (low < pixel + 1) & (high > pixel)

    rows = covered(boxes[..., 1], boxes[..., 3], height).float()
    columns = covered(boxes[..., 0], boxes[..., 2], width).float()
    return (torch.einsum("fnh,fnw->fhw", rows, columns) > 0.5)[:, None]


def gaussian_blur(frames: Tensor, kernel: int, sigma: float | Tensor) -> Tensor:
    """(F, C, H, W) blurred with an odd `kernel` and `sigma` in pixels, a number or (); the border is repeated."""
    reach = kernel // 2
    offsets = torch.arange(-reach, reach + 1, device=frames.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).expand(frames.shape[1], 1, -1)
    padded = functional.pad(frames.float(), (reach, reach, reach, reach), mode="replicate")
    with torch.autocast(frames.device.type, enabled=False):  # bfloat16 has no 256 greys
        across = functional.conv2d(padded, weights[:, :, None, :], groups=frames.shape[1])
        return functional.conv2d(across, weights[:, :, :, None], groups=frames.shape[1])


class Obfuscator(Anonymizer):
    """Changes the people of a frame and nothing else. Without boxes it refuses: it never changes a whole frame."""

    def forward(self, frames: Tensor, boxes: Tensor | None = None) -> Tensor:
        """((B T), C, H, W) and boxes ((B T), N, 4) as of `people_mask`."""
        if boxes is None:
            raise ConfigError("this anonymizer needs boxes of people; set method=blackening, weak_blur or strong_blur")
        return torch.where(people_mask(boxes, *frames.shape[-2:]), self.inside_boxes(frames), frames)

    def inside_boxes(self, frames: Tensor) -> Tensor:
        """Returns ((B T), C, H, W): the frames whose pixels replace those inside the boxes."""
        raise NotImplementedError


@ANONYMIZERS.register("blackening")
class Blackening(Obfuscator):
    """People are black."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()

    def inside_boxes(self, frames: Tensor) -> Tensor:
        return torch.zeros_like(frames)


@ANONYMIZERS.register("weak_blur")
@ANONYMIZERS.register("strong_blur")
class Blur(Obfuscator):
    """People are blurred; the options `kernel` and `sigma` are shares of the frame's shorter side."""

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.kernel, self.sigma = 0.0, 0.0

    def configure(self, options: Options) -> None:
        self.kernel, self.sigma = (float(options.get(name, 0.0)) for name in ("kernel", "sigma"))
        for name, value in (("kernel", self.kernel), ("sigma", self.sigma)):
            if not 0.0 < value <= 1.0:
                raise ConfigError(f"options.{name} = {value}: give a share of the frame's side, above 0 and up to 1")

    def inside_boxes(self, frames: Tensor) -> Tensor:
        side = min(frames.shape[-2:])
        kernel = max(3, 2 * round((self.kernel * side - 1) / 2) + 1)  # the nearest odd number that blurs at all
        return gaussian_blur(frames, kernel, self.sigma * side)


@ANONYMIZERS.register("mild_blur")
class FrameBlur(Blur):
    """The whole frame is blurred; options as of `Blur`."""

    def forward(self, frames: Tensor, boxes: Tensor | None = None) -> Tensor:
        return self.inside_boxes(frames)


def obfuscate_clips(anonymizer: Anonymizer, clips: Tensor, boxes: Tensor) -> Tensor:
    """(B, T, C, H, W) and people's boxes (B, T, N, 4) in shares of the frame -> (B, T, C, H, W).

    Raises ConfigError for an anonymizer that has no use for boxes.
    """
    if not isinstance(anonymizer, Obfuscator):
        raise ConfigError(f"anonymizer.name: a {type(anonymizer).__name__} changes whole frames, the method boxes of people")
    return clips_of(anonymizer(frames_of(clips), boxes.flatten(0, 1)), batch=clips.shape[0])
