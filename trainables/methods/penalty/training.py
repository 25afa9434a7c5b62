"""Algorithm 1, step 1: the anonymizer against the action classifier it serves and the privacy encoder it blinds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from trainables.config import MinimaxConfig
from trainables.execution.context import StageContext, frozen
from trainables.execution.loop import Epoch, Stateful, run_epochs
from trainables.losses import anonymizer_loss, distortion_penalty, feature_distortion, nt_xent, rms_distortion
from trainables.models.action import ActionClassifier, build_action_classifier
from trainables.models.anonymizers import build_anonymizer, target_of
from trainables.models.base import Anonymizer
from trainables.models.dial import undialled
from trainables.models.privacy import PrivacyEncoder, build_privacy_encoder
from trainables.store import Outcome
from trainables.training.pairs import anonymized_pair, pair_loader, pair_views, project


@dataclass(frozen=True)
class Players:
    """The three networks of the minimax, the optimizer of each side, and what the distortion of f_A is measured against."""

    anonymizer: Anonymizer
    action: ActionClassifier
    privacy: PrivacyEncoder
    anonymizer_optimizer: Optimizer
    opponents_optimizer: Optimizer
    target: Anonymizer

    def parts(self) -> dict[str, Stateful]:
        return {
            "anonymizer": self.anonymizer,
            "action_classifier": self.action,
            "privacy_encoder": self.privacy,
            "anonymizer_optimizer": self.anonymizer_optimizer,
            "judges_optimizer": self.opponents_optimizer,
        }

    def state(self) -> dict[str, Any]:
        """The networks, for the outcome of a stage."""
        return {name: part.state_dict() for name, part in self.parts().items() if not name.endswith("optimizer")}


@dataclass(frozen=True)
class OperatingPoint:
    """What a step weighs the losses of f_A with: B, one for all clips or (N,), one for each, and the weight of L_B."""

    budget: float | Tensor
    privacy_weight: float

    @staticmethod
    def of(settings: MinimaxConfig) -> OperatingPoint:
        return OperatingPoint(settings.distortion_budget, settings.privacy_weight)


# (the epoch, clips, views) of a step -> the same with the dial beside them, and the operating point that it stands for
Turn = Callable[[Epoch, Tensor, list[Tensor]], tuple[Tensor, list[Tensor], OperatingPoint]]


def step_anonymizer(
    players: Players,
    clips: Tensor,
    labels: Tensor,
    views: list[Tensor],
    settings: MinimaxConfig,
    context: StageContext,
    point: OperatingPoint | None = None,
) -> dict[str, Tensor]:
    """Step 1: f_A descends Eq. 3; f_T and f_B are frozen.

    clips: (B, T, C, H, W); labels: (B,); views: two of (N, window, C, H, W); point: that of the settings if None. Returns the
    scalars of the step.
    """
    point = point or OperatingPoint.of(settings)
    players.anonymizer.train()
    of_batch = settings.judge_statistics == "batch"
    with frozen(players.action, players.privacy, batch_statistics=of_batch):
        with context.autocast():
            anonymized = context.anonymize(players.anonymizer, clips)
            logits, shown = _read(players.action, anonymized, settings, context)
            action_loss = F.cross_entropy(context.gathered(logits), context.gathered(labels))
            privacy_loss = pair_loss(players, views, settings, context)
            target = players.target.clips(undialled(clips))
            rms = context.gathered(rms_distortion(target, anonymized, settings.penalty_scope, settings.penalty_norm))
            distortion = rms
            if settings.penalty_space != "pixels":
                with torch.no_grad():
                    _, original = _read(players.action, target, settings, context)
                distortion = context.gathered(feature_distortion(original, shown, settings.penalty_norm))
            penalty = distortion_penalty(distortion, point.budget)
            if context.config.departures.detached_penalty:
                penalty = penalty.detach()
            loss = anonymizer_loss(action_loss, privacy_loss, penalty, settings.penalty_weight, point.privacy_weight)
        # frozen as long as gradients flow: what is computed a second time must be computed alike
        descend(players.anonymizer_optimizer, loss)
    return {
        "loss_anonymizer": loss,
        "penalty": penalty,
        "rms_distortion": rms.mean(),
        "penalty_active": (penalty > 0).float(),
    }


def _read(action: ActionClassifier, clips: Tensor, settings: MinimaxConfig, context: StageContext) -> tuple[Tensor, Tensor]:
    """The logits of f_T, and what of it `penalty_space` compares: the input of its last layer, or the logits; each (B, ...)."""
    if settings.penalty_space == "features":
        features = context.through(action, action.features, clips)
        return action.head(features), features
    logits = context.through(action, action, clips)
    return logits, logits


def step_opponents(
    players: Players, clips: Tensor, labels: Tensor, views: list[Tensor], settings: MinimaxConfig, context: StageContext
) -> dict[str, Tensor]:
    """Step 2: f_T descends cross-entropy and f_B NT-Xent on what f_A makes now; f_A is frozen."""
    players.action.train()
    players.privacy.train()
    with frozen(players.anonymizer), context.autocast():
        with torch.no_grad():
            anonymized = context.anonymize(players.anonymizer, clips)
        logits = context.through(players.action, players.action, anonymized)
        action_loss = F.cross_entropy(context.gathered(logits), context.gathered(labels))
        privacy_loss = pair_loss(players, views, settings, context)
    # no parameter is shared: each loss reaches its own network only
    descend(players.opponents_optimizer, action_loss + privacy_loss)
    return {"loss_action": action_loss, "loss_privacy": privacy_loss}


def pair_loss(players: Players, views: list[Tensor], settings: MinimaxConfig, context: StageContext) -> Tensor:
    """Eq. 6 of two anonymized views, each (N, window, C, H, W). A scalar; networks that are not frozen get gradients."""
    anonymized = anonymized_pair(context, players.anonymizer, views)
    first, second = project(partial(context.through, players.privacy, players.privacy), anonymized)
    return nt_xent(context.gathered(first), context.gathered(second), settings.temperature)


def descend(optimizer: Optimizer, loss: Tensor) -> None:
    """One step of `optimizer` down the gradient of a scalar."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def run(context: StageContext, turn: Turn | None = None) -> Outcome:
    """The stage; with `turn` each step trains f_A for another operating point."""
    settings = context.config.minimax
    torch.manual_seed(context.seed("training"))
    players = players_of(context, settings.learning_rate_anonymizer)
    clips = context.training_clips(settings.batch_size)
    pairs = pair_loader(context, settings.pair_batch_size or settings.batch_size)

    def epoch(now: Epoch) -> dict[str, float]:
        for clip_batch, pair_batch in now.paired(clips, pairs):
            seen, views, point = context.training_view(clip_batch), pair_views(context, pair_batch), OperatingPoint.of(settings)
            if turn is not None:
                seen, views, point = turn(now, seen, views)
            inputs = seen, clip_batch["label"], views, settings, context
            found: dict[str, Tensor] = {}
            if settings.alternate == "steps" or now.done % 2 == 0:
                found |= step_anonymizer(players, *inputs, point)
            if settings.alternate == "steps" or now.done % 2 == 1:
                found |= step_opponents(players, *inputs)
                now.add(len(pair_batch["clips"]), loss_privacy=found.pop("loss_privacy"))
            now.add(len(clip_batch["clips"]), **found)
        return now.means()

    history = run_epochs(context, players.parts(), settings.epochs, epoch)
    active = [row["penalty_active"] for row in history]
    # without a penalty there is none to be active, whatever B
    share = {"penalty_active": sum(active) / len(active)} if active and settings.penalty_weight > 0 else {}
    return Outcome(share, history, players.state())


