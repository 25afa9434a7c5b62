"""Whether an anonymizer remembers the clips it was trained on: how far it changes those, and others, and two controls."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trainables.config import Runtime, TrialConfig
from trainables.data.items import DataError, Video
from trainables.data.loader import EvaluationClips
from trainables.data.sampling import evenly
from trainables.data.trial_data import TrialData
from trainables.execution.context import StageContext, validation_clip
from trainables.losses import rms_distortion
from trainables.models.anonymizers import build_anonymizer
from trainables.models.base import Anonymizer
from trainables.store.artifacts import StageStore

_AT_ONCE = 8  # clips
_OVERFITTED_CLIPS = 8  # that the positive control is trained on
_OVERFITTED_RATE = 1e-2


@dataclass(frozen=True)
class ClipScores:
    """What an attacker who has f_A computes of each clip: minus the RMS of X - f_A(X), larger for clips it has learned.

    `names`, `groups`, `member`, `score`: (N,), of each clip its name, its source or person, and whether f_A was trained on it.
    """

    names: tuple[str, ...]
    groups: tuple[str, ...]
    member: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class MembershipScores:
    """Scores of the anonymizer, of the same network before any training, and of one that was overfitted on purpose."""

    own: ClipScores
    untrained: ClipScores
    overfitted: ClipScores


def membership_scores(
    config: TrialConfig, data_root: str | Path, anonymizer: Anonymizer, most: int = 300, steps: int = 200, device: str = "auto"
) -> MembershipScores:
    """Computes the scores of at most `most` training clips of f_A and as many test clips, evenly chosen, in the test view.

    steps: of the overfitted control, which learns the identity (Eq. 5) on _OVERFITTED_CLIPS of the training clips and nothing
    else, its members. Raises DataError where there are no clips of one kind, and whatever reading the data raises.
    """
    data = TrialData(config, data_root)
    members, others = _evenly(data.action.train, most), _evenly(data.action.test, most)
    if not members or not others:
        raise DataError(f"{data.action.name}: it takes training clips and test clips to tell whether f_A remembers any")
    with tempfile.TemporaryDirectory() as folder:
        runtime = Runtime(data_root=str(data_root), storage=folder, device=device)  # type: ignore[arg-type]
        work = StageStore(folder).work("membership", "membership")
        context = StageContext("membership", config, runtime, data, {}, work, lambda *_: None, lambda: False)
        few = _evenly(members, _OVERFITTED_CLIPS)
        return MembershipScores(
            own=_scores(context, context.placed(anonymizer), members, others),
            untrained=_scores(context, _fresh(context), members, others),
            overfitted=_scores(context, _overfitted(context, few, steps), few, others),
        )


def _fresh(context: StageContext) -> Anonymizer:
    torch.manual_seed(context.seed("weights"))
    return context.placed(build_anonymizer(context.config.anonymizer.from_scratch, context.config.options))


def _overfitted(context: StageContext, clips: Sequence[Video], steps: int) -> Anonymizer:
    """A network of the same kind that has seen nothing but these clips, again and again and never augmented."""
    anonymizer = _fresh(context)
    optimizer = context.adam(anonymizer.parameters(), _OVERFITTED_RATE)
    [batch] = context.evaluation_batches(context.loader(_samples(context, clips), len(clips), shuffle=False))
    view = context.test_view(batch)
    anonymizer.train()
    for _ in range(steps):
        loss = rms_distortion(view, context.anonymize(anonymizer, view)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return anonymizer


@torch.no_grad()
def _scores(context: StageContext, anonymizer: Anonymizer, members: Sequence[Video], others: Sequence[Video]) -> ClipScores:
    anonymizer.eval()
    items = (*members, *others)
    found = []
    for batch in context.evaluation_batches(context.loader(_samples(context, items), _AT_ONCE, shuffle=False)):
        view = context.test_view(batch)
        with context.autocast():
            found.append(-rms_distortion(view, context.anonymize(anonymizer, view)).double().cpu())
    member = np.arange(len(items)) < len(members)
    names, groups = tuple(item.name for item in items), tuple(item.group for item in items)
    return ClipScores(names, groups, member, torch.cat(found).numpy())


def _samples(context: StageContext, items: Sequence[Video]) -> EvaluationClips:
    return EvaluationClips(tuple(items), validation_clip(context.config.clip), context.seed("clips"))


def _evenly(items: Sequence[Video], most: int) -> tuple[Video, ...]:
    return tuple(items[number] for number in evenly(len(items), most))
