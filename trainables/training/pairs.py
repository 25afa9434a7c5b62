"""The positive pairs of NT-Xent (Eq. 6): two augmentations of an image, or two frames of one video."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from trainables.data.loader import Batch, FramePairs, Loader, Stills
from trainables.execution.context import StageContext
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer


def pair_loader(context: StageContext, batch_size: int) -> Loader:
    config, seed = context.config, context.seed("pairs")
    if config.minimax.pair == "frames":
        distance, window = config.minimax.pair_distance, config.anonymizer.window
        samples: FramePairs | Stills = FramePairs(context.data.action.train, config.clip, seed, distance, window)
    else:
        samples = Stills(context.data.privacy.train, config.clip, seed, views=2)
    return context.loader(samples, batch_size, shuffle=True)


def pair_views(context: StageContext, batch: Batch) -> list[Tensor]:
    """Two differently augmented views, each (N, window, C, S, S): of one image (window 1), or of the two frames of a pair."""
    window = max(1, batch["clips"].shape[1] // 2)
    frames = [batch["clips"][:, :window], batch["clips"][:, -window:]]
    return [context.training_view(cast(Batch, {**batch, "clips": frames[view]}), view) for view in (0, 1)]


def anonymized_pair(context: StageContext, anonymizer: Anonymizer, views: list[Tensor]) -> list[Tensor]:
    """The last frame of each view as f_A shows it, (N, 1, C, S, S): those before it are there for f_A alone."""
    return [context.anonymize(anonymizer, view)[:, -1:] for view in views]


def project(privacy: Callable[[Tensor], Tensor], views: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The projections of two views by the privacy encoder in one pass, each (N, D)."""
    first, second = privacy(torch.cat([frames_of(view) for view in views])).chunk(2)
    return first, second
