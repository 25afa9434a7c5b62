"""How a network learns attributes from anonymized data, and what it predicts: shared by f_B' and by every attacker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR

from trainables.config import ClipConfig
from trainables.data.items import DataError, StillSplits, VideoSplits
from trainables.data.loader import Batch, EvaluationClips, Loader, Stills, TrainingClips
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.execution.loop import Best, Epoch, Stateful, run_epochs
from trainables.metrics import DIGITS
from trainables.models.base import Anonymizer

# (B, T, C, H, W) raw and anonymized -> the frames or clips that a network is shown.
Shown = Callable[[Tensor, Tensor], Tensor]


def show_anonymized(raw: Tensor, anonymized: Tensor) -> Tensor:
    return anonymized


def show_raw(raw: Tensor, anonymized: Tensor) -> Tensor:
    return raw


@dataclass(frozen=True)
class LabelledData:
    """The items of a data set with private attributes, in batches.

    clips: how many clips of one test item lie one after another on the time axis of a test batch.
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


def groups_of(loader: Loader) -> list[str]:
    """The source, or the person where a data set names people, of every item that a loader serves."""
    return [item.group for item in loader.samples.items]


def labelled_data(
    context: StageContext,
    data: str,
    batch_size: int,
    frames: int | None,
    choose_on_test: bool = False,
    train_on_validation: bool = False,
    splits: VideoSplits | StillSplits | None = None,
) -> LabelledData:
    """The data set `data` (a member of TrialData), images or clips, in batches of about `batch_size` frames.

    frames: of a clip (see `clip_of_frames`); None: clips as the action classifier sees them. choose_on_test: the test items
    are the validation items as well. train_on_validation: these are training items as well. splits: with other labels.
    Raises DataError for an item without labels.
    """
    splits = getattr(context.data, data) if splits is None else splits
    boxes, config = context.boxes(data), context.config.clip
    chosen = splits.test if choose_on_test else splits.validation
    extra = splits.validation if train_on_validation else ()
    if isinstance(splits, StillSplits):
        stills = [
            Stills(items, config, context.seed(purpose), boxes=boxes)
            for items, purpose in (((*splits.train, *extra), "train"), (chosen, "test"), (splits.test, "test"))
        ]
        train, validation, test = (context.loader(each, batch_size, shuffle=each is stills[0]) for each in stills)
        return LabelledData(splits.name, splits.attributes, train, validation, test)
    require_labels(splits)
    clip = config if frames is None else clip_of_frames(config, frames)
    clips = [
        TrainingClips((*splits.train, *extra), clip, context.seed("train"), boxes=boxes),
        EvaluationClips(chosen, validation_clip(clip), context.seed("test"), boxes=boxes),
        EvaluationClips(splits.test, clip, context.seed("test"), boxes=boxes),
    ]
    videos = max(1, batch_size // clip.frames)
    train, validation, test = (context.loader(each, videos, shuffle=each is clips[0]) for each in clips)
    return LabelledData(splits.name, splits.attributes, train, validation, test, clip.test_clips)


def require_labels(splits: VideoSplits | StillSplits) -> None:
    """Raises DataError for an item without attributes."""
    for split in ("train", "validation", "test"):
        missing = [item.name for item in getattr(splits, split) if item.attributes is None]
        if missing:
            raise DataError(f"{splits.name}: {len(missing)} {split} videos have no attributes, first {missing[0]}; label them")


def clip_of_frames(clip: ClipConfig, frames: int) -> ClipConfig:
    """`frames` frames over the same stretch of time as the action classifier's clip."""
    frames = min(frames, clip.frames)
    return clip.model_copy(update={"frames": frames, "skip": max(1, clip.skip * clip.frames // frames)})


class Schedule(Protocol):
    """A schedule of the learning rate, stepped once an epoch with the training loss."""

    def step(self, loss: float) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Cosine(CosineAnnealingLR):
    """The learning rate falls to zero along a cosine, whatever the loss."""

    def step(self, loss: float | None = None) -> None:
        super().step()


@dataclass(frozen=True)
class Training:
    """How long and how fast a network learns.

    best: which epoch counts; None: the last one. first_epoch: the number of the first epoch in the endless order of the
    training data. name: of the network in a checkpoint.
    """

    epochs: int
    learning_rate: float
    schedule: Callable[[Optimizer], Schedule]
    best: Best | None = None
    first_epoch: int = 0
    name: str = "network"


def learn(
    context: StageContext,
    network: nn.Module,
    batches: Loader,
    losses: Callable[[Batch], Mapping[str, Tensor]],
    validate: Callable[[], Mapping[str, float]],
    training: Training,
) -> list[dict[str, float]]:
    """Trains `network` to descend the sum of `losses`, with Adam; returns the history, a row an epoch.

    `validate` measures the network after each epoch; what it returns stands in the history beside the mean losses.
    """
    optimizer = context.adam(network.parameters(), training.learning_rate)
    schedule = training.schedule(optimizer)

    def epoch(now: Epoch) -> dict[str, float]:
        network.train()
        for batch in now.batches(batches, training.first_epoch + now.number):
            with context.autocast():
                found = losses(batch)
            optimizer.zero_grad(set_to_none=True)
            torch.stack(list(found.values())).sum().backward()
            optimizer.step()
            now.add(len(batch["clips"]), **found)
        network.eval()
        measured, means = validate(), now.means()
        schedule.step(sum(means.values()))
        return {**means, **measured}

    parts: dict[str, Stateful] = {training.name: network, "optimizer": optimizer, "schedule": schedule}
    return run_epochs(context, parts, training.epochs, epoch, training.best)


def attribute_loss(logits: Tensor, attributes: Tensor) -> Tensor:
    """Binary cross-entropy of (B, T, A), or (B, A), against the (B, A) labels of the items. A scalar."""
    return F.binary_cross_entropy_with_logits(
        logits, attributes.unsqueeze(1).expand_as(logits) if logits.dim() == 3 else attributes
    )


@torch.no_grad()
def predict(
    context: StageContext,
    anonymizer: Anonymizer,
    network: Callable[[Tensor], Tensor],
    loader: Loader,
    shown: Shown = show_anonymized,
    clips: int = 1,
    each_frame: list[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Probabilities (M, N, A) of the attributes, averaged over the frames and clips of an item, and the labels (N, A).

    network: (B, T, C, H, W) -> logits (M, B, T, A) of M members, in eval mode. Probabilities are rounded to DIGITS.
    each_frame: to this list those of every frame are added, (M, B, clips, T, A) for each batch of B items.
    """
    predictions, labels = [], []
    for batch in context.evaluation_batches(loader):
        raw, anonymized = context.anonymized_view(anonymizer, batch, clips=clips)
        seen = shown(raw, anonymized)
        with context.autocast():
            logits = network(filled(seen, loader.batch_size * clips))[:, : len(seen)]
        of_frames = logits.float().sigmoid()
        if each_frame is not None:
            each_frame.append(of_frames.unflatten(1, (-1, clips)).double().cpu().round(decimals=DIGITS))
        probabilities = of_frames.mean(dim=2)
        predictions.append(probabilities.unflatten(1, (-1, clips)).mean(dim=2).double().cpu())
        labels.append(batch["attributes"].double().cpu())
    return torch.cat(predictions, dim=1).round(decimals=DIGITS), torch.cat(labels)
