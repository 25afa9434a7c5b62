"""The faces in frames of every clip at the video's own resolution, anonymized and coded at that resolution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.attacks.recognised.networks import EMBEDDING, Face, FaceDetector, FaceRecogniser
from trainables.evaluation.delivered import Seen, clips_of, table_of
from trainables.execution.context import StageContext
from trainables.models.packaged import CENTERFACE, FACE_LANDMARKS, FACE_RECOGNISER, given_or_packaged
from trainables.store import Outcome

Told = TypeVar("Told")
SPLITS = ("train", "validation", "test")


def run(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does, with the score of the surest face of each frame, and `embeddings` (N, 128),
    the mean over the surest faces of a clip, NaN where there is none.
    """
    settings = context.config.attacks
    recognise = FaceRecogniser(
        given_or_packaged(settings.face_landmarks_weights, FACE_LANDMARKS, "attacks.face_landmarks_weights"),
        given_or_packaged(settings.face_recogniser_weights, FACE_RECOGNISER, "attacks.face_recogniser_weights"),
    )
    return of_faces(
        context, recognise, "embeddings", lambda seen, _: np.mean(seen, axis=0) if seen else np.full(EMBEDDING, math.nan)
    )


def of_faces(
    context: StageContext,
    read: Callable[[NDArray[np.uint8], Face], Told],
    name: str,
    summary: Callable[[list[Told], int], NDArray[np.float64]],
) -> Outcome:
    """Leaves for each split what `table_of` does, with the score of the surest face of each frame, and as `name` (N, F) the
    `summary` of what is read of the surest faces of a clip, and of how many frames were looked at.
    """
    settings = context.config.attacks
    detect = FaceDetector(
        given_or_packaged(settings.face_detector_weights, CENTERFACE, "attacks.face_detector_weights"), settings.face_score
    )
    anonymizer = context.anonymizer("anonymizer")
    nothing = torch.zeros(0, len(summary([], 1)), dtype=torch.float64)
    state: dict[str, dict[str, Tensor]] = {}
    for split in SPLITS:
        rows, summaries = [], []
        for numbers, frames in clips_of(context, anonymizer, split):
            found = [detect(frame) for frame in frames]
            seen = [read(frame, faces[0]) for frame, faces in zip(frames, found, strict=True) if faces]
            summaries.append(summary(seen, len(frames)))
            rows.append(Seen(numbers, [faces[0].score if faces else 0.0 for faces in found], frames.shape[1:3]))
        summed = torch.from_numpy(np.stack(summaries)) if summaries else nothing
        state[split] = {**table_of(context, split, rows), name: summed}
    return Outcome({}, state=state)
