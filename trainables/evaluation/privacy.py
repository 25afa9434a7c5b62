"""Algorithm 1, step 3: a NEW privacy classifier f_B' with labels, on anonymized images, and on the clips themselves."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, ReduceLROnPlateau

from trainables.data.items import DataError
from trainables.data.loader import Batch, Loader, Stills
from trainables.evaluation.learning import LabelledData, Training, attribute_loss, groups_of, labelled_data, learn, predict
from trainables.execution.context import StageContext
from trainables.execution.loop import Best
from trainables.metrics import Leakage, leakage_of
from trainables.models.axes import frames_of
from trainables.models.privacy import build_privacy_classifier
from trainables.predictions import of_attributes
from trainables.schema import AP, AP_CHANCE, CLIP, PREVALENCE, VALIDATION, ends
from trainables.stages import EVALUATE_PRIVACY
from trainables.statistics import interval, leakage
from trainables.store import Outcome


def run_on_images(context: StageContext) -> Outcome:
    """Leakage on the privacy set."""
    settings, on_test = context.config.evaluate_privacy, context.config.selection == "test"
    load = partial(labelled_data, context, "privacy_evaluation", settings.batch_size, None, on_test)
    return _strongest_of_several(context, load(), load(True).train if context.config.refit else None, prefix="")


def run_on_clips(context: StageContext) -> Outcome:
    """Leakage on the action clips: f_B' sees single frames and its probabilities are averaged over a video."""
    settings, on_test = context.config.evaluate_privacy, context.config.selection == "test"
    load = partial(labelled_data, context, "clips_with_attributes", settings.batch_size, settings.clip_frames, on_test)
    return _strongest_of_several(context, load(), load(True).train if context.config.refit else None, prefix=CLIP)


def test_on_others(context: StageContext) -> Outcome:
    """The f_B' that stage `evaluate_privacy` trained, tested on the anonymized images of `data.test_privacy`."""
    config, splits = context.config, context.data.privacy_test
    trained_for = context.data.privacy_evaluation.attributes
    anonymizer = context.anonymizer("anonymizer")
    network = config.evaluate_privacy.classifier.from_scratch
    classifier = build_privacy_classifier(network, len(trained_for)).to(context.device).eval()
    other = config.data.test_privacy
    sources = other.sources(splits.attributes) if other is not None else {name: (name,) for name in splits.attributes}
    samples = Stills(splits.test, config.clip, context.seed("test"), boxes=context.boxes("privacy_test"))
    stills = context.loader(samples, config.evaluate_privacy.batch_size, shuffle=False)
    tested = []
    for state in _attackers(context.inputs[EVALUATE_PRIVACY.name]):
        classifier.load_state_dict(state)
        [found], labels = predict(context, anonymizer, partial(_frame_logits, classifier), stills)
        scores = found.numpy()
        probabilities = np.stack(
            [scores[:, [trained_for.index(name) for name in names]].max(axis=1) for names in sources.values()], axis=1
        )
        tested_labels = labels.numpy()[:, [splits.attributes.index(name) for name in sources]]
        figures = _Figures(context, splits.name, tuple(sources), prefix="")
        tested.append(figures.outcome(splits.test, probabilities, tested_labels))
    return _strongest(tested, _validated(context.inputs[EVALUATE_PRIVACY.name]), splits.name, prefix="")


def _strongest_of_several(context: StageContext, data: LabelledData, both: Loader | None, prefix: str) -> Outcome:
    """Trains `attackers` classifiers; the one that reads most in validation items counts. Each has a checkpoint of its own."""
    count, epochs = context.config.evaluate_privacy.attackers, context.config.evaluate_privacy.epochs
    trained: list[Outcome] = []

    def report(history: Sequence[Mapping[str, float]], _: int) -> None:
        context.report([*(row for outcome in trained for row in outcome.history), *history], count * epochs)

    for number in range(count):
        work = context.work.part(f"attacker{number}") if number else context.work
        part = replace(context, work=work, report=report)
        trained.append(_attacker(part, number, data, both, prefix))
    validated = [outcome.metrics[f"{VALIDATION}{prefix}leakage"] for outcome in trained]
    strongest = _strongest(trained, validated, data.name, prefix)
    state = {**strongest.state, "attackers": [outcome.state["classifier"] for outcome in trained], "validated": validated}
    return replace(strongest, state=state, history=[row for outcome in trained for row in outcome.history])


def _attackers(trained: Outcome) -> list[Any]:
    """The states of the classifiers that a stage has trained."""
    return list(trained.state["attackers"])


def _validated(trained: Outcome) -> list[float]:
    """The leakage that each of the classifiers of a stage reads from its validation items."""
    return list(trained.state["validated"])


def _strongest(tested: Sequence[Outcome], validated: Sequence[float], name: str, prefix: str) -> Outcome:
    """The outcome of the attacker that reads most in validation items, the first of equals, with a note of how many there were.

    The largest of several test figures would be above what the strongest attacker reads of other items.
    """
    strongest = tested[validated.index(max(validated))]
    if len(tested) == 1 or f"{prefix}leakage" not in strongest.metrics:
        return strongest
    leakages = [outcome.metrics[f"{prefix}leakage"] for outcome in tested]
    note = (
        f"{name}: of {len(tested)} attackers the one that reads most in validation items counts; their leakage in test is"
        f" {min(leakages):.3f} to {max(leakages):.3f}"
    )
    return replace(strongest, notes=(*strongest.notes, note))


