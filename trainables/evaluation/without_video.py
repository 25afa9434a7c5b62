"""The baseline of every attack on attributes: who knows the other attributes of a test item, and has never seen the video."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from trainables.evaluation.learning import require_labels
from trainables.execution.context import StageContext
from trainables.metrics import DIGITS, leakage_of
from trainables.predictions import of_attributes
from trainables.statistics import Array
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    """Predicts every attribute of the test items that attackers see; their predictions are kept beside those of the others."""
    splits = getattr(context.data, context.data.attacked)
    require_labels(splits)
    train, test = (np.array([item.attributes for item in items], dtype=float) for items in (splits.train, splits.test))
    if not len(test):
        return Outcome({}, notes=(f"{splits.name}: no test items, of which attributes could tell one another",))
    probabilities = from_others(train, test)
    files = of_attributes(context.stage, splits.test, splits.attributes, probabilities, test)
    try:
        found = leakage_of(probabilities, test, splits.attributes, [item.group for item in splits.test])
    except ValueError as error:
        return Outcome({}, files=files, notes=(f"{splits.name}: {error}",))
    return Outcome({"leakage_without_video": found.leakage}, files=files)


def from_others(train: Array, test: Array) -> Array:
    """The probability of each attribute given the others: labels (N, A) of training items, (M, A) of test items -> (M, A).

    A logistic regression an attribute (the control of Anonymeter: Giomi and others, PoPETs 2023), learned from the labels of
    training items. Without another attribute that tells anything it is the attribute's share of the training items, which
    ranks nothing. An attribute that no training item has together with the one in question is left out: it is another value of
    one and the same question, as the columns of people are, and would give the answer away.
    """
    columns = []
    for number, truth in enumerate(train.T):
        varies = train.min(axis=0) < train.max(axis=0)
        together = (train[truth > 0] > 0).any(axis=0)
        used = varies & together & (np.arange(train.shape[1]) != number)
        if not varies[number] or not used.any():
            columns.append(np.full(len(test), truth.mean()))
            continue
        linear = LogisticRegression(max_iter=1000).fit(train[:, used], truth)
        columns.append(linear.predict_proba(test[:, used])[:, 1])
    return np.stack(columns, axis=1).round(DIGITS)
