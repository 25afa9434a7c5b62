"""Classifiers that learned from one kind of frames and are asked about the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.attacks import ATTACKS
from trainables.attacks.common import Target, anonymized, ask, attribute_evidence, ensemble_of, member_names, raw, target_of
from trainables.execution.context import StageContext
from trainables.stages import part_name
from trainables.store import Outcome

_RETRAINED = ATTACKS["retrained"].stage.name


def raw_trained(context: StageContext) -> Outcome:
    """Trained on raw frames, asked about anonymized ones (Table 6)."""
    target, trained = target_of(context), context.inputs[part_name(_RETRAINED, "raw")].state
    ensemble = ensemble_of(context, target, trained["network"]).eval()
    asked = ask(context, context.anonymizer("anonymizer"), ensemble, target.test, anonymized, target.clips)
    return _outcome(context, target, asked, trained)


def reverse(context: StageContext) -> Outcome:
    """Trained on anonymized frames, asked about raw ones.

    Who gives all anonymized validation items the same answer has learned nothing, and gives that answer here: what such a
    network makes of frames unlike any it has seen is chance of another kind, that of its first weights.
    """
    target, trained = target_of(context), context.inputs[_RETRAINED].state
    ensemble, anonymizer = ensemble_of(context, target, trained["network"]).eval(), context.anonymizer("anonymizer")
    known, _ = ask(context, anonymizer, ensemble, target.validation)
    answers, labels = ask(context, anonymizer, ensemble, target.test, raw, target.clips)
    nothing = (known == known[:, :1]).all(dim=1, keepdim=True)  # (M, 1, A)
    return _outcome(context, target, (torch.where(nothing, known[:, :1], answers), labels), trained)


def _outcome(context: StageContext, target: Target, asked: tuple[Tensor, Tensor], trained: Mapping[str, Any]) -> Outcome:
    evidence = attribute_evidence(target, member_names(context), asked, trained["evidence"]["effort"], [])
    return Outcome({}, [], {"evidence": evidence.state()})
