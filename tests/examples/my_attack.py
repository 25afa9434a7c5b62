"""An attack of one's own: classifiers that see nothing but the mean colour of each frame."""

import torch
from torch import nn

from trainables.attacks import ATTACK_TRAINING, ATTACKS, ATTRIBUTES_MEASURE, Attack, attack_stage
from trainables.attacks.shared.learning import attack_attributes, attacked_data
from trainables.evaluation.learning import attribute_loss
from trainables.store import Outcome


def run(context):
    data, anonymizer = attacked_data(context), context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(nn.Sequential(nn.Linear(3, 32), nn.ReLU(), nn.Linear(32, len(data.attributes))))

    def logits(clips):  # (B, T, C, H, W) -> (1, B, T, A): one member, frame by frame
        return network(clips.mean(dim=(3, 4)))[None]

    def losses(batch):
        _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": attribute_loss(logits(anonymized)[0], batch["attributes"])}

    result, history = attack_attributes(context, data, anonymizer, network, losses, logits, ["mean colour"])
    return Outcome({}, history, {"evidence": result.state()})


ATTACKS.register("mean_colour")(
    Attack(
        "Mean colour",
        "Who sees no more than the mean colour of each frame: what can be read of a person?",
        "inference",
        ATTRIBUTES_MEASURE,
        ("runs", "labels"),
        attack_stage("mean_colour", run, ATTACK_TRAINING),
        standard=False,
    )
)
