"""The faces in frames of every clip at the video's own resolution, anonymized and coded at that resolution."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from trainables.attacks.recognised.frames import Seen, clips_of, table_of
from trainables.attacks.recognised.networks import EMBEDDING, FaceDetector, FaceRecogniser
from trainables.execution.context import StageContext
from trainables.models.packaged import CENTERFACE, FACE_LANDMARKS, FACE_RECOGNISER, given_or_packaged
from trainables.store import Outcome

SPLITS = ("train", "validation", "test")


def run(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does, with the score of the surest face of each frame, and `embeddings` (N, 128),
    the mean over the surest faces of a clip, NaN where there is none.
    """
    settings = context.config.attacks
    detect = FaceDetector(
        given_or_packaged(settings.face_detector_weights, CENTERFACE, "attacks.face_detector_weights"), settings.face_score
    )
    recognise = FaceRecogniser(
        given_or_packaged(settings.face_landmarks_weights, FACE_LANDMARKS, "attacks.face_landmarks_weights"),
        given_or_packaged(settings.face_recogniser_weights, FACE_RECOGNISER, "attacks.face_recogniser_weights"),
    )
    anonymizer = context.anonymizer("anonymizer")
    state: dict[str, dict[str, Tensor]] = {}
    for split in SPLITS:
        rows, means = [], []
        for numbers, frames in clips_of(context, anonymizer, split):
            found = [detect(frame) for frame in frames]
            seen = [recognise(frame, faces[0]) for frame, faces in zip(frames, found, strict=True) if faces]
            means.append(np.mean(seen, axis=0) if seen else np.full(EMBEDDING, math.nan))
            rows.append(Seen(numbers, [faces[0].score if faces else 0.0 for faces in found], frames.shape[1:3]))
        embeddings = torch.from_numpy(np.stack(means)) if means else torch.zeros(0, EMBEDDING, dtype=torch.float64)
        state[split] = {**table_of(context, split, rows), "embeddings": embeddings}
    return Outcome({}, state=state)
