"""Text and people in frames of test and validation clips at the video's own resolution; whose text, or who it is, does not
count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.evaluation.delivered import Seen, clips_of, table_of
from trainables.execution.context import StageContext
from trainables.models.detector import PeopleDetector
from trainables.models.packaged import TEXT_DETECTOR, TEXT_READER, given_or_packaged
from trainables.models.weights import ATTACKER_FIELD
from trainables.store import Outcome

SPLITS = ("validation", "test")


def text(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does, with how sure the reader is of the surest line of each frame."""
    settings = context.config.attacks
    read = TextReader(
        str(given_or_packaged(settings.text_detector_weights, TEXT_DETECTOR, "attacks.text_detector_weights")),
        str(given_or_packaged(settings.text_reader_weights, TEXT_READER, "attacks.text_reader_weights")),
        settings.text_score,
    )
    return _scored(context, lambda frames: [read(frame) for frame in frames])


def people(context: StageContext) -> Outcome:
    """Leaves for each split what `table_of` does; a frame with somebody in it has the score 1."""
    settings = context.config.attacks
    assert settings.people_detector_weights is not None  # else the attack is not tried
    detect = PeopleDetector(
        settings.people_detector,
        settings.people_detector_weights,
        settings.people_score,
        context.device,
        ATTACKER_FIELD,
    )
    return _scored(context, lambda frames: [float(bool(boxes)) for boxes in detect(frames)])


def _scored(context: StageContext, score: Callable[[NDArray[np.uint8]], list[float]]) -> Outcome:
    anonymizer = context.anonymizer("anonymizer")
    state: dict[str, dict[str, Tensor]] = {}
    for split in SPLITS:
        clips = clips_of(context, anonymizer, split)
        rows = [Seen(numbers, score(frames), frames.shape[1:3]) for numbers, frames in clips]
        state[split] = table_of(context, split, rows)
    return Outcome({}, state=state)


class TextReader:
    """PaddleOCR's detector and reader of lines (PP-OCRv4, which knows Latin and Chinese writing), as RapidOCR runs them."""

    def __init__(self, detector: str, reader: str, score: float) -> None:
        from rapidocr_onnxruntime import RapidOCR

        threads = torch.get_num_threads()
        self._read: Any = RapidOCR(
            det_model_path=detector,
            rec_model_path=reader,
            use_cls=False,
            text_score=score,
            intra_op_num_threads=threads,
            inter_op_num_threads=threads,
        )

    def __call__(self, frame: NDArray[np.uint8]) -> float:
        """(H, W, 3) RGB -> how sure it is of the surest line with two letters or digits or more; 0.0 where there is none."""
        lines, _ = self._read(np.ascontiguousarray(frame[..., ::-1]), use_cls=False)
        sure = [float(score) for _, text, score in lines or () if sum(letter.isalnum() for letter in text) >= 2]
        return max(sure, default=0.0)
