"""A classifier of single frames that starts from a network trained on other pictures, all of which goes on learning."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.attacks.pretrained.features import size
from trainables.attacks.shared.learning import attack_attributes, attack_training, attacked_data
from trainables.data.loader import Batch
from trainables.evaluation.learning import attribute_loss
from trainables.execution.context import StageContext
from trainables.models.axes import frames_of
from trainables.models.privacy import build_privacy_classifier
from trainables.store import Outcome

SLOWER = 0.1  # of attacks.learning_rate, which is for networks from scratch and would wipe out what was learned elsewhere


def run(context: StageContext) -> Outcome:
    settings, data = context.config.attacks, attacked_data(context)
    anonymizer = context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(build_privacy_classifier(settings.pretrained, len(data.attributes)))

    def logits(clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> (1, B, T, A)"""
        return network(size(frames_of(clips), settings.pretrained_size)).unflatten(0, clips.shape[:2])[None]

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": attribute_loss(logits(anonymized)[0], batch["attributes"])}

    training = attack_training(context, SLOWER)
    name = f"{settings.pretrained.name}, fine-tuned"
    result, history = attack_attributes(context, data, anonymizer, network, losses, logits, [name], training)
    return Outcome({}, history, {"evidence": result.state()})
