"""What the attackers share: what they look at, how they learn, and how they are asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from trainables.attacks.evidence import Evidence, curve_of
from trainables.config import ConfigError, NetworkConfig
from trainables.data.boxes import Boxes
from trainables.data.items import StillSplits, VideoSplits
from trainables.data.loader import Batch, EvaluationClips, Loader, Stills, TrainingClips
from trainables.evaluation.privacy import attacked_clip, require_labels
from trainables.execution.context import StageContext, validation_clip
from trainables.execution.loop import Epoch, Stateful, run_epochs
from trainables.metrics import DIGITS, leakage_of
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.models.privacy import PRIVACY_BACKBONES, build_privacy_classifier

# (B, T, C, H, W) raw and anonymized -> the frames or clips that an attacker is shown.
Shown = Callable[[Tensor, Tensor], Tensor]


def anonymized(view: Tensor, hidden: Tensor) -> Tensor:
    return hidden


def raw(view: Tensor, hidden: Tensor) -> Tensor:
    return view


@dataclass(frozen=True)
class Target:
    """Items with private attributes, as an attacker of single frames gets them; `clips` lie one after another on the time
    axis of a test batch.
    """

    name: str
    attributes: tuple[str, ...]
    train: Loader
    validation: Loader
    test: Loader
    clips: int = 1

    @property
    def ids(self) -> list[str]:
        return [item.name for item in self.test.samples.items]


def target_of(context: StageContext, whole_clips: bool = False) -> Target:
    """The action clips where they carry labels, a few frames of each, or with `whole_clips` as the action classifier sees
    them; otherwise the images of the privacy set.
    """
    splits: VideoSplits | StillSplits = getattr(context.data, context.data.attacked)
    boxes = context.boxes(context.data.attacked)
    require_labels(splits)
    if isinstance(splits, StillSplits):
        return _images(context, splits, boxes)
    config, settings = context.config, context.config.attacks
    clip = config.clip if whole_clips else attacked_clip(config.clip, settings.frames)
    videos = max(1, settings.batch_size // clip.frames)
    samples = (
        TrainingClips(splits.train, clip, context.seed("train"), boxes=boxes),
        EvaluationClips(splits.validation, validation_clip(clip), context.seed("test"), boxes=boxes),
        EvaluationClips(splits.test, clip, context.seed("test"), boxes=boxes),
    )
    train, validation, test = (context.loader(each, videos, shuffle=each is samples[0]) for each in samples)
    return Target(splits.name, splits.attributes, train, validation, test, clip.test_clips)


def _images(context: StageContext, splits: StillSplits, boxes: Boxes | None) -> Target:
    clip, batch_size = context.config.clip, context.config.attacks.batch_size
    train = Stills(splits.train, clip, context.seed("train"), boxes=boxes)
    validation, test = (
        context.loader(Stills(items, clip, context.seed("test"), boxes=boxes), batch_size, shuffle=False)
        for items in (splits.validation, splits.test)
    )
    return Target(splits.name, splits.attributes, context.loader(train, batch_size, shuffle=True), validation, test)


def learn(
    context: StageContext,
    network: nn.Module,
    batches: Loader,
    losses: Callable[[Batch], Mapping[str, Tensor]],
    judge: Callable[[], float | None],
) -> list[dict[str, float]]:
    """Trains for the effort that all attackers spend; the learning rate falls to zero, and the last epoch counts.

    `judge` measures leakage on validation items, None where it cannot.
    """
    settings = context.config.attacks
    optimizer = context.adam(network.parameters(), settings.learning_rate)
    schedule = CosineAnnealingLR(optimizer, settings.epochs)

    def epoch(now: Epoch) -> dict[str, float]:
        network.train()
        for batch in now.batches(batches):
            with context.autocast():
                found = losses(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(found.values())).sum().backward()
            optimizer.step()
            now.add(**found)
        leakage = judge()
        schedule.step()
        return now.means() | ({} if leakage is None else {"leakage": leakage})

    parts: dict[str, Stateful] = {"network": network, "optimizer": optimizer, "schedule": schedule}
    return run_epochs(context, parts, settings.epochs, epoch)


def read_attributes(
    context: StageContext,
    target: Target,
    anonymizer: Anonymizer,
    network: nn.Module,
    losses: Callable[[Batch], Mapping[str, Tensor]],
    answers: Callable[[Tensor], Tensor],
    members: Sequence[str],
) -> tuple[Evidence, list[dict[str, float]]]:
    """Trains `network`, and what `answers`, anonymized (B, T, C, H, W) -> logits (M, B, T, A) of `members`, then reads off the
    test items; with the history.
    """

    def judge() -> float | None:
        network.eval()
        return leakage(*ask(context, anonymizer, answers, target.validation))

    history = learn(context, network, target.train, losses, judge)
    network.eval()
    asked = ask(context, anonymizer, answers, target.test, clips=target.clips)
    return attribute_evidence(target, members, asked, effort(context, network, len(target.train.samples)), history), history


class Ensemble(nn.Module):
    """Classifiers of single frames; all of them learn from a batch that was anonymized once."""

    def __init__(self, names: Sequence[str], attributes: int) -> None:
        super().__init__()
        for name in names:
            if name not in PRIVACY_BACKBONES:
                raise ConfigError(f"attacks.ensemble: no network {name!r}; there are {', '.join(PRIVACY_BACKBONES)}")
        self.members = nn.ModuleList(build_privacy_classifier(NetworkConfig(name=name), attributes) for name in names)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> logits (M, B, T, A), frame by frame."""
        frames = frames_of(clips)
        return torch.stack([member(frames) for member in self.members]).unflatten(1, clips.shape[:2])


