"""Frames of clips at the video's own resolution, anonymized and coded at that resolution, and what is seen in each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data.coding import coded
from trainables.data.items import Video
from trainables.data.reading import VideoFile
from trainables.data.sampling import evenly
from trainables.execution.context import StageContext
from trainables.failures import Stopped
from trainables.models.base import Anonymizer
from trainables.models.obfuscation import obfuscate_clips

CLIPS = "clips_with_attributes"
_AT_ONCE = 64  # frames that an anonymizer which sees time is given


class Clip(NamedTuple):
    """The frames of a clip that are looked at: their numbers, and (T, H, W, 3) uint8 RGB."""

    numbers: list[int]
    frames: NDArray[np.uint8]


class Seen(NamedTuple):
    """How surely something was seen in each frame, 0 where it was not, and height and width of the frames."""

    numbers: list[int]
    scores: list[float]
    size: tuple[int, int]


def chosen_of(context: StageContext, split: str, data: str = CLIPS) -> list[int]:
    """The numbers of the clips of a split that are looked at."""
    return list(evenly(len(getattr(getattr(context.data, data), split)), context.config.attacks.recognised_clips))


def clips_of(context: StageContext, anonymizer: Anonymizer, split: str, data: str = CLIPS) -> Iterator[Clip]:
    """Those clips, one after another. Raises Stopped between two of them."""
    items: Sequence[Video] = getattr(getattr(context.data, data), split)
    for number in chosen_of(context, split, data):
        if context.should_stop():
            raise Stopped(f"{context.stage}: stopped while it looks at clips; begins again")
        item = items[number]
        video = VideoFile(item.path, None, item.span)
        numbers = sorted(set(evenly(len(video), context.config.attacks.recognised_frames)))
        yield Clip(numbers, as_delivered(context, anonymizer, item, video, numbers, data))


def table_of(context: StageContext, split: str, rows: Sequence[Seen]) -> dict[str, Tensor]:
    """Row by row of the clips of a split that were looked at: `items` (N,), their numbers; `frames` (N, F), the numbers of the
    frames, -1 where a clip has fewer; `scores` (N, F); and `size`, height and width of the first frame.
    """
    most = context.config.attacks.recognised_frames
    frames, scores = torch.full((len(rows), most), -1), torch.zeros(len(rows), most, dtype=torch.float64)
    for row, seen in enumerate(rows):
        frames[row, : len(seen.numbers)] = torch.tensor(seen.numbers)
        scores[row, : len(seen.scores)] = torch.tensor(seen.scores, dtype=torch.float64)
    items = torch.tensor(chosen_of(context, split), dtype=torch.long)
    return {"items": items, "frames": frames, "scores": scores, "size": torch.tensor(rows[0].size if rows else (0, 0))}


def _coded_frames(context: StageContext, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(T, H, W, 3) frames as a codec leaves them, where the trial has one."""
    clip = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 255
    pixels = (coded(clip, context.config.codec)[0] * 255).round().byte().permute(0, 2, 3, 1)
    return np.ascontiguousarray(pixels.numpy())


@torch.no_grad()
def as_delivered(
    context: StageContext, anonymizer: Anonymizer, item: Video, video: VideoFile, numbers: Sequence[int], data: str = CLIPS
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
        boxes = context.boxes(data)
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
