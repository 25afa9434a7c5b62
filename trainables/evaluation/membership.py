"""Whether an anonymizer, or the action classifier behind it, remembers the clips it was trained on: one number of each clip, of
training clips and of others, and of two networks for which the outcome is known.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from trainables.config import Runtime, TrialConfig
from trainables.data.items import DataError, Video
from trainables.data.loader import Batch, EvaluationClips
from trainables.data.sampling import evenly
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.losses import rms_distortion
from trainables.models.action import build_action_classifier
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer
from trainables.store.artifacts import StageStore

_AT_ONCE = 8  # clips
_OVERFITTED_CLIPS = 8  # that the positive control is trained on
_OVERFITTED_RATE = 1e-2


@dataclass(frozen=True)
class ClipScores:
    """What an attacker who has a network computes of each clip, larger for clips that the network has learned.

    `names`, `groups`, `member`, `score`: (N,), of each clip its name, its source or person, and whether the network was trained
    on it.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    member: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class MembershipScores:
    """Scores of the network, of the same one before any training, and of one that was overfitted on purpose."""

    own: ClipScores
    untrained: ClipScores
    overfitted: ClipScores


def membership_scores(
    config: TrialConfig, data_root: str | Path, anonymizer: Anonymizer, most: int = 300, steps: int = 200, device: str = "auto"
) -> MembershipScores:
    """Scores of at most `most` training clips of f_A and as many test clips, evenly chosen, in the test view: minus the RMS of
    X - f_A(X).

    steps: of the overfitted control, which learns the identity (Eq. 5) on _OVERFITTED_CLIPS of the training clips and nothing
    else, its members. Raises DataError where there are no clips of one kind, and whatever reading the data raises.
    """
    with _context(config, data_root, device) as context:
        splits = context.data.action
        members, others = _members_and_others(splits.name, splits.train, splits.test, most)
        few = _evenly(members, _OVERFITTED_CLIPS)

        def distortion(network: Anonymizer, view: Tensor, _: Batch) -> Tensor:
            return rms_distortion(view, context.anonymize(network, view))

        def score(network: Anonymizer) -> Callable[[Batch], Tensor]:
            network.eval()
            return lambda batch: -distortion(network, context.test_view(batch), batch)

        overfitted = _overfitted(context, _fresh(context), few, steps, context.test_view, distortion)
        return MembershipScores(
            own=_scores(context, score(context.placed(anonymizer)), members, others),
            untrained=_scores(context, score(_fresh(context)), members, others),
            overfitted=_scores(context, score(overfitted), few, others),
        )


def classifier_scores(
    config: TrialConfig,
    data_root: str | Path,
    anonymizer: Anonymizer,
    classifier: Mapping[str, Tensor],
    most: int = 300,
    steps: int = 200,
    device: str = "auto",
) -> MembershipScores:
    """As `membership_scores`, of the action classifier f_T' with the state `classifier` behind `anonymizer`: the log odds it
    gives to the right action of a clip (Carlini and others, Membership Inference Attacks From First Principles, 2022, arXiv
    2112.03570).

    The overfitted control learns the actions of its few clips and nothing else. At the size at which f_T' was trained.
    """
    with _context(config.as_evaluated, data_root, device) as context:
        splits = context.data.action_evaluation
        learned_from = (*splits.train, *(splits.validation if config.refit else ()))
        members, others = _members_and_others(splits.name, learned_from, splits.test, most)
        few, f_a = _evenly(members, _OVERFITTED_CLIPS), context.placed(anonymizer).eval()

        def fresh() -> nn.Module:
            torch.manual_seed(context.seed("weights"))
            settings = context.config.evaluate_action.classifier.from_scratch
            return context.placed(build_action_classifier(settings, len(splits.classes), context.config.clip))

        def anonymized(batch: Batch) -> Tensor:
            return context.anonymized_view(f_a, batch)[1]

        def logits(network: nn.Module, clips: Tensor) -> Tensor:
            found: Tensor = network(filled(clips, _AT_ONCE))
            return found[: len(clips)].float()

        def loss(network: nn.Module, clips: Tensor, batch: Batch) -> Tensor:
            return functional.cross_entropy(logits(network, clips), batch["label"])

        def score(network: nn.Module) -> Callable[[Batch], Tensor]:
            network.eval()
            return lambda batch: log_odds(logits(network, anonymized(batch)), batch["label"])

        own = fresh()
        own.load_state_dict(classifier)
        overfitted = _overfitted(context, fresh(), few, steps, anonymized, loss)
        return MembershipScores(
            own=_scores(context, score(own), members, others),
            untrained=_scores(context, score(fresh()), members, others),
            overfitted=_scores(context, score(overfitted), few, others),
        )