def member_names(context: StageContext) -> list[str]:
    return list(context.config.attacks.ensemble)


def ensemble_of(context: StageContext, target: Target, state: Mapping[str, Tensor] | None = None) -> Ensemble:
    """The attackers, untrained or as another stage has left them."""
    torch.manual_seed(context.seed("weights"))
    ensemble = context.placed(Ensemble(member_names(context), len(target.attributes)))
    if state is not None:
        ensemble.load_state_dict(state)
    return ensemble


def attribute_loss(logits: Tensor, attributes: Tensor) -> Tensor:
    """Binary cross-entropy of (B, T, A), or (B, A), against the (B, A) labels of the items."""
    return F.binary_cross_entropy_with_logits(
        logits, attributes.unsqueeze(1).expand_as(logits) if logits.dim() == 3 else attributes
    )


@torch.no_grad()
def ask(
    context: StageContext,
    anonymizer: Anonymizer,
    network: Callable[[Tensor], Tensor],
    loader: Loader,
    shown: Shown = anonymized,
    clips: int = 1,
) -> tuple[Tensor, Tensor]:
    """What `network`, (B, T, C, H, W) -> logits (M, B, T, A), answers to the items: probabilities (M, N, A), averaged over
    frames and clips, and their labels (N, A).
    """
    answers, labels = [], []
    for batch in context.evaluation_batches(loader):
        view, hidden = context.anonymized_view(anonymizer, batch, clips=clips)
        with context.autocast():
            logits = network(shown(view, hidden))
        probabilities = logits.float().sigmoid().mean(dim=2)
        answers.append(probabilities.unflatten(1, (-1, clips)).mean(dim=2).double().cpu())
        labels.append(batch["attributes"].double().cpu())
    return torch.cat(answers, dim=1).round(decimals=DIGITS), torch.cat(labels)


def leakage(answers: Tensor, labels: Tensor) -> float | None:
    """The largest leakage among the members of (M, N, A); None where no attribute has both values."""
    names = tuple(str(number) for number in range(labels.shape[1]))
    try:
        return max(leakage_of(member, labels.numpy(), names).leakage for member in answers.numpy())
    except ValueError:
        return None


def effort(context: StageContext, network: nn.Module, items: int) -> dict[str, float]:
    """What is equal for all attackers, epochs, and what is not, how many parameters they have."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"epochs": float(context.config.attacks.epochs), "items": float(items), "parameters": float(parameters)}


def attribute_evidence(
    target: Target,
    members: Sequence[str],
    asked: tuple[Tensor, Tensor],
    spent: dict[str, float],
    history: Sequence[dict[str, float]],
) -> Evidence:
    answers, labels = asked
    return Evidence(
        ids=target.ids,
        members=list(members),
        answers=answers,
        labels=labels,
        attributes=list(target.attributes),
        effort=spent,
        curve=curve_of(history),
    )


def sheet(rows: Sequence[Tensor], side: int = 96) -> Tensor:
    """Rows of frames (N, C, H, W) in [0, 1], each under the one before -> (H', W', 3) uint8, a frame about `side` wide."""
    frames = torch.stack([row.clamp(0.0, 1.0) for row in rows]).float().cpu()  # (R, N, C, H, W)
    factor = max(1, side // frames.shape[-1])
    pixels = frames.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2).permute(0, 3, 1, 4, 2)
    return (pixels.flatten(2, 3).flatten(0, 1) * 255).round().byte()


def spread(count: int, wanted: int) -> list[int]:
    """`wanted` numbers below `count`, or as many as there are, evenly apart."""
    return np.linspace(0, count - 1, min(count, wanted)).round().astype(int).tolist()
