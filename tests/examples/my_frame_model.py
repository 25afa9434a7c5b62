"""An anonymizer of one's own for `analysis.deploy`, without a trial: frames as blocks of 8 x 8 pixels."""

import torch
from torch.nn.functional import avg_pool2d, interpolate


class Mosaic:
    """The interface is `analysis.deploy.anonymizers.FrameModel`."""

    size: tuple[int, int] | None = None  # frames of any size
    device, digest, kind = "cpu", "mosaic-8", "mosaic"

    def __call__(self, frames: torch.Tensor) -> torch.Tensor:  # (N, 3, H, W) in [0, 1]
        return interpolate(avg_pool2d(frames, 8, ceil_mode=True), frames.shape[-2:])
