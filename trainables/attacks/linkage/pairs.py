"""Pairs of clips that show the same person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from torch import Tensor

from trainables.config import ClipConfig
from trainables.data.boxes import Boxes
from trainables.data.items import Video
from trainables.data.loader import Batch, SampleId, _sample, _Seeded
from trainables.data.reading import VideoFile
from trainables.data.sampling import clip_indices


class PersonPairs(_Seeded):
    """Two clips of one person, one after the other on the time axis: T = 2 x frames.

    The second clip is from another source if there is one, else another clip of the source, else the same clip.

    `people`: a number for whom each item shows.
    """

    def __init__(
        self, items: Sequence[Video], clip: ClipConfig, seed: int, people: Sequence[int], boxes: Boxes | None = None
    ) -> None:
        super().__init__(items, clip, seed, views=3, boxes=boxes)  # the third row of uniform numbers chooses the other clip
        self._others: list[list[int]] = []
        of_person: dict[int, list[int]] = {}
        for number, who in enumerate(people):
            of_person.setdefault(who, []).append(number)
        for number, who in enumerate(people):
            others = [other for other in of_person[who] if other != number]
            elsewhere = [other for other in others if items[other].group != items[number].group]
            self._others.append(elsewhere or others or [number])

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        position, draws = self.draw(sample)
        others = self._others[sample.item]
        chosen = others[int(draws[2, 0] * len(others))]
        frames: list[np.ndarray] = []
        boxes: list[np.ndarray] = []
        twins: list[np.ndarray] = []
        for number, start in ((sample.item, position), (chosen, float(draws[2, 1]))):
            item = cast(Video, self.items[number])
            video = VideoFile(item.path, self.clip.decode_size, item.span)
            indices = clip_indices(len(video), self.clip, start)
            frames.append(video.frames(indices))
            if self.boxes is not None:
                boxes.append(self.boxes.at(item, indices))
            if (twin := self.twins_of(item, video.in_file(indices))) is not None:
                twins.append(twin)
        people = np.concatenate(boxes) if boxes else None
        others_of = np.concatenate(twins) if twins else None
        return _sample(np.concatenate(frames), self.items[sample.item], draws[:2], sample.item, people, others_of)

    @staticmethod
    def halves(batch: Batch) -> tuple[Batch, Batch]:
        """The first and the second clips of a batch, each with a view of its own."""
        frames = batch["clips"].shape[1] // 2
        parts = []
        for view, times in enumerate((slice(None, frames), slice(frames, None))):
            own = {name: value[:, times] for name, value in batch.items() if name in ("clips", "boxes", "twins")}  # type: ignore[index]
            parts.append(cast(Batch, {**batch, **own, "draws": batch["draws"][:, view : view + 1]}))
        return parts[0], parts[1]
