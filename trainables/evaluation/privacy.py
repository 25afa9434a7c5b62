"""Algorithm 1, step 3: a NEW privacy classifier f_B' with labels, on anonymized images, and on the clips themselves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

from trainables import predictions as answers
from trainables.config import ClipConfig
from trainables.data.boxes import Boxes
from trainables.data.items import DataError, Still, StillSplits, VideoSplits
from trainables.data.loader import Batch, EvaluationClips, Loader, Stills, TrainingClips
from trainables.execution.context import StageContext, validation_clip
from trainables.execution.loop import Best, Epoch, Stateful, run_epochs
from trainables.metrics import DIGITS, Leakage, leakage_of
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.models.privacy import build_privacy_classifier
from trainables.schema import AP, AP_CHANCE, CLIP
from trainables.stages import EVALUATE_PRIVACY
from trainables.store import Outcome


def run_on_images(context: StageContext) -> Outcome:
    """Leakage on the privacy set."""
    clip, settings = context.config.clip, context.config.evaluate_privacy
    splits, boxes = context.data.privacy_evaluation, context.boxes("privacy_evaluation")
    loaders = (
        context.loader(Stills(splits.train, clip, context.seed("train"), boxes=boxes), settings.batch_size, shuffle=True),
        _stills(context, splits.test if context.config.selection == "test" else splits.validation, boxes),
        _stills(context, splits.test, boxes) if splits.test else None,
    )
    return _attack(context, splits.name, splits.attributes, loaders, prefix="")


def test_on_others(context: StageContext) -> Outcome:
    """The f_B' that stage `evaluate_privacy` trained, tested on the anonymized images of `data.test_privacy`."""
    config, splits = context.config, context.data.privacy_test
    trained_for = context.data.privacy_evaluation.attributes
    anonymizer = context.anonymizer("anonymizer")
    classifier = build_privacy_classifier(
        config.evaluate_privacy.classifier.model_copy(update={"weights": None}), len(trained_for)
    ).to(context.device)
    other = config.data.test_privacy
    sources = other.sources(splits.attributes) if other is not None else {name: (name,) for name in splits.attributes}
    stills = _stills(context, splits.test, context.boxes("privacy_test"))
    tested = []
    for state in _attackers(context.inputs[EVALUATE_PRIVACY.name]):
        classifier.load_state_dict(state)
        logits = _logits(context, anonymizer, classifier)
        scores, labels = _predict(context, classifier, logits, stills)
        probabilities = np.stack(
            [scores[:, [trained_for.index(name) for name in names]].max(axis=1) for names in sources.values()], axis=1
        )
        asked = labels[:, [splits.attributes.index(name) for name in sources]]
        tested.append(_tested(context, stills, probabilities, asked, tuple(sources), splits.name, prefix=""))
    return _worst(tested, splits.name, prefix="")


