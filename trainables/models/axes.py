"""The only places where time is folded into the batch and back.

Clips are (B, T, C, H, W), frames are ((B T), C, H, W), both float RGB in [0, 1]. A reshape that names no axis can move colour
planes into time without any error, so every other module goes through these functions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.shapes import Clips, Frames


def frames_of(clips: Clips) -> Frames:
    """(B, T, C, H, W) -> ((B T), C, H, W): frame t of clip b is at index b * T + t."""
    if clips.dim() != 5 or clips.shape[2] != 3:
        raise ValueError(f"expected RGB clips (B, T, 3, H, W), got shape {tuple(clips.shape)}")
    return clips.flatten(0, 1)


def clips_of(frames: Frames, batch: int) -> Clips:
    """((B T), C, H, W) -> (B, T, C, H, W), the inverse of `frames_of`."""
    if frames.dim() != 4 or frames.shape[1] != 3 or frames.shape[0] % batch:
        raise ValueError(f"expected RGB frames (B * T, 3, H, W) of {batch} clips, got shape {tuple(frames.shape)}")
    return frames.unflatten(0, (batch, -1))


def windows_of(clips: Clips, length: int, differences: bool = False) -> Tensor:
    """(B, T, C, H, W) -> ((B T), length * C, H, W): each frame, then those before it, the nearest first.

    differences: of the earlier ones how far the frame is from each. Before a clip begins, its first frame stands still: such an
    earlier frame is that one, and its difference 0.
    """
    seen = [clips]
    for back in range(1, length):
        start = clips[:, :1].expand(-1, min(back, clips.shape[1]), -1, -1, -1)
        earlier = torch.cat([start, clips[:, :-back]], dim=1)[:, : clips.shape[1]]
        seen.append(clips - earlier if differences else earlier)
    return torch.cat(seen, dim=2).flatten(0, 1)


def changes_of(clips: Tensor) -> Tensor:
    """(B, T, C, H, W), of any C -> the same shape: how far each frame is from the one before it; 0 for the first."""
    return torch.cat([torch.zeros_like(clips[:, :1]), clips[:, 1:] - clips[:, :-1]], dim=1)


def channels_first(clips: Clips) -> Tensor:
    """(B, T, C, H, W) -> (B, C, T, H, W), the layout of 3D convolutions."""
    if clips.dim() != 5 or clips.shape[2] != 3:
        raise ValueError(f"expected RGB clips (B, T, 3, H, W), got shape {tuple(clips.shape)}")
    return clips.permute(0, 2, 1, 3, 4)
