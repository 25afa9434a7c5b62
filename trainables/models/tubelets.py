"""A vision transformer over tubelets that drops those the action does not need (STPrivacy, arXiv 2301.03046), for f_A."""

from __future__ import annotations

import math
from collections import deque

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainables.config import AnonymizerConfig
from trainables.models.base import ANONYMIZERS, Anonymizer

FRAMES = 2  # of a tubelet
BLOCKS = 2  # before tubelets are dropped, and again after
KEEP = 0.7


@ANONYMIZERS.register("tubelets")
class Tubelets(Anonymizer):
    """Clips (B, T, C, H, W) -> the same shape. A tubelet is 2 frames of 2^depth x 2^depth pixels: 2 x 16 x 16 at depth 4.

    A predictor scores every tubelet; dropped ones become black and are not seen by the blocks that remake the others. In
    training each is kept or dropped by a hard Gumbel-Softmax sample, in use the best `keep` of every time slice are kept.
    What 2 frames and 2^depth pixels do not divide is padded by repeating the border, and the result is cropped back.
    """

    keep: Tensor

    def __init__(self, config: AnonymizerConfig) -> None:
        super().__init__()
        self.side = 2**config.depth
        self.bounded = config.output == "sigmoid"
        pixels = 3 * FRAMES * self.side**2
        width = max(96, 12 * self.side)  # 192 for 16 pixels, as the smallest ViT
        self.register_buffer("keep", torch.tensor(KEEP))
        self.embed = nn.Linear(pixels, width)
        self.encoder = nn.ModuleList(_Block(width) for _ in range(BLOCKS))
        self.score = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width // 2), nn.GELU(), nn.Linear(width // 2, 1))
        self.decoder = nn.ModuleList(_Block(width) for _ in range(BLOCKS))
        self.to_pixels = nn.Linear(width, pixels)
        # the share of tubelets kept in each of the last passes in training, with its gradient
        self.kept: deque[Tensor] = deque(maxlen=2)

    def forward(self, frames: Tensor) -> Tensor:
        """Anonymizes single frames: each is repeated for the length of a tubelet."""
        return self.clips(frames.unsqueeze(1)).squeeze(1)

    def clips(self, clips: Tensor) -> Tensor:
        _, frames, _, height, width = clips.shape
        padded = self._padded(clips)
        grid = (padded.shape[1] // FRAMES, padded.shape[3] // self.side, padded.shape[4] // self.side)
        tokens = self.embed(self._cut(padded, grid) * 4.0 - 2.0)  # near mean 0 and deviation 1
        tokens = tokens + positions(grid, tokens.shape[-1]).to(tokens)
        for block in self.encoder:
            tokens = block(tokens)
        mask = self._mask(self.score(tokens).squeeze(-1).float(), grid)
        tokens = tokens * mask.unsqueeze(-1).to(tokens.dtype)
        for block in self.decoder:
            tokens = block(tokens, mask > 0.5)
        pixels = self.to_pixels(tokens).float()  # float32 before the sigmoid, as for the other anonymizers
        pixels = (pixels.sigmoid() if self.bounded else pixels) * mask.unsqueeze(-1)
        return self._joined(pixels, grid)[:, :frames, :, :height, :width]

    def _mask(self, scores: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """(B, N) scores -> (B, N) of 1 for kept and 0 for dropped."""
        if self.training:
            pairs = torch.stack([scores, torch.zeros_like(scores)], dim=-1)
            mask = functional.gumbel_softmax(pairs, hard=True)[..., 0]
            self.kept.append(mask.mean())
            return mask
        return best_of_each_slice(scores, grid[0], float(self.keep))

    def _padded(self, clips: Tensor) -> Tensor:
        _, frames, _, height, width = clips.shape
        padding = (0, -width % self.side, 0, -height % self.side, 0, 0, 0, -frames % FRAMES)
        if not any(padding):
            return clips
        channels = functional.pad(clips.transpose(1, 2), (*padding[:4], *padding[6:]), mode="replicate")
        return channels.transpose(1, 2)

    def _cut(self, clips: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """(B, T, C, H, W) -> (B, N, pixels): tubelets in the order of time, rows, columns."""
        time, rows, columns = grid
        cut = clips.reshape(-1, time, FRAMES, 3, rows, self.side, columns, self.side)
        return cut.permute(0, 1, 4, 6, 2, 3, 5, 7).flatten(4).flatten(1, 3)

    def _joined(self, tubelets: Tensor, grid: tuple[int, int, int]) -> Tensor:
        """The inverse of `_cut`."""
        time, rows, columns = grid
        cut = tubelets.reshape(-1, time, rows, columns, FRAMES, 3, self.side, self.side)
        return cut.permute(0, 1, 4, 5, 2, 6, 3, 7).reshape(-1, time * FRAMES, 3, rows * self.side, columns * self.side)


class _Block(nn.Module):
    """Pre-norm attention and MLP, https://arxiv.org/abs/2010.11929."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 32
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, tokens: Tensor, kept: Tensor | None = None) -> Tensor:
        """tokens: (B, N, width); kept: (B, N) bool, which tokens the others may attend to (None: all)."""
        heads = self.queries_keys_values(self.before_attention(tokens)).unflatten(-1, (3, self.heads, -1))
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        seen = None
        if kept is not None:  # a token always sees itself: a row without any key would be NaN
            seen = (kept[:, None, :] | torch.eye(kept.shape[1], dtype=torch.bool, device=kept.device)).unsqueeze(1)
        attended = functional.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
        tokens = tokens + self.projection(attended.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.before_mlp(tokens))


def best_of_each_slice(scores: Tensor, slices: int, keep: float) -> Tensor:
    """(B, N) scores, N in `slices` equal parts -> (B, N): 1 for the best `keep` of each part, rounded up, else 0."""
    parts = scores.unflatten(1, (slices, -1))
    best = parts.topk(math.ceil(round(keep * parts.shape[2], 6)), dim=2).indices
    return torch.zeros_like(parts).scatter_(2, best, 1.0).flatten(1)


def positions(grid: tuple[int, int, int], width: int) -> Tensor:
    """Sines and cosines of time, row and column, a third of the width each: (N, width). Any grid will do."""
    count = width // 6
    rates = torch.exp(torch.arange(count) * (-math.log(1000.0) / count))
    axes = torch.meshgrid(*(torch.arange(size, dtype=torch.float32) for size in grid), indexing="ij")
    angles = torch.cat([axis.reshape(-1, 1) * rates for axis in axes], dim=1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