def run_on_clips(context: StageContext) -> Outcome:
    """Leakage on the action clips: the attacker sees single frames and averages its answers over a video."""
    settings = context.config.evaluate_privacy
    clip = attacked_clip(context.config.clip, settings.clip_frames)
    splits = context.data.clips_with_attributes
    require_labels(splits)
    videos = max(1, settings.batch_size // clip.frames)
    choosing = splits.test if context.config.selection == "test" else splits.validation
    once, boxes = validation_clip(clip), context.boxes("clips_with_attributes")
    loaders = (
        context.loader(TrainingClips(splits.train, clip, context.seed("train"), boxes=boxes), videos, shuffle=True),
        context.loader(EvaluationClips(choosing, once, context.seed("test"), boxes=boxes), videos, shuffle=False),
        context.loader(EvaluationClips(splits.test, clip, context.seed("test"), boxes=boxes), videos, shuffle=False),
    )
    return _attack(context, splits.name, splits.attributes, loaders, prefix=CLIP)


def require_labels(splits: VideoSplits | StillSplits) -> None:
    """Raises DataError for an item without attributes."""
    for split in ("train", "validation", "test"):
        missing = [item.name for item in getattr(splits, split) if item.attributes is None]
        if missing:
            raise DataError(f"{splits.name}: {len(missing)} {split} videos have no attributes, first {missing[0]}; label them")


def attacked_clip(clip: ClipConfig, frames: int) -> ClipConfig:
    """`frames` frames over the same stretch of time as the action classifier's clip."""
    frames = min(frames, clip.frames)
    return clip.model_copy(update={"frames": frames, "skip": max(1, clip.skip * clip.frames // frames)})


def _attack(
    context: StageContext, name: str, attributes: Sequence[str], loaders: tuple[Loader, Loader, Loader | None], prefix: str
) -> Outcome:
    """Trains `attackers` classifiers; the one that reads most in test counts. Each has a checkpoint of its own."""
    count, epochs = context.config.evaluate_privacy.attackers, context.config.evaluate_privacy.epochs
    trained: list[Outcome] = []

    def report(history: Sequence[Mapping[str, float]], _: int) -> None:
        context.report([*(row for outcome in trained for row in outcome.history), *history], count * epochs)

    for number in range(count):
        work = context.work.part(f"attacker{number}") if number else context.work
        part = replace(context, work=work, report=report)
        trained.append(_attacker(part, number, name, attributes, loaders, prefix))
    worst = _worst(trained, name, prefix)
    state = {**worst.state, "attackers": [outcome.state["classifier"] for outcome in trained]} if count > 1 else worst.state
    return replace(worst, state=state, history=[row for outcome in trained for row in outcome.history])


def _attackers(trained: Outcome) -> list[Any]:
    """The states of the classifiers that a stage has trained."""
    return trained.state.get("attackers", [trained.state["classifier"]])


def _worst(tested: Sequence[Outcome], name: str, prefix: str) -> Outcome:
    """The outcome with the largest leakage, the first of equals, with a note of how many there were."""
    leakages = [outcome.metrics.get(f"{prefix}leakage", 0.0) for outcome in tested]
    worst = tested[leakages.index(max(leakages))]
    if len(tested) == 1 or f"{prefix}leakage" not in worst.metrics:
        return worst
    note = f"{name}: the worst of {len(tested)} attackers counts; their leakage is {min(leakages):.3f} to {max(leakages):.3f}"
    return replace(worst, notes=(*worst.notes, note))


def _attacker(
    context: StageContext,
    attacker: int,
    name: str,
    attributes: Sequence[str],
    loaders: tuple[Loader, Loader, Loader | None],
    prefix: str,
) -> Outcome:
    """Trains on the first loader, chooses the epoch on the second, tests once on the third if there is one."""
    train, validation, test = loaders
    settings = context.config.evaluate_privacy
    torch.manual_seed(context.seed(f"weights {attacker}" if attacker else "weights"))
    anonymizer = context.anonymizer("anonymizer")
    classifier = context.placed(build_privacy_classifier(settings.classifier, len(attributes)))
    optimizer = context.adam(classifier.parameters(), settings.learning_rate)
    schedule = _Schedule(optimizer, settings.warm_up_epochs, settings.plateau_factor, settings.plateau_patience)
    logits = _logits(context, anonymizer, classifier)

    def epoch(now: Epoch) -> dict[str, float]:
        classifier.train()
        for batch in now.batches(train, attacker * settings.epochs + now.number):
            with context.autocast():
                scores = logits(batch, training=True)
                targets = batch["attributes"].unsqueeze(1).expand_as(scores)
                loss = F.binary_cross_entropy_with_logits(scores, targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            now.add(loss=loss)
        judged = _predict(context, classifier, logits, validation)
        metrics = now.means() | {"validation_cmap": _leakage(context, *judged, attributes, name).cmap}
        schedule.step(metrics["loss"])
        return metrics

    best = Best("validation_cmap", ("classifier",), last=context.config.selection == "last")
    parts: dict[str, Stateful] = {"classifier": classifier, "optimizer": optimizer, "schedule": schedule}
    history = run_epochs(context, parts, settings.epochs, epoch, best)
    state: dict[str, Any] = {"classifier": classifier.state_dict()}
    if test is None:
        return Outcome({prefix + "validation_cmap": best.value}, history, state)
    probabilities, labels = _predict(context, classifier, logits, test)
    tested = _tested(context, test, probabilities, labels, attributes, name, prefix)
    metrics = {**tested.metrics, prefix + "validation_cmap": best.value}
    return Outcome(metrics, history, {**state, **tested.state}, tested.files, tested.notes)


def _tested(
    context: StageContext,
    test: Loader,
    probabilities: np.ndarray,
    labels: np.ndarray,
    attributes: Sequence[str],
    name: str,
    prefix: str,
) -> Outcome:
    """The figures of (N, A) answers to the test items."""
    found = _leakage(context, probabilities, labels, attributes, name)
    metrics = {
        prefix + "cmap": found.cmap,
        prefix + "chance_cmap": found.chance_cmap,
        prefix + "macro_f1": found.macro_f1,
        prefix + "leakage": found.leakage,
        **{prefix + AP + attribute: value for attribute, value in found.ap.items()},
        **{prefix + AP_CHANCE + attribute: value for attribute, value in found.ap_chance.items()},
    }
    notes = (f"{name}: no average precision for {', '.join(found.skipped)}: one value only in test",) if found.skipped else ()
    test_state = {"probabilities": torch.from_numpy(probabilities), "labels": torch.from_numpy(labels)}
    files = answers.of_attributes(context.stage, test.samples.items, attributes, probabilities, labels)
    return Outcome(metrics, [], {"test": test_state}, files, notes)


def _stills(context: StageContext, items: Sequence[Still], boxes: Boxes | None) -> Loader:
    samples = Stills(items, context.config.clip, context.seed("test"), boxes=boxes)
    return context.loader(samples, context.config.evaluate_privacy.batch_size, shuffle=False)


class _Logits(Protocol):
    def __call__(self, batch: Batch, training: bool) -> Tensor:
        """The answers (B, T, A) to the frames of an anonymized view."""


def _logits(context: StageContext, anonymizer: Anonymizer, classifier: nn.Module) -> _Logits:
    def logits(batch: Batch, training: bool) -> Tensor:
        view, anonymized = context.anonymized_view(anonymizer, batch, training)
        return classifier(frames_of(anonymized)).unflatten(0, view.shape[:2])

    return logits


class _Schedule:
    """The paper's: linear warm-up, then the learning rate falls by a factor when the training loss stagnates."""

    def __init__(self, optimizer: torch.optim.Optimizer, warm_up: int, factor: float, patience: int) -> None:
        self._epoch, self._warm_up = 0, warm_up
        self._linear = LinearLR(optimizer, start_factor=1.0 / (warm_up + 1), total_iters=warm_up) if warm_up else None
        self._plateau = ReduceLROnPlateau(optimizer, factor=factor, patience=patience)

    def step(self, loss: float) -> None:
        if self._linear is not None and self._epoch < self._warm_up:
            self._linear.step()
        else:
            self._plateau.step(loss)
        self._epoch += 1

    def state_dict(self) -> dict[str, object]:
        linear = self._linear.state_dict() if self._linear is not None else None
        return {"epoch": self._epoch, "linear": linear, "plateau": self._plateau.state_dict()}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self._epoch = int(state["epoch"])  # type: ignore[call-overload]
        if self._linear is not None:
            self._linear.load_state_dict(state["linear"])  # type: ignore[arg-type]
        self._plateau.load_state_dict(state["plateau"])  # type: ignore[arg-type]


@torch.no_grad()
def _predict(context: StageContext, classifier: nn.Module, logits: _Logits, loader: Loader) -> tuple[np.ndarray, np.ndarray]:
    """(N, A) probabilities averaged over the frames of each item, and its labels."""
    classifier.eval()
    probabilities, labels = [], []
    for batch in context.evaluation_batches(loader):
        with context.autocast():
            scores = logits(batch, training=False)
        probabilities.append(scores.float().sigmoid().mean(dim=1).double().cpu())
        labels.append(batch["attributes"].double().cpu())
    return torch.cat(probabilities).round(decimals=DIGITS).numpy(), torch.cat(labels).numpy()


def _leakage(
    context: StageContext, probabilities: np.ndarray, labels: np.ndarray, attributes: Sequence[str], name: str
) -> Leakage:
    # the released code compares raw logits with 0.5
    threshold = 1.0 / (1.0 + math.exp(-0.5)) if context.config.departures.logit_threshold else 0.5
    try:
        return leakage_of(probabilities, labels, tuple(attributes), threshold)
    except ValueError as error:
        raise DataError(f"{name}: {error}; leakage cannot be measured on such a split") from None
