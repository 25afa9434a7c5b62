"""Algorithm 1, step 0 (Eq. 5): the anonymizer learns the identity, or another target, from clips and images."""

from __future__ import annotations

import torch

from trainables.data.loader import Stills
from trainables.execution.context import StageContext
from trainables.execution.loop import Epoch, Stateful, run_epochs
from trainables.losses import reconstruction_loss
from trainables.models.anonymizers import build_anonymizer, target_of
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    config = context.config
    settings = config.reconstruct
    torch.manual_seed(context.seed("weights"))
    anonymizer = context.placed(build_anonymizer(config.anonymizer, config.options))
    target = target_of(config.anonymizer)
    optimizer = context.adam(anonymizer.parameters(), settings.learning_rate)
    context.data_parallel(anonymizer)
    clips = context.training_clips(settings.batch_size)
    images = context.loader(
        Stills(context.data.privacy.train, config.clip, context.seed("images")), settings.batch_size, shuffle=True
    )

    def epoch(now: Epoch) -> dict[str, float]:
        anonymizer.train()
        for pair in now.paired(clips, images):
            losses = []
            for batch in pair:
                view = context.training_view(batch)
                with context.autocast():
                    loss = reconstruction_loss(context.anonymize(anonymizer, view), target.clips(view))
                losses.append(context.mean(loss, len(view)))
            loss = losses[0] + losses[1]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            for name, batch, value in zip(("l1_clips", "l1_images"), pair, losses, strict=True):
                now.add(len(batch["clips"]), **{name: value})
        return now.means()

    parts: dict[str, Stateful] = {"anonymizer": anonymizer, "optimizer": optimizer}
    history = run_epochs(context, parts, settings.epochs, epoch)
    final = {"reconstruction_l1": history[-1]["l1_clips"]} if history else {}
    return Outcome(final, history, {"anonymizer": anonymizer.state_dict()})