def log_odds(logits: Tensor, labels: Tensor) -> Tensor:
    """(N, C), (N,) -> (N,): log p / (1 - p) of the right class; without the rounding of a p near 1, where clips would tie."""
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return logits.double()[right] - logits.double().masked_fill(right, float("-inf")).logsumexp(dim=1)


@contextmanager
def _context(config: TrialConfig, data_root: str | Path, device: str) -> Iterator[StageContext]:
    data = TrialData(config, data_root)
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(data_root=str(data_root), storage=folder, device=device)  # type: ignore[arg-type]
        work = StageStore(folder).work("membership", "membership")
        yield StageContext("membership", config, runtime, data, {}, work, lambda *_: None, lambda: False)


def _members_and_others(
    name: str, trained: Sequence[Video], tested: Sequence[Video], most: int
) -> tuple[tuple[Video, ...], tuple[Video, ...]]:
    members, others = _evenly(trained, most), _evenly(tested, most)
    if not members or not others:
        raise DataError(f"{name}: it takes training clips and test clips to tell whether a network remembers any")
    return members, others


def _fresh(context: StageContext) -> Anonymizer:
    torch.manual_seed(context.seed("weights"))
    return context.placed(build_anonymizer(context.config.anonymizer.from_scratch, context.config.options))


Network = TypeVar("Network", bound=nn.Module)


def _overfitted(
    context: StageContext,
    network: Network,
    clips: Sequence[Video],
    steps: int,
    shown: Callable[[Batch], Tensor],
    loss: Callable[[Network, Tensor, Batch], Tensor],
) -> Network:
    """The network after training on nothing but these clips, in one batch, again and again and never augmented.

    shown: what the network is given of a batch. loss: of what it was shown.
    """
    optimizer = context.adam(network.parameters(), _OVERFITTED_RATE)
    [batch] = context.evaluation_batches(context.loader(_samples(context, clips), len(clips), shuffle=False))
    given = shown(batch)
    network.train()
    for _ in range(steps):
        mean = loss(network, given, batch).mean()
        optimizer.zero_grad(set_to_none=True)
        mean.backward()
        optimizer.step()
    return network


@torch.no_grad()
def _scores(
    context: StageContext, score: Callable[[Batch], Tensor], members: Sequence[Video], others: Sequence[Video]
) -> ClipScores:
    items = (*members, *others)
    found = []
    for batch in context.evaluation_batches(context.loader(_samples(context, items), _AT_ONCE, shuffle=False)):
        with context.autocast():
            found.append(score(batch).double().cpu())
    member = np.arange(len(items)) < len(members)
    names, groups = tuple(item.name for item in items), tuple(item.group for item in items)
    return ClipScores(names, groups, member, torch.cat(found).numpy())


def _samples(context: StageContext, items: Sequence[Video]) -> EvaluationClips:
    return EvaluationClips(tuple(items), validation_clip(context.config.clip), context.seed("clips"))


def _evenly(items: Sequence[Video], most: int) -> tuple[Video, ...]:
    return tuple(items[number] for number in evenly(len(items), most))
