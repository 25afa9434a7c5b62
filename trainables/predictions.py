"""The predictions of an evaluator for every test item, kept with a trial so that two trials can be compared item by item."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np

from trainables.data.items import Still, Video
from trainables.schema import ARTIFACT_ANSWERS

_DIGITS = 9  # enough for a float32 to come back as it was


def of_classes(stage: str, items: Sequence[Video | Still], probabilities: np.ndarray, labels: np.ndarray) -> dict[str, bytes]:
    """A file with the rank of the true class, from 1, among the (N, K) probabilities; ties go by the number of the class."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    rank = (order == labels[:, None]).argmax(axis=1) + 1
    return _file(stage, items, {"rank": rank.tolist()})


def of_attributes(
    stage: str, items: Sequence[Video | Still], attributes: Sequence[str], probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, bytes]:
    """A file with (N, A) probabilities of private attributes, and their labels."""
    rounded = [[float(f"{value:.{_DIGITS}g}") for value in row] for row in probabilities.tolist()]
    return _file(
        stage, items, {"attributes": list(attributes), "probabilities": rounded, "labels": labels.astype(int).tolist()}
    )


def _file(stage: str, items: Sequence[Video | Still], content: Mapping[str, object]) -> dict[str, bytes]:
    known = {"items": [_name(item) for item in items], "groups": [item.group for item in items]}
    return {f"{ARTIFACT_ANSWERS}/{stage}.json": json.dumps({**known, **content}).encode()}


def _name(item: Video | Still) -> str:
    frame = getattr(item, "frame", None)
    return item.name if frame is None else f"{item.name}#{frame}"
