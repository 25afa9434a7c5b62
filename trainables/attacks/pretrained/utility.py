"""What the same features tell of the action: the utility that a small classifier from scratch may miss as well."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from trainables.data.items import StillSplits, VideoSplits
from trainables.schema import ends
from trainables.statistics import interval, mean

FLAT = 1e-6  # the deviation of a feature below which it is the same for all items


def action_metrics(features: Mapping[str, Tensor], splits: VideoSplits | StillSplits) -> dict[str, float]:
    """The top-1 accuracy of one multinomial logistic regression of the action, learned from training and validation items.

    features: (N, F) of each split, in its order. Where none tells anything, the most frequent action of the training items is
    named. Empty for images, which show no action.
    """
    if isinstance(splits, StillSplits):
        return {}
    known = (*splits.train, *splits.validation)
    learned = np.concatenate([features["train"].double().numpy(), features["validation"].double().numpy()])
    kept = learned.std(axis=0) > FLAT
    labels = np.array([video.label for video in known])
    if kept.any() and len(set(labels.tolist())) > 1:
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(learned[:, kept], labels)
        said = linear.predict(features["test"].double().numpy()[:, kept])
    else:
        said = np.full(len(splits.test), np.bincount(labels).argmax())
    right = said == np.array([video.label for video in splits.test])
    sure = interval(mean([video.name for video in splits.test], [video.group for video in splits.test], right))
    return {"pretrained_top1": float(right.mean()), **ends("pretrained_top1", sure.low, sure.high)}
