"""Linear classifiers of what the deployed action classifier computes: what leaks after the camera."""

from __future__ import annotations

from typing import Any

import torch

from trainables.attacks.probe import unseen
from trainables.attacks.shared import linear
from trainables.attacks.shared.learning import attacked_data, attribute_result
from trainables.attacks.shared.linear import Features
from trainables.data.items import DataError
from trainables.data.loader import EvaluationClips, Loader, Stills
from trainables.data.validation import cut_validation
from trainables.evaluation.learning import LabelledData
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.models.action import ActionClassifier, build_action_classifier
from trainables.stages import EVALUATE_ACTION
from trainables.store import Outcome

_KNOWN = 0.5  # of the validation clips, where the classifier learns from the others


def run(context: StageContext) -> Outcome:
    """The action classifier is the trial's own f_T'; an image is shown to it as a clip in which nothing moves."""
    config, data = context.config, attacked_data(context, whole_clips=True)
    state = context.inputs[EVALUATE_ACTION.name].state["classifier"]
    network = config.evaluate_action.classifier.from_scratch
    classes = len(context.data.action_evaluation.classes)
    classifier = context.placed(build_action_classifier(network, classes, config.clip)).eval()
    classifier.load_state_dict(state)
    items, known = _items(context, data)
    learned = _features(context, classifier, _loader(context, data, items), 1)
    looked_at = _features(context, classifier, _loader(context, data, known), 1) if known else None
    test = _features(context, classifier, data.test, data.clips)
    found = linear.read(context, learned, looked_at, [item.group for item in known], test)
    result = attribute_result(data, {"linear": found.validated}, (found.answers, test[1]), found.effort, found.curve).state()
    return Outcome({}, [], {"evidence": {**result, "effort_unit": "training items"}})


def _items(context: StageContext, data: LabelledData) -> tuple[list[Any], list[Any]]:
    """What the linear classifier learns from, and the items on which its leakage is measured while it has not; before the test
    it learns from them, too.

    f_T' was trained on none of them: what it computes of clips that it was trained on differs from what it computes of others.
    Where these are the validation clips alone they are divided.
    """
    train, validation = list(data.train.samples.items), list(data.validation.samples.items)
    if isinstance(data.train.samples, Stills):
        return train, validation
    fresh, held_out = (unseen(items, context.config, context.data) for items in (train, validation))
    if fresh:
        return fresh, held_out
    try:
        learned, known = cut_validation(held_out, _KNOWN, data.name)
    except DataError:  # all of one source, or each the only one of its class
        return held_out, []
    return list(learned), list(known)


def _loader(context: StageContext, data: LabelledData, items: list[Any]) -> Loader:
    """The items as they are tested, without augmentation, a clip of each."""
    samples = data.train.samples
    if isinstance(samples, Stills):
        plain: Stills | EvaluationClips = Stills(items, samples.clip, samples.seed, boxes=samples.boxes)
    else:
        plain = EvaluationClips(items, validation_clip(samples.clip), samples.seed, boxes=samples.boxes)
    return context.loader(plain, data.test.batch_size, shuffle=False)


@torch.no_grad()
def _features(context: StageContext, classifier: ActionClassifier, loader: Loader, clips: int) -> Features:
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
