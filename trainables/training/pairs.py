"""The positive pairs of NT-Xent (Eq. 6): two augmentations of an image, or two frames of one video."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from trainables.data.loader import Batch, FramePairs, Loader, Stills
from trainables.execution.context import StageContext
from trainables.models.axes import frames_of


def pair_loader(context: StageContext, batch_size: int) -> Loader:
    config, seed = context.config, context.seed("pairs")
    if config.minimax.pair == "frames":
        samples: FramePairs | Stills = FramePairs(context.data.action.train, config.clip, seed, config.minimax.pair_distance)
    else:
        samples = Stills(context.data.privacy.train, config.clip, seed, views=2)
    return context.loader(samples, batch_size, shuffle=True)


def pair_views(context: StageContext, batch: Batch) -> list[Tensor]:
    """Two differently augmented views, each (N, 1, C, S, S): of one image, or of the two frames of a pair."""
    last = batch["clips"].shape[1] - 1
    frames = [batch["clips"][:, :1], batch["clips"][:, last:]]
    return [context.training_view(cast(Batch, {**batch, "clips": frames[view]}), view) for view in (0, 1)]


def project(privacy: Callable[[Tensor], Tensor], views: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The projections of two views by the privacy encoder in one pass, each (N, D)."""
    first, second = privacy(torch.cat([frames_of(view) for view in views])).chunk(2)
    return first, second
