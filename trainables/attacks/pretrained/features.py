"""The features of every item by the network of `attacks.pretrained`, computed once an anonymizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from trainables.data.items import StillSplits
from trainables.data.loader import EvaluationClips, Stills
from trainables.data.sampling import evenly
from trainables.execution.context import StageContext, filled
from trainables.models.axes import frames_of
from trainables.models.mobilenet import enlarged, pooled_over_time
from trainables.models.privacy import PrivacyClassifier, build_privacy_classifier
from trainables.shapes import Clips
from trainables.store import Outcome

_FLAT = 1e-6  # of a clip whose sums are nearer than that nothing is shown
SPLITS = ("train", "validation", "test")


def run(context: StageContext) -> Outcome:
    """Leaves (N, 2 F) of each split, in its order: the mean and the deviation of the features over frames of a video.

    The frames are of `attacks.pretrained_clips` clips spread over the video, as one who has all of it would choose them. Clips
    are anonymized whole, as the action classifier sees them, since an anonymizer may look at neighbouring frames.
    """
    return _run(context, lambda clips: clips)


def run_summed(context: StageContext) -> Outcome:
    """As `run`, of the sums over time of the clips."""
    return _run(context, summed)


def summed(clips: Clips) -> Clips:
    """(B, T, C, H, W) -> the same shape, in [0, 1]: of each frame the sum of it and of all before it in the clip.

    What is summed is how far a value is from the clip's median in its colour, which of differences is "no change". The sums of
    a clip are stretched to [0, 1]; of a clip of one flat colour they are 0.5.
    """
    median = clips.transpose(1, 2).flatten(2).median(dim=2).values[:, None, :, None, None]
    sums = (clips - median).cumsum(dim=1)
    low, high = sums.flatten(1).aminmax(dim=1)
    low, high = (value[:, None, None, None, None] for value in (low, high))
    return torch.where(high - low > _FLAT, (sums - low) / (high - low).clamp_min(_FLAT), 0.5)


def _run(context: StageContext, changed: Callable[[Tensor], Tensor]) -> Outcome:
    splits = getattr(context.data, context.data.attacked)
    network = context.placed(build_privacy_classifier(context.config.attacks.pretrained, 1)).eval()
    return Outcome({}, state={split: _features(context, network, splits, split, changed) for split in SPLITS})


def size(frames: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> the frames as the network is shown them: enlarged to `attacks.pretrained_size`, in [0, 1]."""
    return enlarged(frames.clamp(0.0, 1.0), side)


@torch.no_grad()
def _features(
    context: StageContext, network: PrivacyClassifier, splits: Any, split: str, changed: Callable[[Tensor], Tensor]
) -> Tensor:
    config, settings = context.config, context.config.attacks
    items, boxes, seed = getattr(splits, split), context.boxes(context.data.attacked), context.seed("test")
    stills = isinstance(splits, StillSplits)
    clips = 1 if stills else settings.pretrained_clips
    clip = config.clip.model_copy(update={"test_clips": clips})
    samples = Stills(items, clip, seed, boxes=boxes) if stills else EvaluationClips(items, clip, seed, boxes=boxes)
    loader = context.loader(samples, max(1, settings.batch_size // (1 if stills else clips * clip.frames)), shuffle=False)
    anonymizer, rows = context.anonymizer("anonymizer"), []
    for batch in context.evaluation_batches(loader):
        _, anonymized = context.anonymized_view(anonymizer, batch, clips=clips)
        chosen = changed(anonymized)[:, evenly(anonymized.shape[1], settings.pretrained_frames)]
        shown = filled(chosen, loader.batch_size * clips)
        with context.autocast():
            found = network.features(size(frames_of(shown), settings.pretrained_size))
        of_clips = found.float().unflatten(0, shown.shape[:2])[: len(chosen)]
        rows.append(pooled_over_time(of_clips.unflatten(0, (-1, clips)).flatten(1, 2)).cpu())
    return torch.cat(rows) if rows else torch.empty(0, 2 * network.width)
