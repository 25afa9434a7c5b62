"""Linear classifiers of the features of a network that was trained on other pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from trainables.attacks.pretrained import FEATURES, SUMMED_FEATURES
from trainables.attacks.pretrained.utility import action_metrics
from trainables.attacks.shared import linear
from trainables.attacks.shared.learning import attacked_data, attribute_result
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
        linear.labelled(features[split], loader.samples.items, len(data.attributes))
        for split, loader in (("train", data.train), ("validation", data.validation), ("test", data.test))
    )
    found, labels = linear.read(context, train, validation, groups_of(data.validation), test), test[1]
    result = attribute_result(data, {MEMBER: found.validated}, (found.answers, labels), found.effort, found.curve).state()
    others = {"top1": _top1(found.answers[0], labels)} if bool((labels.sum(dim=1) == 1).all()) else {}
    return {"evidence": {**result, "effort_unit": "training items", "others": others}}


def _top1(answers: Tensor, labels: Tensor) -> float:
    """The share of items, each with one label, whose largest answer is the right one."""
    return float((answers.argmax(dim=1) == labels.argmax(dim=1)).double().mean())
