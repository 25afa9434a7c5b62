"""Classifiers of several architectures, trained with labels on anonymized frames."""

from __future__ import annotations

from torch import Tensor

from trainables.attacks.common import attribute_loss, ensemble_of, member_names, read_attributes, target_of
from trainables.data.loader import Batch
from trainables.execution.context import StageContext
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    target, names = target_of(context), member_names(context)
    anonymizer = context.anonymizer("anonymizer")
    ensemble = ensemble_of(context, target)

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, hidden = context.anonymized_view(anonymizer, batch, training=True)
        logits = ensemble(hidden)
        return {
            f"loss_{number}_{name}": attribute_loss(member, batch["attributes"])
            for number, (name, member) in enumerate(zip(names, logits, strict=True))
        }

    evidence, history = read_attributes(context, target, anonymizer, ensemble, losses, ensemble, names)
    return Outcome({}, history, {"evidence": evidence.state(), "network": ensemble.state_dict()})
