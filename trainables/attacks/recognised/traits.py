"""Age and gender of faces in frames at the video's own resolution, and what they tell of the private attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.attacks.recognised import TRAITS
from trainables.attacks.recognised.frames import Seen, clips_of, table_of
from trainables.attacks.recognised.networks import FaceDetector, FaceTraits
from trainables.attacks.shared import linear
from trainables.attacks.shared.convergence import flattened
from trainables.attacks.shared.linear import Features
from trainables.attacks.shared.permutation import with_permuted_labels
from trainables.attacks.shared.result import AttackResult
from trainables.data.items import Video
from trainables.execution.context import StageContext
from trainables.models.packaged import AGE, CENTERFACE, FACE_LANDMARKS, GENDER, given_or_packaged
from trainables.store import Outcome

SPLITS = ("train", "validation", "test")
FEATURES = 5  # of a clip: see `summary`


def run(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does, with the score of the surest face of each frame, and `features` (N, 5), see
    `summary`.
    """
    settings = context.config.attacks
    detect = FaceDetector(
        given_or_packaged(settings.face_detector_weights, CENTERFACE, "attacks.face_detector_weights"), settings.face_score
    )
    tell = FaceTraits(
        given_or_packaged(settings.face_landmarks_weights, FACE_LANDMARKS, "attacks.face_landmarks_weights"),
        given_or_packaged(settings.age_weights, AGE, "attacks.age_weights"),
        given_or_packaged(settings.gender_weights, GENDER, "attacks.gender_weights"),
    )
    anonymizer = context.anonymizer("anonymizer")
    state: dict[str, dict[str, Tensor]] = {}
    for split in SPLITS:
        rows, features = [], []
        for numbers, frames in clips_of(context, anonymizer, split):
            found = [detect(frame) for frame in frames]
            told = [tell(frame, faces[0]) for frame, faces in zip(frames, found, strict=True) if faces]
            features.append(summary(told, len(frames)))
            rows.append(Seen(numbers, [faces[0].score if faces else 0.0 for faces in found], frames.shape[1:3]))
        summed = torch.from_numpy(np.stack(features)) if features else torch.zeros(0, FEATURES, dtype=torch.float64)
        state[split] = {**table_of(context, split, rows), "features": summed}
    return Outcome({}, state=state)


def summary(told: Sequence[tuple[float, float]], frames: int) -> NDArray[np.float64]:
    """What is told of the faces in so many frames of a clip -> (5,): the share of frames with a face, the mean and the
    deviation of the probability that it is a woman's, and those of the age in years. Without any face all are 0.
    """
    if not told:
        return np.zeros(FEATURES)
    values = np.array(told, dtype=np.float64)
    (woman, age), (woman_deviation, age_deviation) = values.mean(axis=0), values.std(axis=0)
    return np.array([len(told) / frames, woman, woman_deviation, age, age_deviation])


def read(context: StageContext) -> Outcome:
    """The attack: one logistic regression an attribute, of standardised features; in test it has learned from validation
    clips, too.
    """
    splits, seen = context.data.clips_with_attributes, context.inputs[TRAITS.name].state
    if context.config.attacks.permuted:
        splits = with_permuted_labels(splits, context.seed("permutation"))
    items = {part: [getattr(splits, part)[number] for number in seen[part]["items"].tolist()] for part in SPLITS}
    train, validation, test = (_labelled(seen[part], items[part], len(splits.attributes)) for part in SPLITS)
    groups = [item.group for item in items["validation"]]
    validated, curve = linear.measured(context, train, validation if groups else None, groups)
    every = torch.cat([train[0], validation[0]]), torch.cat([train[1], validation[1]])
    looked = seen["test"]
    height, width = looked["size"].tolist()
    evidence = AttackResult(
        ids=[item.name for item in items["test"]],
        groups=[item.group for item in items["test"]],
        members=["linear, of age and gender"],
        validated=[validated],
        answers=linear.fit(every[0], every[1], test[0])[None],
        labels=test[1],
        attributes=list(splits.attributes),
        effort={"epochs": 0.0, "items": float(len(every[0])), "parameters": float((FEATURES + 1) * len(splits.attributes))},
        effort_unit="training items",
        curve=curve,
        converged=flattened(curve),
        others={"clips_with_a_face": float((looked["scores"] > 0).any(dim=1).double().mean())},
        notes=[f"frames of {width} x {height} pixels, their own size, {looked['frames'].shape[1]} of a clip at most"],
    )
    return Outcome({}, [], {"evidence": evidence.state()})


def _labelled(seen: Mapping[str, Tensor], items: Sequence[Video], attributes: int) -> Features:
    labels: Any = [item.attributes or () for item in items]
    return seen["features"].double(), torch.tensor(labels, dtype=torch.float64).reshape(len(items), attributes)
