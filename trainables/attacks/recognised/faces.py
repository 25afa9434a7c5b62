"""The faces in frames of every clip at the video's own resolution, anonymized and coded at that resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.attacks.recognised.networks import EMBEDDING, FaceDetector, FaceRecogniser
from trainables.data.coding import coded
from trainables.data.items import Video
from trainables.data.reading import VideoFile
from trainables.data.sampling import evenly
from trainables.execution.context import StageContext
from trainables.failures import Stopped
from trainables.models.base import Anonymizer
from trainables.models.obfuscation import obfuscate_clips
from trainables.models.packaged import CENTERFACE, FACE_LANDMARKS, FACE_RECOGNISER, given_or_packaged
from trainables.store import Outcome

_DATA = "clips_with_attributes"
SPLITS = ("train", "validation", "test")
_AT_ONCE = 64  # frames that an anonymizer which sees time is given


def run(context: StageContext) -> Outcome:
    """Leaves for each split, row by row of the clips that were looked at: `items` (N,), their numbers; `frames` (N, F), the
    numbers of the frames, -1 where a clip has fewer; `scores` (N, F) of the surest face, 0 where none is found; `embeddings`
    (N, 128), the mean over the surest faces, NaN where there is none; and `size`, height and width of the first frame.
    """
    settings, splits = context.config.attacks, context.data.clips_with_attributes
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
        items: Sequence[Video] = getattr(splits, split)
        chosen = evenly(len(items), settings.recognised_clips)
        rows = [_look(context, anonymizer, items[number], detect, recognise) for number in chosen]
        state[split] = {"items": torch.tensor(chosen, dtype=torch.long), **_table(rows, settings.recognised_frames)}
    return Outcome({}, state=state)


_Row = tuple[list[int], list[float], NDArray[np.float64], tuple[int, int]]


def _look(context: StageContext, anonymizer: Anonymizer, item: Video, detect: FaceDetector, recognise: FaceRecogniser) -> _Row:
    if context.should_stop():
        raise Stopped(f"{context.stage}: stopped while it looks for faces; begins again")
    video = VideoFile(item.path, None, item.span)
    numbers = sorted(set(evenly(len(video), context.config.attacks.recognised_frames)))
    frames = as_delivered(context, anonymizer, item, video, numbers)
    found = [detect(frame) for frame in frames]
    seen = [recognise(frame, faces[0]) for frame, faces in zip(frames, found, strict=True) if faces]
    mean = np.mean(seen, axis=0) if seen else np.full(EMBEDDING, math.nan)
    return numbers, [faces[0].score if faces else 0.0 for faces in found], mean, (frames.shape[1], frames.shape[2])


def _table(rows: Sequence[_Row], most: int) -> dict[str, Tensor]:
    frames, scores = torch.full((len(rows), most), -1), torch.zeros(len(rows), most, dtype=torch.float64)
    embeddings = torch.full((len(rows), EMBEDDING), math.nan, dtype=torch.float64)
    for row, (numbers, sure, mean, _) in enumerate(rows):
        frames[row, : len(numbers)] = torch.tensor(numbers)
        scores[row, : len(sure)] = torch.tensor(sure, dtype=torch.float64)
        embeddings[row] = torch.from_numpy(mean)
    size = torch.tensor(rows[0][3] if rows else (0, 0))
    return {"frames": frames, "scores": scores, "embeddings": embeddings, "size": size}


def _coded_frames(context: StageContext, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) frames as a codec leaves them, where the trial has one."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255
    pixels = (coded(clip, context.config.codec)[0] * 255).round().byte().permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy())


@torch.no_grad()
def as_delivered(
    context: StageContext, anonymizer: Anonymizer, item: Video, video: VideoFile, numbers: Sequence[int]
) -> NDArray[np.uint8]:
    """Frames `numbers` of a video at its own size, (T, H, W, 3) uint8 RGB, anonymized as a camera would deliver them.

    An anonymizer that looks at neighbouring frames is given all of them, some at a time; another one only those asked for. The
    codec is given what the anonymizer was given, as one video.
    """
    if item.twin is not None:
        return _coded_frames(context, VideoFile(item.twin).frames(video.in_file(numbers)))
    alone = not anonymizer.sees_time and not context.config.departures.scrambled_frames
    asked = list(numbers) if alone else list(range(len(video)))
    parts = []
    for start in range(0, len(asked), _AT_ONCE):
        some = asked[start : start + _AT_ONCE]
        clip = torch.from_numpy(video.frames(some)).to(context.device).permute(0, 3, 1, 2)[None].float() / 255
        clip = clip.flip(2) if context.config.departures.bgr_clips else clip
        boxes = context.boxes(_DATA)
        with context.autocast():
            if boxes is None:
                changed = context.anonymize(anonymizer, clip)
            else:
                people = torch.from_numpy(boxes.at(item, some)).to(context.device)[None]
                changed = obfuscate_clips(anonymizer, clip, people)
        changed = changed.flip(2) if context.config.departures.bgr_clips else changed
        changed = coded(changed, context.config.codec)
        pixels = (changed[0].float().clamp(0.0, 1.0) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        parts.append(pixels)
    frames = np.concatenate(parts)
    return np.ascontiguousarray(frames if alone else frames[list(numbers)])
