"""Linear classifiers of features that nobody trains further, and how what they read grows with the items they learn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from trainables.attacks.shared.convergence import Curve
from trainables.attacks.shared.learning import leakages
from trainables.execution.context import StageContext
from trainables.metrics import DIGITS

Features = tuple[Tensor, Tensor]  # (N, F) of the items, and their labels (N, A)

_SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)  # of the items that are learned from, for the curve
_FLAT = 1e-4  # features of a smaller deviation are rounding of one and the same value


class Reading(NamedTuple):
    """What linear classifiers read: their leakage on validation items with its curve, `answers` (1, N, A) of the test items,
    and what was spent.
    """

    validated: float
    curve: Curve
    answers: Tensor
    effort: dict[str, float]


def labelled(features: Tensor, items: Sequence[Any], attributes: int) -> Features:
    """Features with the labels of their items."""
    labels = torch.tensor([item.attributes or () for item in items], dtype=torch.float64)
    return features.double(), labels.reshape(len(features), attributes)


def read(context: StageContext, learned: Features, known: Features | None, groups: list[str], test: Features) -> Reading:
    """Learns from `learned` and answers for `known`, of these groups, where there are any; in test it has learned from both."""
    known = known if known is not None and len(known[0]) else None
    validated, curve = measured(context, learned, known, groups)
    features, labels = learned if known is None else (torch.cat(pair) for pair in zip(learned, known, strict=True))
    parameters = (features.shape[1] + 1) * labels.shape[1]
    effort = {"epochs": 0.0, "items": float(len(features)), "parameters": float(parameters)}
    return Reading(validated, curve, fit(features, labels, test[0])[None], effort)


def measured(context: StageContext, learned: Features, looked_at: Features | None, groups: list[str]) -> tuple[float, Curve]:
    """The leakage of a classifier that has learned from all items, in others, and its curve; NaN where nothing tells."""
    found, curve = math.nan, list[dict[str, float]]()
    if looked_at is None:
        return found, curve
    order = np.random.default_rng(context.seed("order")).permutation(len(learned[0]))
    for share in _SHARES:
        some = order[: max(1, round(share * len(order)))]
        [found] = leakages(fit(learned[0][some], learned[1][some], looked_at[0])[None], looked_at[1], groups)
        if not math.isnan(found):
            curve.append({"effort": float(len(some)), "leakage": found})
    return found, curve


def fit(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Probabilities (N, A) of the test items by one linear classifier an attribute."""
    kept = train.std(dim=0, correction=0) > _FLAT
    columns = []
    for attribute in labels.T:
        if not kept.any() or attribute.min() == attribute.max():
            columns.append(attribute.mean().expand(len(test)))
            continue
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        linear.fit(train[:, kept].numpy(), attribute.numpy())
        columns.append(torch.from_numpy(linear.predict_proba(test[:, kept].numpy())[:, 1]))
    return torch.stack(columns, dim=1).round(decimals=DIGITS)
