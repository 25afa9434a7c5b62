"""The dial of an anonymizer: a number in [0, 1] that tells it the operating point.

In training it travels with the frames, as a fourth plane behind their colours, so that whatever divides a batch divides both.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_COLOURS = 3
_HIDDEN = 32


def as_plane(dial: Tensor, pictures: Tensor) -> Tensor:
    """(N,) -> (N, ..., 1, H, W), for `pictures` (N, ..., C, H, W): frames, or clips, which have one dial for all frames."""
    rows = dial.to(pictures.dtype).view(-1, *[1] * (pictures.dim() - 1))
    return rows.expand(*pictures.shape[:-3], 1, *pictures.shape[-2:])


def dialled(clips: Tensor, dial: Tensor) -> Tensor:
    """Clips (B, T, 3, H, W) with the dial of each, (B,): (B, T, 4, H, W)."""
    return torch.cat([clips, as_plane(dial, clips)], dim=2)


def undialled(clips: Tensor) -> Tensor:
    """(B, T, 3, H, W), of clips with or without a dial."""
    return clips[:, :, :_COLOURS]


def apart(clips: Tensor) -> tuple[Tensor, Tensor | None]:
    """The inverse of `dialled`: clips (B, T, 3, H, W), and the dial of each frame ((B T),); None of clips without a dial."""
    if clips.shape[2] == _COLOURS:
        return clips, None
    return undialled(clips), clips[:, :, _COLOURS, 0, 0].flatten()


class Modulation(nn.Module):
    """FiLM (https://arxiv.org/abs/1709.07871): scale and shift of every channel of features, as functions of the dial.

    It begins as the identity.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.channels = list(channels)
        last = nn.Linear(_HIDDEN, 2 * sum(channels))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(nn.Linear(1, _HIDDEN), nn.ReLU(inplace=True), last)

    def forward(self, features: Sequence[Tensor], dial: Tensor) -> list[Tensor]:
        """features: (N, C_i, H_i, W_i) of each level; dial: (N,). Returns features of the same shapes."""
        scales, shifts = self.layers(dial[:, None])[..., None, None].chunk(2, dim=1)
        parts = zip(features, scales.split(self.channels, dim=1), shifts.split(self.channels, dim=1), strict=True)
        return [values * (1 + scale) + shift for values, scale, shift in parts]
