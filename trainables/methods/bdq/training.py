"""BDQ: f_A and f_T descend L_T - alpha H(f_B) together, f_B cross-entropy on single frames (arXiv 2208.02459, section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from trainables.config import ConfigError
from trainables.execution.context import StageContext, frozen
from trainables.execution.loop import Epoch, Stateful, run_epochs
from trainables.methods.bdq import BdqOptions
from trainables.methods.penalty.training import descend, trained_action_classifier, trained_anonymizer
from trainables.models.action import ActionClassifier
from trainables.models.bdq import BlurDifferenceQuantization
from trainables.models.privacy import PrivacyClassifier, build_privacy_classifier
from trainables.store import Outcome


@dataclass(frozen=True)
class BdqPlayers:
    """f_A and f_T with one optimizer, f_B with another. `one_of`: the attributes are people, of whom every clip shows one."""

    anonymizer: BlurDifferenceQuantization
    action: ActionClassifier
    privacy: PrivacyClassifier
    serving_optimizer: Optimizer
    privacy_optimizer: Optimizer
    one_of: bool

    def parts(self) -> dict[str, Stateful]:
        return {
            "anonymizer": self.anonymizer,
            "action_classifier": self.action,
            "privacy_classifier": self.privacy,
            "serving_optimizer": self.serving_optimizer,
            "privacy_optimizer": self.privacy_optimizer,
        }


def run(context: StageContext) -> Outcome:
    settings, seed = context.config.minimax, context.seed("frame")
    torch.manual_seed(context.seed("training"))
    players = players_of(context)
    clips = context.training_clips(settings.batch_size)

    def epoch(now: Epoch) -> dict[str, float]:
        for batch in now.batches(clips):
            # one frame for the whole batch, as published; no state to save. The first of a clip shows nothing
            frame = int(np.random.default_rng((seed, now.number, now.done)).integers(1, context.config.clip.frames))
            view = context.training_view(batch)
            found = step_serving(players, view, batch["label"], frame, context)
            loss_privacy = step_privacy(players, view, batch["attributes"], frame, context)
            now.add(len(view), **found, loss_privacy=loss_privacy, sigma=players.anonymizer.sigma)
        return now.means()

    history = run_epochs(context, players.parts(), settings.epochs, epoch)
    state = {"anonymizer": players.anonymizer.state_dict(), "action_classifier": players.action.state_dict()}
    return Outcome({}, history, state)


def players_of(context: StageContext) -> BdqPlayers:
    """f_A as it starts, f_T from its warm-up, a fresh f_B."""
    config, settings = context.config, context.config.minimax
    anonymizer, action = trained_anonymizer(context), trained_action_classifier(context)
    if not isinstance(anonymizer, BlurDifferenceQuantization):
        raise ConfigError(f"anonymizer.name = {config.anonymizer.name!r}: bdq trains its own encoder only")
    privacy = context.placed(build_privacy_classifier(config.privacy_encoder, len(context.data.action.attributes)))
    rates = {anonymizer: BdqOptions.of(config).encoder_rate, action: settings.learning_rate_action}
    groups = [{"params": list(network.parameters()), "lr": rate} for network, rate in rates.items()]
    return BdqPlayers(
        anonymizer,
        action,
        privacy,
        context.adam(groups, settings.learning_rate_action),
        context.adam(privacy.parameters(), settings.learning_rate_privacy),
        one_of_several([video.attributes or () for video in context.data.action.train]),
    )


def step_serving(players: BdqPlayers, clips: Tensor, labels: Tensor, frame: int, context: StageContext) -> dict[str, Tensor]:
    """f_A and f_T descend L_T - alpha H(f_B); f_B is frozen, and is shown frame number `frame` of every clip.

    clips: (B, T, C, H, W), T above 1; labels: (B,). Returns the scalars of the step.
    """
    players.anonymizer.train()
    players.action.train()
    of_batch = context.config.minimax.judge_statistics == "batch"
    with frozen(players.privacy, batch_statistics=of_batch):
        with context.autocast():
            anonymized = context.anonymize(players.anonymizer, clips)
            action_loss = F.cross_entropy(context.through(players.action, players.action, anonymized), labels)
            unsure = entropy(context.through(players.privacy, players.privacy, anonymized[:, frame]), players.one_of)
            loss = action_loss - BdqOptions.of(context.config).entropy_weight * unsure
        # frozen as long as gradients flow: what is computed a second time must be computed alike
        descend(players.serving_optimizer, loss)
    players.anonymizer.hold()
    return {"loss_anonymizer": loss, "loss_action": action_loss, "entropy": unsure}


def step_privacy(players: BdqPlayers, clips: Tensor, attributes: Tensor, frame: int, context: StageContext) -> Tensor:
    """f_B descends the cross-entropy of the attributes, (B, A), on one frame of what f_A makes now; f_A is frozen."""
    players.privacy.train()
    with frozen(players.anonymizer), context.autocast():
        with torch.no_grad():  # of a frame and of the one before it, from which it differs
            shown = context.anonymize(players.anonymizer, clips[:, frame - 1 : frame + 1])[:, -1]
        loss = cross_entropy(context.through(players.privacy, players.privacy, shown), attributes, players.one_of)
    descend(players.privacy_optimizer, loss)
    return loss


def one_of_several(labels: list[tuple[float, ...]]) -> bool:
    """Whether the attributes exclude each other: there are two or more, and every clip has exactly one, as a person is one."""
    return all(len(row) > 1 and sum(row) == 1.0 for row in labels)


def entropy(logits: Tensor, one_of: bool) -> Tensor:
    """H of what f_B predicts in nats, mean over the rows of (N, A): of one of A classes, or of A answers yes or no together."""
    logits = logits.float()
    # logarithms, since entr(0) has an infinite gradient
    logs = logits.log_softmax(dim=1) if one_of else torch.cat([F.logsigmoid(logits), F.logsigmoid(-logits)], dim=1)
    return -(logs.exp() * logs).sum(dim=1).mean()


def cross_entropy(logits: Tensor, attributes: Tensor, one_of: bool) -> Tensor:
    """In nats, mean over the rows of (N, A), as `entropy`."""
    if one_of:
        return F.cross_entropy(logits.float(), attributes)
    return F.binary_cross_entropy_with_logits(logits.float(), attributes, reduction="none").sum(dim=1).mean()
