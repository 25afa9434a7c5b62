"""An anonymizer of one's own for `analysis.deploy`, without a trial: frames as blocks of 8 x 8 pixels."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import avg_pool2d, interpolate


class Mosaic:
    """The interface is `analysis.deploy.frame_model.FrameModel`."""

    size: tuple[int, int] | None = None  # frames of any size
    measured_at = None  # at which size it was measured: not known
    dial = None
    device, digest, kind = "cpu", "mosaic-8", "mosaic"

    def begin(self) -> None:
        """Frames are anonymized each by itself."""

    def at_once(self, count: int) -> int:
        return 1

    def __call__(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:  # (N, 3, H, W) in [0, 1]
        blocks = avg_pool2d(torch.from_numpy(frames), 8, ceil_mode=True)
        return interpolate(blocks, frames.shape[-2:]).numpy()
