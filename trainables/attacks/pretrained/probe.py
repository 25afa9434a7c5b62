"""Linear classifiers of the features of a network that was trained on other pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.attacks.pretrained import FEATURES, SUMMED_FEATURES
from trainables.attacks.pretrained.utility import action_metrics
from trainables.attacks.shared import linear
from trainables.attacks.shared.learning import attacked_data, attribute_result
from trainables.attacks.shared.linear import Features
from trainables.data.loader import Loader
from trainables.evaluation.learning import groups_of
from trainables.execution.context import StageContext
from trainables.store import Outcome

MEMBER = "linear, of frozen features"


def run(context: StageContext) -> Outcome:
    """One logistic regression an attribute, of standardised features; in test it has learned from validation items, too.

    The same features say how well the action is told from them, which is no part of the attack.
    """
    features = context.inputs[FEATURES.name].state
    evidence = _read(context, features)
    return Outcome(action_metrics(features, getattr(context.data, context.data.attacked)), [], evidence)


def run_summed(context: StageContext) -> Outcome:
    """As `run`, of clips that are summed up over time; nothing is said of the action."""
    return Outcome({}, [], _read(context, context.inputs[SUMMED_FEATURES.name].state))


def _read(context: StageContext, features: Mapping[str, Tensor]) -> dict[str, Any]:
    data = attacked_data(context, whole_clips=True)
    train, validation, test = (
        _labelled(features[split], loader)
        for split, loader in (("train", data.train), ("validation", data.validation), ("test", data.test))
    )
    looked_at = validation if len(validation[0]) else None
    validated, curve = linear.measured(context, train, looked_at, groups_of(data.validation))
    every = torch.cat([train[0], validation[0]]), torch.cat([train[1], validation[1]])
    answers, labels = linear.fit(every[0], every[1], test[0]), test[1]
    parameters = (test[0].shape[1] + 1) * labels.shape[1]
    spent = {"epochs": 0.0, "items": float(len(every[0])), "parameters": float(parameters)}
    result = attribute_result(data, {MEMBER: validated}, (answers[None], labels), spent, curve).state()
    others = {"top1": _top1(answers, labels)} if bool((labels.sum(dim=1) == 1).all()) else {}
    return {"evidence": {**result, "effort_unit": "training items", "others": others}}


def _labelled(features: Tensor, loader: Loader) -> Features:
    labels = torch.tensor([item.attributes or () for item in loader.samples.items], dtype=torch.float64)
    return features.double(), labels.reshape(len(features), -1)


def _top1(answers: Tensor, labels: Tensor) -> float:
    """The share of items, each with one label, whose largest answer is the right one."""
    return float((answers.argmax(dim=1) == labels.argmax(dim=1)).double().mean())
