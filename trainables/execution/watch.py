"""What an anonymizer in training is worth on validation data, in seconds: top-1 of its f_T, and what a linear probe reads.

Random numbers, modes and statistics of the networks are left as they were: a training that is watched has the same numbers.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from trainables.config import TrialConfig
from trainables.data.items import Still, Video
from trainables.data.loader import Batch, EvaluationClips, Loader, Stills
from trainables.data.sampling import evenly
from trainables.data.trial_data import TrialData
from trainables.early import Figures, Place, Watch, group_of
from trainables.execution.context import StageContext, validation_clip
from trainables.execution.loop import Stateful
from trainables.methods import method_of
from trainables.metrics import DIGITS, leakage_of
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.plan import PlannedStage

_ITEMS = 256  # of a split, at most
_FRAMES = 4  # of a clip, for the probe
_SIDE, _POOLED = 32, 16  # pixels that the probe sees, and those that it knows by their place
_FILTERS, _WINDOW, _CELLS = 32, 5, 4  # random filters, their side, and the cells of the picture in which they are averaged
_FLAT = 1e-6
_ALPHAS = np.logspace(-2, 3, 6)


def place_of(stage: PlannedStage, data: TrialData) -> Place | None:
    """Where the anonymizer that `stage` trains stands; None for a stage that trains none, or one that cannot be watched: a dial
    is no single anonymizer, one that changes people only needs their boxes, and one that went on from another is not like those
    that did not, and may be needed by the next.

    Compared are anonymizers of one method, seed, recipe of clips and data.
    """
    config = stage.config
    method = method_of(config)
    if stage.control or stage.role != method.anonymizer or not stage.stage.trains or method.boxes:
        return None
    if config.anonymizer.dial != "none" or method.continues is not None:
        return None
    attacked = getattr(data, data.attacked)
    content = [data.action.fingerprint, attacked.fingerprint]
    shown = [config.clip.model_dump(mode="json"), config.augment.model_dump(mode="json")]
    return Place(stage.key, group_of(config.method, config.seed, shown, content), getattr(config, stage.stage.trains).epochs)


class WatchedTraining:
    """Called between epochs by the loop of the stage that trains an anonymizer. `config` and `data` are those of the whole
    trial: nothing of what it measures enters the outcome of the stage.
    """

    def __init__(self, watch: Watch, place: Place, config: TrialConfig, data: TrialData) -> None:
        self._watch, self._place, self._config, self._data = watch, place, config, data

    def __call__(self, context: StageContext, parts: Mapping[str, Stateful], history: Sequence[Mapping[str, float]]) -> None:
        """Raises StoppedEarly if the training is to end after the epochs of `history`."""
        anonymizer, action = parts.get("anonymizer"), parts.get("action_classifier")
        if isinstance(anonymizer, Anonymizer) and isinstance(action, nn.Module):
            measure = Measure(context, self._config, self._data)
            self._watch.after(self._place, len(history), lambda: measure(anonymizer, action), history)


class Measure:
    """Measures on at most `_ITEMS` items of each split."""

    def __init__(self, context: StageContext, config: TrialConfig, data: TrialData) -> None:
        self._context, self.config, self._data = context, config, data

    @torch.no_grad()
    def __call__(self, anonymizer: Anonymizer, action: nn.Module) -> Figures:
        with _as_it_was(self._context, anonymizer, action):
            anonymizer.eval()
            action.eval()
            (top1, clips), (leakage, items) = self._top1(anonymizer, action), self._leakage(anonymizer)
            return Figures(top1, leakage, clips, items)

    def _top1(self, anonymizer: Anonymizer, action: nn.Module) -> tuple[float, int]:
        right, seen = 0, 0
        for batch, anonymized in self._anonymized(anonymizer, self._data.action.validation):
            with self._context.autocast():
                logits = action(anonymized)
            right += int((logits.argmax(dim=1) == batch["label"]).sum())
            seen += len(anonymized)
        return (right / seen if seen else math.nan), seen

    def _leakage(self, anonymizer: Anonymizer) -> tuple[float, int]:
        splits = getattr(self._data, self._data.attacked)
        known, asked = (_some([item for item in items if item.attributes]) for items in (splits.train, splits.validation))
        if not known or not asked or not splits.attributes:
            return math.nan, 0
        features = [
            torch.cat([probe_features(anonymized) for _, anonymized in self._anonymized(anonymizer, items)]).numpy()
            for items in (known, asked)
        ]
        labels = [np.array([item.attributes for item in items], dtype=float) for items in (known, asked)]
        return probe_leakage(features, labels, [item.group for item in asked]), len(asked)

    def _anonymized(self, anonymizer: Anonymizer, items: Sequence[Video] | Sequence[Still]) -> Iterator[tuple[Batch, Tensor]]:
        """The items in the test view, anonymized, in batches: (B, T, C, H, W)."""
        context = self._context
        for batch in context.to_device(self._loader(_some(items)).epoch(0)):
            with context.autocast():
                yield batch, context.anonymize(anonymizer, context.test_view(batch)).float()

    def _loader(self, items: Sequence[Video] | Sequence[Still]) -> Loader:
        clip, size = validation_clip(self.config.clip), self.config.minimax.batch_size
        stills = bool(items) and isinstance(items[0], Still)
        samples = Stills(items, clip, 0) if stills else EvaluationClips(items, clip, 0)
        return Loader(samples, size, shuffle=False)


def _some(items: Sequence[Video] | Sequence[Still]) -> list[Video] | list[Still]:
    """At most `_ITEMS` of the items, evenly spread over their order."""
    chosen: list[Any] = [items[number] for number in evenly(len(items), _ITEMS)] if items else []
    return chosen


def probe_features(clips: Tensor) -> Tensor:
    """(B, T, C, H, W) -> (B, F), on the CPU: pixels of the small frame, and what random filters find in its parts; of a few
    frames the mean and the deviation over time.
    """
    clips = clips[:, evenly(clips.shape[1], min(_FRAMES, clips.shape[1]))].float().cpu()
    frames = F.interpolate(frames_of(clips), size=(_SIDE, _SIDE), mode="bilinear", antialias=True, align_corners=False)
    weights = torch.randn(_FILTERS, 3, _WINDOW, _WINDOW, generator=torch.Generator().manual_seed(0))
    weights -= weights.mean(dim=(1, 2, 3), keepdim=True)  # blind to brightness, which the pixels tell
    found = F.adaptive_avg_pool2d(F.conv2d(frames, weights, padding=_WINDOW // 2).relu(), _CELLS)
    pixels = F.adaptive_avg_pool2d(frames, _POOLED)
    of_clips = torch.cat([pixels.flatten(1), found.flatten(1)], dim=1).unflatten(0, clips.shape[:2])
    if clips.shape[1] == 1:
        return of_clips[:, 0]
    return torch.cat([of_clips.mean(dim=1), of_clips.std(dim=1, correction=0)], dim=1)


def probe_leakage(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], groups: Sequence[str]) -> float:
    """Leakage above chance, at least 0, to ridge regression of standardised features.

    features, labels: (N, F) and (N, A) of the items it learns from, and of those it is asked for. groups: of these. NaN where
    no attribute has both values among them.
    """
    (known, asked), (truth, right) = (np.asarray(each, dtype=float) for each in features), labels
    deviation = known.std(axis=0)
    kept = deviation > _FLAT
    if kept.any():
        known, asked = ((each[:, kept] - known[:, kept].mean(axis=0)) / deviation[kept] for each in (known, asked))
        said = RidgeCV(alphas=_ALPHAS * kept.sum()).fit(known, truth).predict(asked).reshape(right.shape)
    else:  # all items look the same
        said = np.zeros(right.shape)
    try:
        found = leakage_of(said.round(DIGITS), right, tuple(str(number) for number in range(right.shape[1])), groups)
    except ValueError:
        return math.nan
    return max(0.0, found.leakage)


@contextlib.contextmanager
def _as_it_was(context: StageContext, *networks: nn.Module) -> Iterator[None]:
    """Within it random numbers can be drawn and modes changed: afterwards they are as before."""
    random = context.execution.random_state()
    modes = [(module, module.training) for network in networks for module in network.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        context.execution.set_random_state(random)
