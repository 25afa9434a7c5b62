"""Privacy networks f_B: frames ((B T), C, H, W), float RGB in [0, 1] -> projections, or logits of attributes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.config import NetworkConfig
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Backbone, Classifier, standardised
from trainables.models.mobilenet import MobileNetFrames
from trainables.models.weights import initialise
from trainables.registry import Registry

PRIVACY_BACKBONES: Registry[Callable[[], Backbone]] = Registry("privacy network")

PROJECTION = 128


class PrivacyEncoder(Classifier):
    """Backbone and the projection head of SimCLR, https://arxiv.org/abs/2002.05709: an MLP width - width - 128.

    With a ResNet-50 that is the 2048-2048-128 of the paper's supplement.
    """

    def make_head(self, outputs: int) -> nn.Module:
        return nn.Sequential(nn.Linear(self.width, self.width), nn.ReLU(inplace=True), nn.Linear(self.width, outputs))

    def forward(self, frames: Tensor) -> Tensor:
        """L2-normalised projections (N, 128), in float32 whatever autocast does: NT-Xent exponentiates their products."""
        return functional.normalize(super().forward(frames).float(), dim=1)


class PrivacyClassifier(Classifier):
    """Logits (N, attributes), one per attribute, each for a sigmoid."""


def build_privacy_encoder(network: NetworkConfig) -> PrivacyEncoder:
    """The self-supervised f_B of training. Raises ConfigError for an unknown name or weights that do not fit."""
    model = PrivacyEncoder(PRIVACY_BACKBONES[network.name](), PROJECTION)
    initialise(model, network)
    return model


def build_privacy_classifier(network: NetworkConfig, attributes: int) -> PrivacyClassifier:
    """The supervised f_B' of evaluation. Raises ConfigError for an unknown name or weights that do not fit."""
    model = PrivacyClassifier(PRIVACY_BACKBONES[network.name](), attributes)
    initialise(model, network)
    return model


def _resnet(name: str) -> Backbone:
    """https://arxiv.org/abs/1512.03385, of torchvision."""
    from torchvision.models import get_model

    return Backbone(get_model(name, weights=None), "fc", IMAGENET_MEAN, IMAGENET_STD)


for _name in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"):
    PRIVACY_BACKBONES.register(_name)(partial(_resnet, _name))


@PRIVACY_BACKBONES.register("mobilenet_v2")
def _mobilenet_v2() -> Backbone:
    """MobileNetV2 of torchvision on frames of at least 112 pixels (see `trainables.models.mobilenet`)."""
    return Backbone(MobileNetFrames(), "classifier.1", IMAGENET_MEAN, IMAGENET_STD)


@PRIVACY_BACKBONES.register("frozen_mobilenet_v2")
def _frozen_mobilenet_v2() -> Backbone:
    """The same, of which only the head learns: with ImageNet's weights a linear probe."""
    return Backbone(MobileNetFrames(frozen=True), "classifier.1", IMAGENET_MEAN, IMAGENET_STD)


class Narrow2d(nn.Module):
    """Four convolutions, each of which halves the sides, for small frames on a CPU.

    The network sees each frame twice: as it is, and standardised by its own mean and deviation, so that low
    contrast hides nothing. Features are pooled by their maximum: a small figure is lost in a mean over the frame.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        inputs = (6, *widths)
        self.stages = nn.Sequential(*(_conv2d(a, b) for a, b in zip(inputs, widths, strict=False)))
        self.fc = nn.Linear(widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.stages(torch.cat((x, standardised(x)), dim=1)).amax((2, 3)))


def _conv2d(inputs: int, outputs: int) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


@PRIVACY_BACKBONES.register("narrow2d")
def _narrow2d() -> Backbone:
    return Backbone(Narrow2d(), "fc", IMAGENET_MEAN, IMAGENET_STD)


class Residual2d(nn.Module):
    """Residual blocks over the pixels as they are, pooled by mean and maximum over the frame.

    As an attacker it complements `narrow2d`: it keeps the full resolution for longer and does not standardise its input, so
    that it sees fine detail and tint.
    """

    def __init__(self, widths: tuple[int, ...] = (12, 24, 48)) -> None:
        super().__init__()
        inputs = (widths[0], *widths)
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU())
        self.blocks = nn.Sequential(*(_Block2d(a, b) for a, b in zip(inputs, widths, strict=False)))
        self.fc = nn.Linear(2 * widths[-1], 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.blocks(self.stem(x))
        return self.fc(torch.cat((features.mean((2, 3)), features.amax((2, 3))), dim=1))


class _Block2d(nn.Module):
    """A residual block that halves the sides."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _conv2d(inputs, outputs)
        self.second = nn.Sequential(nn.Conv2d(outputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs))
        self.aside = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.second(self.first(x)) + self.aside(x))


@PRIVACY_BACKBONES.register("residual2d")
def _residual2d() -> Backbone:
    return Backbone(Residual2d(), "fc", IMAGENET_MEAN, IMAGENET_STD)
