"""VITA: f_A serves f_T and makes the surest of an ensemble of privacy classifiers unsure (Wu et al., arXiv 1906.05675)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.execution.context import StageContext
from trainables.methods.vita import VitaOptions
from trainables.models.axes import frames_of
from trainables.store import Outcome
from trainables.training.supervised import PlayersView, Rules, prepare, train


def run(context: StageContext) -> Outcome:
    options = VitaOptions.of(context.config)
    rules = Rules(
        members=options.ensemble,
        privacy_steps=options.privacy_steps,
        retrain_steps=options.retrain_steps,
        restart_every=options.restart_every,
        action_steps=options.action_steps,
        action_target=options.action_target,
        joint=options.joint,
        on_validation=options.on_validation,
        architectures=tuple(filter(None, options.architectures.split(","))),
    )
    torch.manual_seed(context.seed("training"))

    def losses_by_clip(seen: PlayersView) -> dict[str, Tensor]:
        logits = seen.players.ensemble.logits(frames_of(seen.anonymized))
        sureness = worst_sureness_by_clip(logits, seen.anonymized.shape[1])
        return {"loss_anonymizer": seen.action_loss + options.gamma * sureness, "worst_sureness": sureness}

    def losses(seen: PlayersView) -> dict[str, Tensor]:
        middle = seen.anonymized.shape[1] // 2
        frames = frames_of(torch.cat([seen.anonymized_images, seen.anonymized[:, middle : middle + 1]]))
        sureness = worst_sureness(seen.players.ensemble.logits(frames))
        return {"loss_anonymizer": seen.action_loss + options.gamma * sureness, "worst_sureness": sureness}

    return train(context, prepare(context, rules), losses_by_clip if options.by_clip else losses, rules)


def negative_entropy(logits: Tensor) -> Tensor:
    """-H(p) in nats, mean over the logits (N, A) of yes-or-no attributes: -ln 2 when nothing is known, 0 when all is."""
    return _negative_entropies(logits).mean()


def _negative_entropies(logits: Tensor) -> Tensor:
    yes, no = F.logsigmoid(logits), F.logsigmoid(-logits)
    return yes.exp() * yes + no.exp() * no


def worst_sureness(ensemble: list[Tensor]) -> Tensor:
    """The largest negative entropy among the members' logits, each (N, A): only the surest member is pushed to uniform."""
    return torch.stack([negative_entropy(logits.float()) for logits in ensemble]).amax()


def worst_sureness_by_clip(ensemble: list[Tensor], frames: int) -> Tensor:
    """The largest negative entropy among the members for each clip by itself, mean over the clips.

    ensemble: logits (B T, A) of each member for all `frames` frames of B clips; a member judges a clip by the mean of them.
    """
    of_clips = [logits.float().unflatten(0, (-1, frames)).mean(dim=1) for logits in ensemble]
    return torch.stack([_negative_entropies(logits).mean(dim=1) for logits in of_clips]).amax(dim=0).mean()
