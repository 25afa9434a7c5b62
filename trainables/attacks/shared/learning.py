"""The data, the training and the prediction of attackers of private attributes; see `trainables.evaluation.learning`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from trainables.attacks.shared.convergence import Curve, curve_of, flattened
from trainables.attacks.shared.exposure import exposed_shares, exposure
from trainables.attacks.shared.permutation import with_permuted_labels
from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.config import ConfigError, NetworkConfig
from trainables.data.loader import Batch
from trainables.evaluation.learning import Cosine, LabelledData, Training, groups_of, labelled_data, learn, predict
from trainables.execution.context import StageContext
from trainables.metrics import leakage_of
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.models.privacy import PRIVACY_BACKBONES, build_privacy_classifier


def attacked_data(context: StageContext, whole_clips: bool = False, learned_in: str = "") -> LabelledData:
    """The action clips where they carry labels, `attacks.frames` frames of each, or with `whole_clips` as the action classifier
    sees them; otherwise the images of the privacy set. Labels are exchanged for the control that wants it.

    learned_in: the stage whose networks are tested, if it is another one: the labels are exchanged as they were there, or
    the control could not convict networks that have seen the labels of test items.
    """
    settings = context.config.attacks
    splits = getattr(context.data, context.data.attacked)
    if settings.permuted:
        drawn_by = replace(context, stage=learned_in) if learned_in else context
        splits = with_permuted_labels(splits, drawn_by.seed("permutation"))
    frames = None if whole_clips else settings.frames
    return labelled_data(context, context.data.attacked, settings.batch_size, frames, splits=splits)


def attack_training(context: StageContext, slower: float = 1.0) -> Training:
    """The effort that all attackers spend: the learning rate falls to zero, and the last epoch counts. It starts at the share
    `slower` of `attacks.learning_rate`.
    """
    epochs = context.config.attack_epochs
    return Training(epochs, slower * context.config.attacks.learning_rate, lambda optimizer: Cosine(optimizer, epochs))


def attack_attributes(
    context: StageContext,
    data: LabelledData,
    anonymizer: Anonymizer,
    network: nn.Module,
    losses: Callable[[Batch], Mapping[str, Tensor]],
    logits: Callable[[Tensor], Tensor],
    members: Sequence[str],
    training: Training | None = None,
) -> tuple[AttackResult, list[dict[str, float]]]:
    """Trains `network`, then predicts the attributes of the validation and the test items; with the history of the training.

    logits: anonymized (B, T, C, H, W) -> (M, B, T, A) of the `members`. training: by default that of `attack_training`.
    """

    def validate() -> dict[str, float]:
        found = leakages(*predict(context, anonymizer, logits, data.validation), groups_of(data.validation))
        return {} if math.isnan(found[0]) else {"leakage": max(found)}

    training = attack_training(context) if training is None else training
    history = learn(context, network, data.train, losses, validate, training)
    network.eval()
    validated = leakages(*predict(context, anonymizer, logits, data.validation), groups_of(data.validation))
    frames: list[Tensor] = []
    predicted = predict(context, anonymizer, logits, data.test, clips=data.clips, each_frame=frames)
    spent = effort(context, network, len(data.train.samples))
    result = attribute_result(data, dict(zip(members, validated, strict=True)), predicted, spent, curve_of(history))
    return with_exposure(result, torch.cat(frames, dim=1), predicted[1]), history


def with_exposure(result: AttackResult, frames: Tensor, labels: Tensor) -> AttackResult:
    """The result with what the member that counts reads frame by frame, of (M, N, C, T, A); as it is where T is 1."""
    of_member = frames[strongest_member(result.validated)]
    if of_member.shape[2] == 1:
        return result
    others = {**result.others, **exposed_shares(of_member, labels)}
    return replace(result, details=exposure(of_member, labels), others=others)


class FrameClassifiers(nn.Module):
    """Classifiers of single frames, of several architectures; all of them learn from a batch that was anonymized once.

    weights: where all of them start (see `NetworkConfig`).
    """

    def __init__(self, names: Sequence[str], attributes: int, weights: str | None = None) -> None:
        super().__init__()
        for name in names:
            if name not in PRIVACY_BACKBONES:
                raise ConfigError(f"attacks.ensemble: no network {name!r}; there are {', '.join(PRIVACY_BACKBONES)}")
        networks = [NetworkConfig(name=name, weights=weights) for name in names]
        self.members = nn.ModuleList(build_privacy_classifier(network, attributes) for network in networks)

    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, C, H, W) -> logits (M, B, T, A), frame by frame."""
        frames = frames_of(clips)
        return torch.stack([member(frames) for member in self.members]).unflatten(1, clips.shape[:2])


def member_names(context: StageContext) -> list[str]:
    return list(context.config.attacks.ensemble)


def frame_classifiers(context: StageContext, data: LabelledData, state: Mapping[str, Tensor] | None = None) -> FrameClassifiers:
    """The classifiers of `attacks.ensemble`, as they start or with the state that another stage has left."""
    torch.manual_seed(context.seed("weights"))
    weights = context.config.attacks.weights if state is None else None
    networks = context.placed(FrameClassifiers(member_names(context), len(data.attributes), weights))
    if state is not None:
        networks.load_state_dict(state)
    return networks


def leakages(predictions: Tensor, labels: Tensor, groups: Sequence[str]) -> list[float]:
    """The leakage of each of the M members of (M, N, A); NaN where no attribute has both values."""
    names = tuple(str(number) for number in range(labels.shape[1]))
    try:
        return [leakage_of(member, labels.numpy(), names, groups).leakage for member in predictions.numpy()]
    except ValueError:
        return [math.nan] * len(predictions)


def effort(context: StageContext, network: nn.Module, items: int) -> dict[str, float]:
    """The epochs, which are equal for all attackers that learn, the training items, and the parameters."""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"epochs": float(context.config.attack_epochs), "items": float(items), "parameters": float(parameters)}


def attribute_result(
    data: LabelledData,
    validated: Mapping[str, float],
    predicted: tuple[Tensor, Tensor],
    spent: dict[str, float],
    curve: Curve,
) -> AttackResult:
    """The result of members with these leakages on validation items; `predicted` in test: (M, N, A), and labels (N, A)."""
    predictions, labels = predicted
    return AttackResult(
        ids=data.ids,
        groups=groups_of(data.test),
        members=list(validated),
        validated=list(validated.values()),
        answers=predictions,
        labels=labels,
        attributes=list(data.attributes),
        effort=spent,
        curve=curve,
        converged=flattened(curve),
    )


def contact_sheet(rows: Sequence[Tensor], side: int = 96) -> Tensor:
    """Rows of frames (N, C, H, W) in [0, 1], each under the one before -> (H', W', 3) uint8, a frame about `side` wide."""
    frames = torch.stack([row.clamp(0.0, 1.0) for row in rows]).float().cpu()  # (R, N, C, H, W)
    factor = max(1, side // frames.shape[-1])
    pixels = frames.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2).permute(0, 3, 1, 4, 2)
    return (pixels.flatten(2, 3).flatten(0, 1) * 255).round().byte()