def _attacker(context: StageContext, attacker: int, data: LabelledData, both: Loader | None, prefix: str) -> Outcome:
    """Trains one f_B', chooses its epoch on the validation items, and tests it once, if there are test items.

    `both`: batches of training and validation items, on which it is trained once more for as many epochs before it is tested.
    """
    settings = context.config.evaluate_privacy
    torch.manual_seed(context.seed(f"weights {attacker}" if attacker else "weights"))
    anonymizer = context.anonymizer("anonymizer")
    classifier = context.placed(build_privacy_classifier(settings.classifier, len(data.attributes)))
    start = copy.deepcopy(classifier.state_dict()) if both is not None else None
    logits = partial(_frame_logits, classifier)
    figures = _Figures(context, data.name, data.attributes, prefix)

    def losses(batch: Batch) -> dict[str, Tensor]:
        _, anonymized = context.anonymized_view(anonymizer, batch, training=True)
        of_frames = context.through(classifier, classifier, frames_of(anonymized))
        return {"loss": attribute_loss(of_frames.unflatten(0, anonymized.shape[:2]), batch["attributes"])}

    def validate() -> dict[str, float]:
        [probabilities], labels = predict(context, anonymizer, logits, data.validation)
        found = figures.leakage(probabilities.numpy(), labels.numpy(), groups_of(data.validation))
        return {"validation_cmap": found.cmap, "validation_leakage": found.leakage}

    best = Best("validation_cmap", ("classifier",), last=context.config.selection == "last")
    schedule = partial(
        _Schedule, warm_up=settings.warm_up_epochs, factor=settings.plateau_factor, patience=settings.plateau_patience
    )
    training = Training(
        settings.epochs, settings.learning_rate, schedule, best, first_epoch=attacker * settings.epochs, name="classifier"
    )
    history = learn(context, classifier, data.train, losses, validate, training)
    if both is not None and start is not None:
        classifier.load_state_dict(start)
        training = replace(training, epochs=best.epoch + 1, best=None)
        learn(context.again(history, training.epochs), classifier, both, losses, dict, training)
    state: dict[str, Any] = {"classifier": classifier.state_dict()}
    chosen = {f"{VALIDATION}{prefix}{name}": history[best.epoch][VALIDATION + name] for name in ("cmap", "leakage")}
    if not data.test.samples.items:
        return Outcome(chosen, history, state)
    classifier.eval()
    [probabilities], labels = predict(context, anonymizer, logits, data.test, clips=data.clips)
    tested = figures.outcome(data.test.samples.items, probabilities.numpy(), labels.numpy())
    return Outcome({**tested.metrics, **chosen}, history, {**state, **tested.state}, tested.files, tested.notes)


def _frame_logits(classifier: nn.Module, clips: Tensor) -> Tensor:
    """(B, T, C, H, W) -> logits (1, B, T, A), frame by frame."""
    return classifier(frames_of(clips)).unflatten(0, clips.shape[:2])[None]


class _Figures:
    """The figures of (N, A) probabilities of the private attributes of a data set."""

    def __init__(self, context: StageContext, name: str, attributes: Sequence[str], prefix: str) -> None:
        self._stage, self._name, self._attributes, self._prefix = context.stage, name, tuple(attributes), prefix
        # the released code compares raw logits with 0.5
        self._threshold = 1.0 / (1.0 + math.exp(-0.5)) if context.config.departures.logit_threshold else 0.5

    def leakage(self, probabilities: np.ndarray, labels: np.ndarray, groups: Sequence[str]) -> Leakage:
        """Raises DataError where no attribute has both values."""
        try:
            return leakage_of(probabilities, labels, self._attributes, groups, self._threshold)
        except ValueError as error:
            raise DataError(f"{self._name}: {error}; leakage cannot be measured on such a split") from None

    def outcome(self, items: Sequence[Any], probabilities: np.ndarray, labels: np.ndarray) -> Outcome:
        """The metrics of the test items and the interval of leakage, with the predictions as a file."""
        groups, prefix = [item.group for item in items], self._prefix
        found = self.leakage(probabilities, labels, groups)
        sure = interval(leakage([item.name for item in items], groups, probabilities, labels))
        metrics = {
            prefix + "cmap": found.cmap,
            prefix + "chance_cmap": found.chance_cmap,
            prefix + "prevalence": found.prevalence,
            prefix + "macro_f1": found.macro_f1,
            prefix + "leakage": found.leakage,
            **{prefix + AP + attribute: value for attribute, value in found.ap.items()},
            **{prefix + AP_CHANCE + attribute: value for attribute, value in found.ap_chance.items()},
            **{prefix + PREVALENCE + attribute: value for attribute, value in found.prevalences.items()},
            **ends(prefix + "leakage", sure.low, sure.high),
        }
        skipped = ", ".join(found.skipped)
        notes = [f"{self._name}: no average precision for {skipped}: one value only in test"] if skipped else []
        if sure.lacking:
            notes.append(f"{self._name}: {prefix}leakage has no interval: {sure.lacking}")
        test = {"probabilities": torch.from_numpy(probabilities), "labels": torch.from_numpy(labels)}
        files = of_attributes(self._stage, items, self._attributes, probabilities, labels)
        return Outcome(metrics, [], {"test": test}, files, tuple(notes))


class _Schedule:
    """The paper's: linear warm-up, then the learning rate falls by a factor when the training loss stagnates."""

    def __init__(self, optimizer: Optimizer, warm_up: int, factor: float, patience: int) -> None:
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
