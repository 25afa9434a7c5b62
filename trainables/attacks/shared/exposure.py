"""How an attacker of single frames reads a clip over time: its worst frame, and for how many frames in a row all is read."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.statistics import Kept


def exposure(frames: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """One row for each of N test items, from the probabilities (N, C, T, A) of T frames of each of C clips, and labels (N, A).

    A frame is read where every attribute is on its right side of one half. `worst_frame`: the number, from 0 and clip after
    clip, of the frame with the largest mean probability of what is true. `longest_run`: how many frames in a row are read, at
    most, within one clip. `frames`: how many are looked at in one clip.
    """
    truth = labels[:, None, None] > 0
    of_truth = torch.where(truth, frames, 1.0 - frames)
    read = ((frames > 0.5) == truth).all(dim=3)
    worst = of_truth.mean(dim=3).flatten(1).argmax(dim=1).tolist()
    return [
        {"worst_frame": frame, "longest_run": max(_longest_run(clip) for clip in clips), "frames": frames.shape[2]}
        for frame, clips in zip(worst, read.numpy(), strict=True)
    ]


def exposed_shares(frames: Tensor, labels: Tensor) -> dict[str, float]:
    """Further figures of the attack: the share of all frames that are read, that of items with such a frame, and that of items
    of which a guesser who always says the more frequent value of each attribute is right.
    """
    read = ((frames > 0.5) == (labels[:, None, None] > 0)).all(dim=3).flatten(1)
    frequent = labels.mean(dim=0) > 0.5
    return {
        "frames_all_right": float(read.double().mean()),
        "clips_all_right": float(read.any(dim=1).double().mean()),
        "all_right_by_guess": float(((labels > 0) == frequent).all(dim=1).double().mean()),
    }


def _longest_run(read: Kept) -> int:
    longest = now = 0
    for each in read.tolist():
        now = now + 1 if each else 0
        longest = max(longest, now)
    return longest
