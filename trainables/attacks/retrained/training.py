"""Classifiers of several architectures, trained with labels on anonymized frames."""

from __future__ import annotations

from torch import Tensor

from trainables.attacks.shared.learning import attack_attributes, attacked_data, frame_classifiers, member_names
from trainables.data.loader import Batch
from trainables.evaluation.learning import attribute_loss
from trainables.execution.context import StageContext
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    data, names = attacked_data(context), member_names(context)
    anonymizer = context.anonymizer("anonymizer")
    networks = frame_classifiers(context, data)

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        logits = context.through(networks, networks, anonymized, rows_at=1)
        return {
            f"loss_{number}_{name}": attribute_loss(member, batch["attributes"])
            for number, (name, member) in enumerate(zip(names, logits, strict=True))
        }

    result, history = attack_attributes(context, data, anonymizer, networks, losses, networks, names)
    return Outcome({}, history, {"evidence": result.state(), "network": networks.state_dict()})
