"""What is done to the people of a frame: pixels inside boxes, and a Gaussian blur."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

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


def gaussian_blur(frames: Tensor, kernel: int, sigma: float) -> Tensor:
    """(F, C, H, W) blurred with an odd `kernel` and `sigma` in pixels; the border is repeated."""
    reach = kernel // 2
    offsets = torch.arange(-reach, reach + 1, device=frames.device, dtype=torch.float32)
    weights = torch.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).expand(frames.shape[1], 1, -1)
    padded = functional.pad(frames.float(), (reach, reach, reach, reach), mode="replicate")
    with torch.autocast(frames.device.type, enabled=False):  # bfloat16 has no 256 greys
        across = functional.conv2d(padded, weights[:, :, None, :], groups=frames.shape[1])
        return functional.conv2d(across, weights[:, :, :, None], groups=frames.shape[1])
