"""What the methods with privacy labels share: f_A against an ensemble of classifiers that read the attributes of images.

Each iteration: f_A descends the method's own loss; f_T descends cross-entropy on what f_A makes now; every member of the
ensemble descends binary cross-entropy on what f_A makes of labelled images.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from trainables.config import NetworkConfig
from trainables.data.loader import Batch, EvaluationClips, Loader, Stills
from trainables.execution.context import StageContext, frozen, validation_clip
from trainables.execution.loop import Epoch, Stateful, run_epochs
from trainables.methods.penalty.training import descend, trained_action_classifier, trained_anonymizer
from trainables.models.action import ActionClassifier
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.models.privacy import PrivacyClassifier, build_privacy_classifier
from trainables.store import Outcome

_VALIDATION_CLIPS = 160  # that f_T is looked at with; the 40 batches of 4 of VITA's released code


@dataclass(frozen=True)
class Rules:
    """How often each network learns. With `restart_every` 0 the ensemble is never restarted, with `action_target` 0 f_T learns
    from one batch an iteration.

    Otherwise f_T learns from up to `action_steps` batches an iteration and stops after a batch of which it
    classified the share `action_target` correctly.
    With `on_validation` f_T's share is that of validation clips, which are looked at before each of its batches.
    With `joint` its steps move f_A as well.
    The ensemble learns from `privacy_steps` batches an iteration, and from `retrain_steps` more before the first one and
    after each restart. Its members have the `architectures` by turns, or all that of `privacy_encoder`.
    """

    members: int = 1
    privacy_steps: int = 1
    retrain_steps: int = 0
    restart_every: int = 0
    action_steps: int = 1
    action_target: float = 0.0
    joint: bool = False
    on_validation: bool = False
    architectures: tuple[str, ...] = ()

    def networks(self, network: NetworkConfig) -> list[NetworkConfig]:
        """The network of each member, where `network` is that of the trial's f_B."""
        names = self.architectures or (network.name,)
        return [network.model_copy(update={"name": names[member % len(names)]}) for member in range(self.members)]

    def restarts(self, iteration: int) -> bool:
        return iteration > 0 and self.restart_every > 0 and iteration % self.restart_every == 0

    def image_batches(self, iteration: int) -> int:
        """Returns how many batches of labelled images an iteration of the stage uses: one for f_A, the others for f_B."""
        return 1 + self.privacy_steps + (self.retrain_steps if iteration == 0 or self.restarts(iteration) else 0)

    def first_image_batch(self, iteration: int) -> int:
        """Returns the number of the first batch of an iteration in the endless stream of batches."""
        retrained = 0 if iteration == 0 else 1 + ((iteration - 1) // self.restart_every if self.restart_every else 0)
        return iteration * (1 + self.privacy_steps) + retrained * self.retrain_steps


class PrivacyEnsemble:
    """Privacy classifiers with different initial weights, and one optimizer for all.

    Of members of one architecture with starting weights, only the heads differ.
    """

    def __init__(self, context: StageContext, networks: list[NetworkConfig], attributes: int, rate: float) -> None:
        self._context, self._networks, self._attributes, self._rate = context, networks, attributes, rate
        self.networks = nn.ModuleList(self._fresh(0, member) for member in range(len(networks))).to(context.device)
        self.optimizer: Optimizer = self._fresh_optimizer()
        self.restarts = 0

    def restart(self) -> None:
        """Initialises every member and the optimizer anew."""
        self.restarts += 1
        for member, network in enumerate(self.networks):
            network.load_state_dict(self._fresh(self.restarts, member).state_dict())
        self.optimizer = self._fresh_optimizer()

    def logits(self, frames: Tensor) -> list[Tensor]:
        """(N, C, H, W) -> (N, A) of each member."""
        return [self._context.through(network, network, frames) for network in self.networks]

    def state_dict(self) -> dict[str, Any]:
        return {
            "networks": self.networks.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "restarts": self.restarts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.restarts = state["restarts"]

    def _fresh(self, start: int, member: int) -> PrivacyClassifier:
        with torch.random.fork_rng(devices=[]):  # the stage's own random numbers are not affected
            torch.manual_seed(self._context.seed(f"member {member} start {start}"))
            return build_privacy_classifier(self._networks[member], self._attributes)

    def _fresh_optimizer(self) -> Optimizer:
        return self._context.adam(self.networks.parameters(), self._rate)


@dataclass(frozen=True)
class Supervised:
    """f_A, f_T and the ensemble, each with its optimizer."""

    anonymizer: Anonymizer
    action: ActionClassifier
    ensemble: PrivacyEnsemble
    anonymizer_optimizer: Optimizer
    action_optimizer: Optimizer

    def parts(self) -> dict[str, Stateful]:
        return {
            "anonymizer": self.anonymizer,
            "action_classifier": self.action,
            "ensemble": self.ensemble,
            "anonymizer_optimizer": self.anonymizer_optimizer,
            "action_optimizer": self.action_optimizer,
        }


@dataclass(frozen=True)
class PlayersView:
    """What the loss of f_A is computed from: one batch of clips and one of labelled images, as they are and anonymized.

    clips, anonymized: (B, T, C, H, W); labels: (B,); images, anonymized_images: (N, 1, C, H, W); attributes: (N, A). The
    features of f_T and the logits of f_B, (N, A) of each member, are computed when they are first needed.
    """

    players: Supervised
    context: StageContext
    clips: Tensor
    labels: Tensor
    images: Tensor
    attributes: Tensor
    anonymized: Tensor
    anonymized_images: Tensor

    @cached_property
    def action_features(self) -> Tensor:
        action = self.players.action
        return self.context.through(action, action.features, self.anonymized)

    @cached_property
    def action_loss(self) -> Tensor:
        return F.cross_entropy(self.players.action.head(self.action_features), self.labels)

    @cached_property
    def privacy_logits(self) -> list[Tensor]:
        return self.players.ensemble.logits(frames_of(self.anonymized_images))


# The loss of f_A under the name `loss_anonymizer`, and whatever else is to be seen in the curves.
AnonymizerLosses = Callable[[PlayersView], dict[str, Tensor]]


def step_anonymizer(
    players: Supervised, clips: Batch, images: Batch, losses: AnonymizerLosses, context: StageContext
) -> dict[str, Tensor]:
    """f_A descends `loss_anonymizer` of what `losses` returns; f_T and the ensemble are frozen."""
    players.anonymizer.train()
    of_batch = context.config.minimax.judge_statistics == "batch"
    with frozen(players.action, players.ensemble.networks, batch_statistics=of_batch):
        with context.autocast():
            views = context.training_view(clips), context.training_view(images)
            anonymized = [context.anonymize(players.anonymizer, view) for view in views]
            known = views[0], clips["label"], views[1], images["attributes"]
            found = losses(PlayersView(players, context, *known, *anonymized))
        # frozen as long as gradients flow: what is computed a second time must be computed alike
        descend(players.anonymizer_optimizer, found["loss_anonymizer"])
    return found


def step_action(players: Supervised, clips: Batch, context: StageContext, joint: bool = False) -> tuple[Tensor, Tensor]:
    """f_T descends cross-entropy; f_A is frozen, or with `joint` descends it too.

    Returns the loss, and the share of the batch that f_T knew before.
    """
    players.action.train()
    if joint:
        players.anonymizer.train()
    with contextlib.nullcontext() if joint else frozen(players.anonymizer), context.autocast():
        with torch.set_grad_enabled(joint):
            anonymized = context.anonymize(players.anonymizer, context.training_view(clips))
        logits = context.through(players.action, players.action, anonymized)
        loss = F.cross_entropy(logits, clips["label"])
    descend(players.action_optimizer, loss)
    return loss, (logits.argmax(dim=1) == clips["label"]).float().mean()


def step_privacy(players: Supervised, images: Batch, context: StageContext) -> Tensor:
    """Every member of the ensemble descends binary cross-entropy; f_A is frozen. Returns the mean loss over the members."""
    ensemble = players.ensemble
    ensemble.networks.train()
    with frozen(players.anonymizer), context.autocast():
        with torch.no_grad():
            anonymized_images = frames_of(context.anonymize(players.anonymizer, context.training_view(images)))
        logits_of_members = ensemble.logits(anonymized_images)
        losses = torch.stack([F.binary_cross_entropy_with_logits(logits, images["attributes"]) for logits in logits_of_members])
    descend(ensemble.optimizer, losses.sum())  # no parameter is shared: each loss reaches its own member only
    return losses.mean()


@torch.no_grad()
def share_known(players: Supervised, batches: Iterator[Batch], context: StageContext) -> float:
    """The share of the clips, in their test view, that f_T classifies correctly as f_A makes them now."""
    known = []
    with frozen(players.anonymizer, players.action), context.autocast():
        for batch in context.to_device(batches):
            logits = players.action(context.anonymize(players.anonymizer, context.test_view(batch)))
            known.append((logits.argmax(dim=1) == batch["label"]).float())
    return float(torch.cat(known).mean())


def prepare(context: StageContext, rules: Rules) -> Supervised:
    """f_A from its reconstruction, f_T from its warm-up, a fresh ensemble."""
    config, settings = context.config, context.config.minimax
    anonymizer, action = trained_anonymizer(context), trained_action_classifier(context)
    attributes = len(context.data.privacy.attributes)
    return Supervised(
        anonymizer,
        action,
        PrivacyEnsemble(context, rules.networks(config.privacy_encoder), attributes, settings.learning_rate_privacy),
        context.adam(anonymizer.parameters(), settings.learning_rate_anonymizer),
        context.adam([*action.parameters(), *(anonymizer.parameters() if rules.joint else ())], settings.learning_rate_action),
    )


def train(context: StageContext, players: Supervised, losses: AnonymizerLosses, rules: Rules) -> Outcome:
    """`minimax.epochs` epochs of the action clips. The outcome holds the anonymizer and f_T."""
    settings = context.config.minimax
    clips = context.training_clips(settings.batch_size)
    images = labelled_images(context, settings.batch_size)
    more = _Stream(context, context.training_clips(settings.batch_size))
    looked_at = validation_clips(context, settings.batch_size) if rules.on_validation else None

    def knows_enough(iteration: int, known: Tensor | None) -> bool:
        """Whether f_T has learned for this iteration, given the share of its last batch that it knew."""
        if looked_at is None:
            return known is not None and float(known) >= rules.action_target
        count = math.ceil(_VALIDATION_CLIPS / settings.batch_size)
        return share_known(players, looked_at.stretch(iteration * count, count), context) >= rules.action_target

    def iterate(now: Epoch, iteration: int, clip_batch: Batch, image_batches: Iterator[Batch]) -> None:
        if rules.restarts(iteration):
            players.ensemble.restart()
        for _ in range(rules.image_batches(iteration) - 1 - rules.privacy_steps):
            step_privacy(players, next(image_batches), context)
        now.add(len(clip_batch["clips"]), **step_anonymizer(players, clip_batch, next(image_batches), losses, context))
        known: Tensor | None = None
        for number in range(rules.action_steps):
            if knows_enough(iteration, known):
                break
            batch = more.next() if number else clip_batch
            loss_action, known = step_action(players, batch, context, rules.joint)
        if known is not None:
            now.add(len(batch["clips"]), loss_action=loss_action)
        for _ in range(rules.privacy_steps):
            image_batch = next(image_batches)
            loss_privacy = step_privacy(players, image_batch, context)
        now.add(len(image_batch["clips"]), loss_privacy=loss_privacy)

    def epoch(now: Epoch) -> dict[str, float]:
        def batches(done: int) -> Iterator[tuple[int, Batch, Iterator[Batch]]]:
            first, last = now.number * len(clips) + done, (now.number + 1) * len(clips)
            start, end = rules.first_image_batch(first), rules.first_image_batch(last)
            stream = _opened(context.to_device(images.stretch(start, end - start)))
            for iteration, clip_batch in zip(
                range(first, last), context.to_device(clips.stretch(first, last - first)), strict=True
            ):
                yield iteration, clip_batch, stream

        for iteration, clip_batch, image_batches in now.steps(batches):
            iterate(now, iteration, clip_batch, image_batches)
        more.rest()
        return now.means()

    history = run_epochs(context, {**players.parts(), "more_clips": more}, settings.epochs, epoch)
    state = {"anonymizer": players.anonymizer.state_dict(), "action_classifier": players.action.state_dict()}
    return Outcome({}, history, state)


def labelled_images(context: StageContext, batch_size: int) -> Loader:
    """The images of the privacy set with their attributes, shuffled."""
    samples = Stills(context.data.privacy.train, context.config.clip, context.seed("images"))
    return context.loader(samples, batch_size, shuffle=True)


def validation_clips(context: StageContext, batch_size: int) -> Loader:
    """A clip of each validation video of the action set, in an order that changes."""
    samples = EvaluationClips(context.data.action.validation, validation_clip(context.config.clip), context.seed("validation"))
    return context.loader(samples, batch_size, shuffle=True)


class _Stream:
    """An endless stream of batches that remembers, over epochs and checkpoints, how many were taken.

    It is opened for `len(loader)` batches at a time, up to `_end`; one at its end is opened when it is next asked for.
    """

    def __init__(self, context: StageContext, loader: Loader) -> None:
        self._context, self._loader = context, loader
        self._taken = self._end = 0
        self._batches: Iterator[Batch] | None = None

    def next(self) -> Batch:
        if self._batches is None or self._taken == self._end:
            self._batches = self._open()
        batch = next(self._batches)
        self._taken += 1
        return batch

    def rest(self) -> None:
        """Lets go of what was loaded ahead."""
        self._batches, self._end = None, self._taken

    def state_dict(self) -> dict[str, int]:
        return {"taken": self._taken, "end": self._end}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._taken, self._end = state["taken"], state["end"]

    def _open(self) -> Iterator[Batch]:
        again = self._taken < self._end  # it was open when it was saved: what opening draws has been drawn
        if not again:
            self._end = self._taken + len(self._loader)
        with torch.random.fork_rng(devices=[]) if again else contextlib.nullcontext():
            return _opened(self._context.to_device(self._loader.stretch(self._taken, self._end - self._taken)))


def _opened(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same batches; loading begins now, not when the first one is asked for."""
    return chain([*islice(batches, 1)], batches)
