"""STPrivacy: f_A drops tubelets and remakes the others, against a classifier of attributes (Li et al., arXiv 2301.03046)."""

from __future__ import annotations

import torch
from torch import Tensor

from trainables.config import ConfigError
from trainables.execution.context import StageContext
from trainables.methods.stprivacy import STPrivacyOptions
from trainables.methods.vita.training import worst_sureness
from trainables.models.tubelets import Tubelets
from trainables.store import Outcome
from trainables.training.supervised import PlayersView, Rules, prepare, train


def run(context: StageContext) -> Outcome:
    options = STPrivacyOptions.of(context.config)
    torch.manual_seed(context.seed("training"))
    rules = Rules(privacy_steps=options.privacy_steps)
    players = prepare(context, rules)
    anonymizer = players.anonymizer
    if not isinstance(anonymizer, Tubelets):
        raise ConfigError(f"anonymizer.name = {context.config.anonymizer.name!r}: stprivacy trains tubelets only")
    keep = options.keep
    anonymizer.keep.fill_(keep)  # a buffer: it goes with the trained anonymizer to whoever uses it

    def losses(seen: PlayersView) -> dict[str, Tensor]:
        sureness = worst_sureness(seen.privacy_logits)
        kept = torch.stack(list(anonymizer.kept))  # of the clips and of the images
        too_many_or_few = (kept - keep).square().mean()
        loss = seen.action_loss + options.privacy_weight * sureness
        loss = loss + options.keep_weight * too_many_or_few
        return {"loss_anonymizer": loss, "sureness": sureness, "kept": kept.mean()}

    return train(context, players, losses, rules)
