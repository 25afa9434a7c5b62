"""TeD-SPAD: SPACT with an f_T whose features tell two times of one video apart (Fioresi et al., arXiv 2308.11072)."""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from trainables.data.loader import Batch, TwoTimes
from trainables.execution.context import StageContext, frozen
from trainables.execution.loop import Epoch, run_epochs
from trainables.losses import anonymizer_loss
from trainables.methods.penalty.training import Players, descend, pair_loss, players_of
from trainables.methods.tedspad import TedspadOptions
from trainables.store import Outcome
from trainables.training.pairs import pair_loader, pair_views


def run(context: StageContext) -> Outcome:
    config, settings = context.config, context.config.minimax
    torch.manual_seed(context.seed("training"))
    players = players_of(context, TedspadOptions.of(config).anonymizer_rate * settings.learning_rate_action)
    samples = TwoTimes(context.data.action.train, config.clip, context.seed("clips"))
    clips = context.loader(samples, settings.batch_size, shuffle=True)
    pairs = pair_loader(context, settings.pair_batch_size or settings.batch_size)

    def epoch(now: Epoch) -> dict[str, float]:
        for clip_batch, pair_batch in now.paired(clips, pairs):
            views = pair_views(context, pair_batch)
            found = step_anonymizer(players, clip_batch, views, context) | step_opponents(players, clip_batch, views, context)
            now.add(len(pair_batch["clips"]), loss_privacy=found.pop("loss_privacy"))
            now.add(len(clip_batch["clips"]), **found)
        return now.means()

    history = run_epochs(context, players.parts(), settings.epochs, epoch)
    return Outcome({}, history, players.state())


def step_anonymizer(players: Players, clips: Batch, views: list[Tensor], context: StageContext) -> dict[str, Tensor]:
    """f_A descends 0.7 L_T - L_B; f_T and f_B are frozen. `clips` are of `TwoTimes`; views: two of (N, 1, C, H, W)."""
    players.anonymizer.train()
    settings = context.config.minimax
    of_batch = settings.judge_statistics == "batch"
    with frozen(players.action, players.privacy, batch_statistics=of_batch):
        with context.autocast():
            entropy, triplet = _action_losses(players, clips, context)
            action_loss = entropy + _triplet_weight(context) * triplet
            privacy_loss = pair_loss(players, views, settings, context)
            weighted = TedspadOptions.of(context.config).action_weight * action_loss
            loss = anonymizer_loss(weighted, privacy_loss, torch.zeros_like(weighted), 0.0, settings.privacy_weight)
        # frozen as long as gradients flow: what is computed a second time must be computed alike
        descend(players.anonymizer_optimizer, loss)
    return {"loss_anonymizer": loss}


def step_opponents(players: Players, clips: Batch, views: list[Tensor], context: StageContext) -> dict[str, Tensor]:
    """f_T descends cross-entropy + 0.1 x triplet loss and f_B NT-Xent; f_A is frozen."""
    players.action.train()
    players.privacy.train()
    with frozen(players.anonymizer), context.autocast():
        entropy, triplet = _action_losses(players, clips, context)
        privacy_loss = pair_loss(players, views, context.config.minimax, context)
        loss = entropy + _triplet_weight(context) * triplet + privacy_loss
    descend(players.opponents_optimizer, loss)
    return {"loss_action": entropy, "loss_triplet": triplet, "loss_privacy": privacy_loss}


def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, counts: Tensor, margin: float) -> Tensor:
    """max(0, |anchor - positive| - |anchor - negative| + margin) of features (B, F), mean over the rows that count.

    counts: (B,) bool. Returns a scalar, 0 if none counts.
    """
    rows = F.triplet_margin_loss(anchor.float(), positive.float(), negative.float(), margin=margin, reduction="none")
    return (rows * counts).sum() / counts.sum().clamp_min(1)


def _action_losses(players: Players, clips: Batch, context: StageContext) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the anchors, and the triplet loss. A video too short for a second time has no triplet."""
    frames = context.config.clip.frames
    here, there = clips["clips"][:, :frames], clips["clips"][:, frames:]
    anchor, positive, negative = (
        _features(players, context, context.anonymize(players.anonymizer, _view(context, clips, part, view)))
        for view, part in enumerate((here, here, there))
    )
    triplet = triplet_loss(anchor, positive, negative, clips["two_times"], TedspadOptions.of(context.config).margin)
    return F.cross_entropy(players.action.head(anchor), clips["label"]), triplet


def _features(players: Players, context: StageContext, clips: Tensor) -> Tensor:
    return context.through(players.action, players.action.features, clips)


def _view(context: StageContext, batch: Batch, part: Tensor, view: int) -> Tensor:
    return context.training_view(cast(Batch, {**batch, "clips": part}), view)


def _triplet_weight(context: StageContext) -> float:
    return TedspadOptions.of(context.config).triplet_weight
