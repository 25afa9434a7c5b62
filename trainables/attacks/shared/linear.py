"""Linear classifiers of features that nobody trains further, and how what they read grows with the items they learn from."""

from __future__ import annotations

import math

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