def trained_anonymizer(context: StageContext) -> Anonymizer:
    """f_A as stage `reconstruct` left it."""
    anonymizer = build_anonymizer(context.config.anonymizer.from_scratch, context.config.options)
    anonymizer.load_state_dict(context.inputs["reconstruct"].state["anonymizer"])
    return context.placed(anonymizer)


def trained_action_classifier(context: StageContext) -> ActionClassifier:
    """f_T as stage `warm_up` left it; weights of its own it has had there already."""
    network = context.config.action_classifier.from_scratch
    action = build_action_classifier(network, len(context.data.action.classes), context.config.clip)
    action.load_state_dict(context.inputs["warm_up"].state["action_classifier"])
    return context.placed(action)


def trained_privacy_encoder(context: StageContext) -> PrivacyEncoder:
    """f_B as stage `warm_up` left it."""
    privacy = build_privacy_encoder(context.config.privacy_encoder.from_scratch)
    privacy.load_state_dict(context.inputs["warm_up"].state["privacy_encoder"])
    return context.placed(privacy)


def players_of(context: StageContext, anonymizer_rate: float) -> Players:
    """f_A from its reconstruction, f_T and f_B from their warm-up. `anonymizer_rate` is the learning rate of f_A."""
    settings = context.config.minimax
    anonymizer, action = trained_anonymizer(context), trained_action_classifier(context)
    privacy = trained_privacy_encoder(context)
    players = Players(
        anonymizer,
        action,
        privacy,
        context.adam(anonymizer.parameters(), anonymizer_rate),
        context.adam(
            [
                {"params": list(action.parameters()), "lr": settings.learning_rate_action},
                {"params": list(privacy.parameters()), "lr": settings.learning_rate_privacy},
            ],
            settings.learning_rate_action,
        ),
        target_of(context.config.anonymizer),
    )
    context.data_parallel(anonymizer, action, privacy)
    return players
