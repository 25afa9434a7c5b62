"""Age and gender of faces in frames at the video's own resolution, and what they tell of the private attributes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainables.attacks.recognised import TRAITS
from trainables.attacks.recognised.faces import SPLITS, of_faces
from trainables.attacks.recognised.networks import FaceTraits
from trainables.attacks.shared import linear
from trainables.attacks.shared.convergence import flattened
from trainables.attacks.shared.permutation import with_permuted_labels
from trainables.attacks.shared.result import AttackResult
from trainables.execution.context import StageContext
from trainables.models.packaged import AGE, FACE_LANDMARKS, GENDER, given_or_packaged
from trainables.store import Outcome

FEATURES = 5  # of a clip: see `summary`


def run(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does, with the score of the surest face of each frame, and `features` (N, 5), see
    `summary`.
    """
    settings = context.config.attacks
    tell = FaceTraits(
        given_or_packaged(settings.face_landmarks_weights, FACE_LANDMARKS, "attacks.face_landmarks_weights"),
        given_or_packaged(settings.age_weights, AGE, "attacks.age_weights"),
        given_or_packaged(settings.gender_weights, GENDER, "attacks.gender_weights"),
    )
    return of_faces(context, tell, "features", summary)


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
    train, validation, test = (linear.labelled(seen[part]["features"], items[part], len(splits.attributes)) for part in SPLITS)
    found = linear.read(context, train, validation, [item.group for item in items["validation"]], test)
    looked = seen["test"]
    height, width = looked["size"].tolist()
    evidence = AttackResult(
        ids=[item.name for item in items["test"]],
        groups=[item.group for item in items["test"]],
        members=["linear, of age and gender"],
        validated=[found.validated],
        answers=found.answers,
        labels=test[1],
        attributes=list(splits.attributes),
        effort=found.effort,
        effort_unit="training items",
        curve=found.curve,
        converged=flattened(found.curve),
        others={"clips_with_a_face": float((looked["scores"] > 0).any(dim=1).double().mean())},
        notes=[f"frames of {width} x {height} pixels, their own size, {looked['frames'].shape[1]} of a clip at most"],
    )
    return Outcome({}, [], {"evidence": evidence.state()})
