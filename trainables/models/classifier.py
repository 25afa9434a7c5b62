"""What action and privacy networks share: input normalisation, a backbone, and a head that can be exchanged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

RGB = tuple[float, float, float]
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# Added to a standard deviation before dividing by it: otherwise the noise of a flat picture would be amplified.
FLAT = 0.02


class Normalize(nn.Module):
    """(x - mean) / std per colour of (..., 3, H, W), inside the model so that every caller passes plain [0, 1] RGB.

    The statistics belong to the architecture, not to what was learned: they move with `.to(device)` but are not saved.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: RGB, std: RGB) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.std


def standardised(pixels: Tensor) -> Tensor:
    """Shifts and scales each clip (N, C, T, H, W) or frame (N, C, H, W) to mean 0 and a deviation near 1 in each colour."""
    axes = tuple(range(2, pixels.dim()))
    deviation = pixels.std(axes, correction=0, keepdim=True)
    return (pixels - pixels.mean(axes, keepdim=True)) / (deviation + FLAT)


@dataclass(frozen=True)
class Backbone:
    """A network that still has its last linear layer; `head` is the name of that layer in `network`."""

    network: nn.Module
    head: str
    mean: RGB
    std: RGB


class Classifier(nn.Module):
    """A network that normalises pixels, computes features and applies a head.

    `library_head` is the name of the head in the library's own state dicts, whose keys do not start with `backbone.` either.
    """

    def __init__(self, backbone: Backbone, outputs: int) -> None:
        super().__init__()
        last = backbone.network.get_submodule(backbone.head)
        assert isinstance(last, nn.Linear)
        backbone.network.set_submodule(backbone.head, nn.Identity())
        self.library_head = backbone.head
        self.width = last.in_features
        self.normalize = Normalize(backbone.mean, backbone.std)
        self.backbone = backbone.network
        self.head = self.make_head(outputs)

    def make_head(self, outputs: int) -> nn.Module:
        return nn.Linear(self.width, outputs)

    def features(self, pixels: Tensor) -> Tensor:
        """Returns the features (N, width) that the head sees."""
        return self.backbone(self.normalize(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        """Returns logits (N, outputs)."""
        return self.head(self.features(pixels))
