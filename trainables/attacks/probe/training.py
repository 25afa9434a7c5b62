"""Linear classifiers of what the deployed action classifier computes: what leaks after the camera."""

from __future__ import annotations

import math

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from trainables.attacks.shared.learning import attacked_data, attribute_result, leakages
from trainables.attacks.shared.result import Curve
from trainables.data.loader import EvaluationClips, Loader, Stills
from trainables.evaluation.learning import LabelledData, groups_of
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.metrics import DIGITS
from trainables.models.action import ActionClassifier, build_action_classifier
from trainables.stages import EVALUATE_ACTION
from trainables.store import Outcome

_SHARES = (0.1, 0.25, 0.5, 1.0)  # of the training items, for the curve
_FLAT = 1e-4  # features of a smaller deviation are rounding of one and the same value


def run(context: StageContext) -> Outcome:
    """The action classifier is the trial's own f_T'; an image is shown to it as a clip in which nothing moves."""
    config, data = context.config, attacked_data(context, whole_clips=True)
    state = context.inputs[EVALUATE_ACTION.name].state["classifier"]
    network = config.evaluate_action.classifier.from_scratch
    classes = len(context.data.action_evaluation.classes)
    classifier = context.placed(build_action_classifier(network, classes, config.clip)).eval()
    classifier.load_state_dict(state)
    loaders = _loaders(context, data)
    train, validation, test = (_features(context, classifier, loader, clips) for loader, clips in loaders)
    order = np.random.default_rng(context.seed("order")).permutation(len(train[0]))
    curve: Curve = []
    for share in _SHARES:
        some = order[: max(1, round(share * len(order)))]
        probabilities = _fit(train[0][some], train[1][some], torch.cat([validation[0], test[0]]))
        known, predictions = probabilities.split([len(validation[0]), len(test[0])])
        [found] = leakages(known[None], validation[1], groups_of(data.validation))
        if not math.isnan(found):
            curve.append({"effort": float(len(some)), "leakage": found})
    parameters = (train[0].shape[1] + 1) * train[1].shape[1]
    spent = {"epochs": 0.0, "items": float(len(train[0])), "parameters": float(parameters)}
    result = attribute_result(data, {"linear": found}, (predictions[None], test[1]), spent, curve).state()
    return Outcome({}, [], {"evidence": {**result, "effort_unit": "training items"}})


def _loaders(context: StageContext, data: LabelledData) -> list[tuple[Loader, int]]:
    """Training, validation and test items as they are tested, without augmentation, and how many clips each has."""
    samples = data.train.samples
    if isinstance(samples, Stills):
        plain: Stills | EvaluationClips = Stills(samples.items, samples.clip, samples.seed, boxes=samples.boxes)
    else:
        plain = EvaluationClips(samples.items, validation_clip(samples.clip), samples.seed, boxes=samples.boxes)
    return [(context.loader(plain, data.test.batch_size, shuffle=False), 1), (data.validation, 1), (data.test, data.clips)]


@torch.no_grad()
def _features(context: StageContext, classifier: ActionClassifier, loader: Loader, clips: int) -> tuple[Tensor, Tensor]:
    """(N, F), averaged over the clips of an item, and labels (N, A)."""
    anonymizer = context.anonymizer("anonymizer")
    features, labels = [], []
    for batch in context.evaluation_batches(loader):
        _, anonymized = context.anonymized_view(anonymizer, batch, clips=clips)
        if anonymized.shape[1] == 1:
            anonymized = anonymized.expand(-1, context.config.clip.frames, -1, -1, -1)
        with context.autocast():
            found = classifier.features(filled(anonymized, loader.batch_size * clips))[: len(anonymized)]
        features.append(found.float().unflatten(0, (-1, clips)).mean(dim=1).double().cpu())
        labels.append(batch["attributes"].double().cpu())
    return torch.cat(features), torch.cat(labels)


def _fit(train: Tensor, labels: Tensor, test: Tensor) -> Tensor:
    """Probabilities (N, A) of the test items by one linear classifier an attribute."""
    kept = train.std(dim=0, correction=0) > _FLAT
    columns = []
    for attribute in labels.T:
        if not kept.any() or attribute.min() == attribute.max():
            columns.append(attribute.mean().expand(len(test)))
            continue
        linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        linear.fit(train[:, kept].numpy(), attribute.numpy())
        columns.append(torch.from_numpy(linear.predict_proba(test[:, kept].numpy())[:, 1]))
    return torch.stack(columns, dim=1).round(decimals=DIGITS)
