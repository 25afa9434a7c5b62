"""A classifier with the network of an action classifier: it sees whole clips, and so how somebody moves."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.attacks.shared.learning import attack_attributes, attacked_data
from trainables.data.loader import Batch
from trainables.evaluation.learning import attribute_loss
from trainables.execution.context import StageContext
from trainables.models.action import build_action_classifier
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    data, settings = attacked_data(context, whole_clips=True), context.config.attacks.clip_network
    anonymizer = context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(build_action_classifier(settings, len(data.attributes), context.config.clip))

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": attribute_loss(context.through(network, network, anonymized), batch["attributes"])}

    def logits(clips: Tensor) -> Tensor:
        return network(clips)[None, :, None]  # (M, B, T, A) with one member, and one prediction for all frames

    result, history = attack_attributes(context, data, anonymizer, network, losses, logits, [settings.name])
    return Outcome({}, history, {"evidence": result.state()})
