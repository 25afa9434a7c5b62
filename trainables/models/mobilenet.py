"""MobileNetV2 (https://arxiv.org/abs/1801.04381, of torchvision) on frames that are enlarged to a size it is good at.

Its features tell more of small frames at 112 pixels than at their own size: what was learned from ImageNet was learned of
objects of some size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 112  # pixels of the shorter side; larger frames stay as they are
WIDTH = 1280
_LEAST_VARIANCE = 1e-6  # the deviation over equal frames has no derivative


def enlarged(frames: Tensor, side: int = SIDE) -> Tensor:
    """(N, C, H, W) -> the same, with a shorter side of at least `side`."""
    height, width = frames.shape[-2:]
    scale = side / min(height, width)
    if scale <= 1.0:
        return frames
    size = (round(height * scale), round(width * scale))
    return functional.interpolate(frames, size, mode="bilinear", align_corners=False)


class MobileNetFrames(nn.Module):
    """Frames ((B T), 3, H, W), normalised -> a head `classifier.1`, as of torchvision, on the mean over the frame.

    frozen: only the head learns (a linear probe); the trunk keeps its weights and its statistics. Gradients go through to the
    pixels all the same, so that an anonymizer can be trained against it.
    """

    def __init__(self, frozen: bool = False) -> None:
        super().__init__()
        from torchvision.models import get_model

        network = get_model("mobilenet_v2", weights=None)
        self.features: nn.Module = network.features
        self.classifier: nn.Sequential = network.classifier
        self.frozen = frozen
        self.features.requires_grad_(not frozen)

    def train(self, mode: bool = True) -> MobileNetFrames:
        super().train(mode)
        if self.frozen:
            self.features.eval()
        return self

    def of_frames(self, frames: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1280)"""
        return functional.adaptive_avg_pool2d(self.features(enlarged(frames)), 1).flatten(1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.classifier(self.of_frames(frames))


class MobileNetClips(MobileNetFrames):
    """Clips (B, 3, T, H, W): a head on the mean and the deviation over time of each feature of the frames."""

    def __init__(self, frozen: bool = False) -> None:
        super().__init__(frozen)
        self.classifier[1] = nn.Linear(2 * WIDTH, 1)

    def forward(self, clips: Tensor) -> Tensor:
        frames = clips.transpose(1, 2)
        found = self.of_frames(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        return self.classifier(pooled_over_time(found))


def pooled_over_time(features: Tensor) -> Tensor:
    """(B, T, F) -> (B, 2 F): the mean and the deviation of each feature."""
    deviation = (features.var(dim=1, correction=0) + _LEAST_VARIANCE).sqrt()
    return torch.cat([features.mean(dim=1), deviation], dim=1)
