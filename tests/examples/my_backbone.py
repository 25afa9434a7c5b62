"""An action backbone of one's own: the mean frame, and the mean change from frame to frame, through small convolutions."""

import torch
from torch import nn

from trainables.models.action import ACTION_CLASSIFIERS
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Backbone


class MeanAndChange(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(nn.Conv2d(6, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2), nn.ReLU())
        self.fc = nn.Linear(32, 1)  # exchanged for one with an output a class

    def forward(self, clips: torch.Tensor) -> torch.Tensor:  # (B, C, T, H, W)
        change = (clips[:, :, 1:] - clips[:, :, :-1]).abs().mean(dim=2)
        return self.fc(self.convolutions(torch.cat([clips.mean(dim=2), change], dim=1)).mean(dim=(2, 3)))


@ACTION_CLASSIFIERS.register("mean_and_change")
def build(config: object) -> Backbone:
    return Backbone(MeanAndChange(), "fc", IMAGENET_MEAN, IMAGENET_STD)
