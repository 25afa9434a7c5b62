"""The image-to-image network of VITA (arXiv 1906.05675) and of style transfer (arXiv 1603.08155), for f_A."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from trainables.config import AnonymizerConfig
from trainables.models.base import ANONYMIZERS, Anonymizer
from trainables.models.classifier import IMAGENET_MEAN, IMAGENET_STD, Normalize

BLOCKS = 5
SHRINKS = 4  # the factor by which the residual blocks see the frame smaller


@ANONYMIZERS.register("residual")
class Residual(Anonymizer):
    """Two convolutions that halve the sides, five residual blocks, two that double them again.

    Widths are 1, 2 and 4 times the last of `decoder_channels`: 32, 64, 128 with the defaults. Sides that 4 does not divide
    are padded by repeating the border, and the result is cropped back.
    """

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.bounded = config.output == "sigmoid"
        self.normalize = Normalize(IMAGENET_MEAN, IMAGENET_STD)
        norm, width = config.decoder_norm, config.decoder_channels[-1]
        self.network = nn.Sequential(
            *_conv(3, width, norm, kernel=9),
            *_conv(width, 2 * width, norm, stride=2),
            *_conv(2 * width, 4 * width, norm, stride=2),
            *(_Block(4 * width, norm) for _ in range(BLOCKS)),
            nn.Upsample(scale_factor=2),
            *_conv(4 * width, 2 * width, norm),
            nn.Upsample(scale_factor=2),
            *_conv(2 * width, width, norm),
            nn.Conv2d(width, 3, 9, padding=4),
        )

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        padding = (0, -width % SHRINKS, 0, -height % SHRINKS)
        padded = functional.pad(self.normalize(frames), padding, mode="replicate")
        output = self.network(padded)[..., :height, :width].float()  # float32 before the sigmoid
        return output.sigmoid() if self.bounded else output


class _Block(nn.Module):
    def __init__(self, width: int, norm: str) -> None:
        super().__init__()
        self.change = nn.Sequential(*_conv(width, width, norm), nn.Conv2d(width, width, 3, padding=1), _norm(norm, width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)


def _conv(inputs: int, outputs: int, norm: str, kernel: int = 3, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), _norm(norm, outputs), nn.ReLU(inplace=True)


def _norm(name: str, width: int) -> nn.Module:
    """A norm by its name in AnonymizerConfig."""
    if name == "batchnorm":
        return nn.BatchNorm2d(width)
    if name == "instancenorm":
        return nn.InstanceNorm2d(width, affine=True)
    return nn.GroupNorm(1, width) if name == "layernorm" else nn.Identity()
