"""A classifier with the network of an action classifier: it sees whole clips, and so how somebody moves."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.attacks.common import attribute_loss, read_attributes, target_of
from trainables.data.loader import Batch
from trainables.execution.context import StageContext
from trainables.models.action import build_action_classifier
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    target, settings = target_of(context, whole_clips=True), context.config.attacks.clip_network
    anonymizer = context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(build_action_classifier(settings, len(target.attributes), context.config.clip))

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, hidden = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": attribute_loss(network(hidden), batch["attributes"])}

    def one_answer(clips: Tensor) -> Tensor:
        return network(clips)[None, :, None]  # (M, B, T, A) with one member, and one answer for all frames

    evidence, history = read_attributes(context, target, anonymizer, network, losses, one_answer, [settings.name])
    return Outcome({}, history, {"evidence": evidence.state()})
