"""Classifiers that learned from one kind of frames and predict the attributes of the other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from trainables.attacks.retrained import RETRAINED
from trainables.attacks.shared.learning import (
    FrameClassifiers,
    attacked_data,
    attribute_result,
    frame_classifiers,
    leakages,
    member_names,
)
from trainables.evaluation.learning import LabelledData, Shown, groups_of, predict, show_anonymized, show_raw
from trainables.execution.context import StageContext
from trainables.stages import part_name
from trainables.store import Outcome


def raw_trained(context: StageContext) -> Outcome:
    """Trained on raw frames, tested on anonymized ones (Table 6)."""
    data, trained = attacked_data(context, learned_in=RETRAINED.name), context.inputs[part_name(RETRAINED.name, "raw")].state
    networks = frame_classifiers(context, data, trained["network"]).eval()
    validation, test = _predicted(context, data, networks, show_anonymized)
    return _outcome(context, data, leakages(*validation, groups_of(data.validation)), test, trained)


def reverse(context: StageContext) -> Outcome:
    """Trained on anonymized frames, tested on raw ones.

    A classifier that predicts the same for all anonymized validation items has learned nothing: what it makes of raw frames,
    unlike any it has seen, is left over from its first weights. Its predictions stand as they are, but its leakage on
    validation items is not known, so that it never counts as the strongest.
    """
    data, trained = attacked_data(context, learned_in=RETRAINED.name), context.inputs[RETRAINED.name].state
    networks = frame_classifiers(context, data, trained["network"]).eval()
    seen, _ = predict(context, context.anonymizer("anonymizer"), networks, data.validation)
    validation, test = _predicted(context, data, networks, show_raw)
    learned = (seen != seen[:, :1]).flatten(1).any(dim=1).tolist()  # by member
    known = leakages(*validation, groups_of(data.validation))
    nothing = [name for name, something in zip(member_names(context), learned, strict=True) if not something]
    note = (
        f"{', '.join(nothing)} learned nothing from anonymized frames: what they make of raw ones comes of their first weights"
    )
    validated = [leakage if something else math.nan for leakage, something in zip(known, learned, strict=True)]
    return _outcome(context, data, validated, test, trained, [note] if nothing else [])


def _predicted(
    context: StageContext, data: LabelledData, networks: FrameClassifiers, shown: Shown
) -> list[tuple[Tensor, Tensor]]:
    """Predictions (M, N, A) and labels (N, A) of the validation and of the test items."""
    anonymizer = context.anonymizer("anonymizer")
    return [
        predict(context, anonymizer, networks, loader, shown, clips)
        for loader, clips in ((data.validation, 1), (data.test, data.clips))
    ]


def _outcome(
    context: StageContext,
    data: LabelledData,
    validated: Sequence[float],
    predicted: tuple[Tensor, Tensor],
    trained: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> Outcome:
    members = dict(zip(member_names(context), validated, strict=True))
    result = attribute_result(data, members, predicted, trained["evidence"]["effort"], [])
    converged = trained["evidence"]["converged"]
    return Outcome({}, [], {"evidence": {**result.state(), "converged": converged, "notes": list(notes)}})
