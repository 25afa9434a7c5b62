"""A privacy network of one's own: large strides, and the mean and the maximum over the frame.

`--set evaluate_privacy.classifier.name=coarse`; as an attacker `--set attacks.ensemble=[coarse]`.
"""

import torch
from torch import nn

from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Backbone
from trainables.models.privacy import PRIVACY_BACKBONES


class Coarse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(3, 32, 5, stride=4), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU())
        self.fc = nn.Linear(128, 1)  # exchanged for one with an output an attribute

    def forward(self, frames: torch.Tensor) -> torch.Tensor:  # (N, 3, H, W)
        found = self.convolutions(frames)
        return self.fc(torch.cat([found.mean(dim=(2, 3)), found.amax(dim=(2, 3))], dim=1))


@PRIVACY_BACKBONES.register("coarse")
def build() -> Backbone:
    return Backbone(Coarse(), "fc", IMAGENET_MEAN, IMAGENET_STD)
