"""Classifiers that learned from one kind of frames and predict the attributes of the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.attacks.retrained import RETRAINED
from trainables.attacks.shared.learning import attacked_data, attribute_result, frame_classifiers, member_names
from trainables.evaluation.learning import LabelledData, predict, show_raw
from trainables.execution.context import StageContext
from trainables.stages import part_name
from trainables.store import Outcome


def raw_trained(context: StageContext) -> Outcome:
    """Trained on raw frames, tested on anonymized ones (Table 6)."""
    data, trained = attacked_data(context), context.inputs[part_name(RETRAINED.name, "raw")].state
    networks = frame_classifiers(context, data, trained["network"]).eval()
    predicted = predict(context, context.anonymizer("anonymizer"), networks, data.test, clips=data.clips)
    return _outcome(context, data, predicted, trained)


def reverse(context: StageContext) -> Outcome:
    """Trained on anonymized frames, tested on raw ones.

    A classifier that predicts the same for all anonymized validation items has learned nothing, and that prediction counts for
    it here: what such a network makes of frames unlike any it has seen is left over from its first weights.
    """
    data, trained = attacked_data(context), context.inputs[RETRAINED.name].state
    networks, anonymizer = frame_classifiers(context, data, trained["network"]).eval(), context.anonymizer("anonymizer")
    known, _ = predict(context, anonymizer, networks, data.validation)
    predictions, labels = predict(context, anonymizer, networks, data.test, show_raw, data.clips)
    nothing = (known == known[:, :1]).all(dim=1, keepdim=True)  # (M, 1, A)
    return _outcome(context, data, (torch.where(nothing, known[:, :1], predictions), labels), trained)


def _outcome(
    context: StageContext, data: LabelledData, predicted: tuple[Tensor, Tensor], trained: Mapping[str, Any]
) -> Outcome:
    result = attribute_result(data, member_names(context), predicted, trained["evidence"]["effort"], [])
    return Outcome({}, [], {"evidence": result.state()})
