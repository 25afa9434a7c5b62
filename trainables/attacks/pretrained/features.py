"""The features of every item by the network of `attacks.pretrained`, computed once an anonymizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trainables.attacks.shared.learning import evenly
from trainables.data.items import StillSplits
from trainables.data.loader import EvaluationClips, Stills
from trainables.execution.context import StageContext, filled
from trainables.models.axes import frames_of
from trainables.models.mobilenet import enlarged, pooled_over_time
from trainables.models.privacy import PrivacyClassifier, build_privacy_classifier
from trainables.store import Outcome

SPLITS = ("train", "validation", "test")


def run(context: StageContext) -> Outcome:
    """Leaves (N, 2 F) of each split, in its order: the mean and the deviation of the features over frames of a video.

    The frames are of `attacks.pretrained_clips` clips spread over the video, as one who has all of it would choose them. Clips
    are anonymized whole, as the action classifier sees them, since an anonymizer may look at neighbouring frames.
    """
    splits = getattr(context.data, context.data.attacked)
    network = context.placed(build_privacy_classifier(context.config.attacks.pretrained, 1)).eval()
    return Outcome({}, state={split: _features(context, network, splits, split) for split in SPLITS})


def size(frames: Tensor, side: int) -> Tensor:
    """(N, C, H, W) -> the frames as the network is shown them: enlarged to `attacks.pretrained_size`, in [0, 1]."""
    return enlarged(frames.clamp(0.0, 1.0), side)


@torch.no_grad()
def _features(context: StageContext, network: PrivacyClassifier, splits: Any, split: str) -> Tensor:
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
        chosen = anonymized[:, evenly(anonymized.shape[1], settings.pretrained_frames)]
        shown = filled(chosen, loader.batch_size * clips)
        with context.autocast():
            found = network.features(size(frames_of(shown), settings.pretrained_size))
        of_clips = found.float().unflatten(0, shown.shape[:2])[: len(chosen)]
        rows.append(pooled_over_time(of_clips.unflatten(0, (-1, clips)).flatten(1, 2)).cpu())
    return torch.cat(rows) if rows else torch.empty(0, 2 * network.width)
