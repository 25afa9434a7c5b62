"""Classifiers of published and of restored frames, trained end to end with what restores them.

An adaptive attack (Tramèr and others, On Adaptive Attacks to Adversarial Example Defenses, NeurIPS 2020, arXiv 2002.08347) is
made for the defence it meets. Beyond the other attackers this one uses f_A itself: its frames are restored by a step of learned
gradient descent (Adler and Öktem, Solving ill-posed inverse problems using iterative deep neural networks, 2017, arXiv
1704.04058), for which the gradient of f_A says how a guess would have to change to look, anonymized, as what was published. It
uses pairs of other video, and goes on from what `retrained` and its control on raw frames have learned, so that it spends the
effort of an attacker three times over.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.attacks.adaptive import RESTORER
from trainables.attacks.inversion.training import Decoder
from trainables.attacks.retrained import RETRAINED
from trainables.attacks.shared.learning import (
    FrameClassifiers,
    attack_attributes,
    attack_training,
    attacked_data,
    frame_classifiers,
    member_names,
)
from trainables.data.loader import Batch, TrainingClips
from trainables.evaluation.learning import attribute_loss, clip_of_frames, learn
from trainables.execution.context import StageContext
from trainables.models.axes import clips_of, frames_of
from trainables.models.base import Anonymizer
from trainables.stages import part_name
from trainables.store import Outcome

SLOWER = 0.1  # of attacks.learning_rate, which is for networks from scratch and would wipe out what was learned before
_NOTE = "it goes on from what three trainings of as many epochs each have left: on anonymized, on raw frames, and on pairs"


class Restorer(nn.Module):
    """A decoder that guesses what a frame was before f_A, and what it makes of the gradient of its error.

    Both see clips, frame by frame, and begin at nothing: a frame is then restored as it is.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.decoder = Decoder(width)
        layers: list[nn.Module] = []
        for inputs in (9, width):
            layers += [nn.Conv2d(inputs, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
        last = nn.Conv2d(width, 3, 1)
        self.step = nn.Sequential(*layers, last)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)

    def guess(self, published: Tensor) -> Tensor:
        """(B, T, 3, H, W) -> the same shape."""
        return clips_of(self.decoder(frames_of(published)), batch=len(published))

    def correction(self, known: Tensor) -> Tensor:
        """(B, T, 9, H, W), published frames, the guess and its gradient, colours after colours -> (B, T, 3, H, W)."""
        return clips_of(self.step(torch.cat([frames_of(part) for part in known.chunk(3, dim=2)], dim=1)), batch=len(known))


class PublishedAndRestored(nn.Module):
    """Classifiers of frames as they were published, others of the restored ones, and what restores: logits are added up."""

    def __init__(self, restorer: Restorer, of_published: FrameClassifiers, of_restored: FrameClassifiers) -> None:
        super().__init__()
        self.restorer, self.of_published, self.of_restored = restorer, of_published, of_restored

    def forward(self, both: Tensor) -> Tensor:
        """(B, T, 6, H, W), published and restored frames -> logits (M, B, T, A)."""
        published, restored = both.chunk(2, dim=2)
        return self.of_published(published) + self.of_restored(restored)


def error_gradient(context: StageContext, anonymizer: Anonymizer, guess: Tensor, published: Tensor) -> Tensor:
    """The gradient of |f_A(guess) - published|^2 / 2 in the guess; clips (B, T, C, H, W). 0 where f_A has none."""
    with torch.enable_grad():
        variable = guess.detach().requires_grad_()
        error = context.anonymize(anonymizer, variable) - published.detach()
        if not error.requires_grad:  # f_A gives the same whatever it is shown
            return torch.zeros_like(guess)
        (found,) = torch.autograd.grad(0.5 * error.float().square().sum(), variable)
    return found


def restored(context: StageContext, anonymizer: Anonymizer, network: Restorer, published: Tensor) -> Tensor:
    """(B, T, C, H, W) -> the same shape: the guess, and one step of learned gradient descent from it."""
    guess = context.through(network, network.guess, published)
    known = torch.cat([published, guess, error_gradient(context, anonymizer, guess, published)], dim=2)
    return guess + context.through(network, network.correction, known)


def restorer(context: StageContext) -> Outcome:
    """Learns to restore from pairs (raw, anonymized) that the attacker makes of the clips f_A was trained on."""
    settings, clip = context.config.attacks, clip_of_frames(context.config.clip, context.config.attacks.frames)
    samples = TrainingClips(context.data.action.train, clip, context.seed("clips"))
    clips = context.loader(samples, max(1, settings.batch_size // clip.frames), shuffle=True)
    anonymizer = context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(Restorer(settings.decoder_width))

    def losses(batch: Batch) -> dict[str, Tensor]:
        view, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        return {"loss": F.mse_loss(restored(context, anonymizer, network, anonymized), view)}

    history = learn(context, network, clips, losses, dict, attack_training(context))
    return Outcome({}, history, {"restorer": network.state_dict()})


def run(context: StageContext) -> Outcome:
    """Trains all of it together: what restores is to restore, and to show what tells people apart."""
    data, names = attacked_data(context, learned_in=RETRAINED.name), member_names(context)
    anonymizer = context.anonymizer("anonymizer")
    of_published, of_restored = (
        frame_classifiers(context, data, context.inputs[role].state["network"])
        for role in (RETRAINED.name, part_name(RETRAINED.name, "raw"))
    )
    restoring = Restorer(context.config.attacks.decoder_width)
    restoring.load_state_dict(context.inputs[RESTORER.name].state["restorer"])
    networks = context.placed(PublishedAndRestored(restoring, of_published, of_restored))

    def seen(anonymized: Tensor) -> tuple[Tensor, Tensor]:
        found = restored(context, anonymizer, networks.restorer, anonymized)
        return context.through(networks, networks, torch.cat([anonymized, found], dim=2), rows_at=1), found

    def losses(batch: Batch) -> dict[str, Tensor]:
        view, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        logits, found = seen(anonymized)
        of_attributes = {
            f"loss_{number}_{name}": attribute_loss(member, batch["attributes"])
            for number, (name, member) in enumerate(zip(names, logits, strict=True))
        }
        return {"loss_restoration": F.mse_loss(found, view), **of_attributes}

    def logits(anonymized: Tensor) -> Tensor:
        return seen(anonymized)[0]

    training = attack_training(context, SLOWER)
    result, history = attack_attributes(context, data, anonymizer, networks, losses, logits, names, training)
    return Outcome({}, history, {"evidence": {**result.state(), "notes": [_NOTE]}})
