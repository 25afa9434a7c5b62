"""Which frames make a clip, by hand, and which random numbers a sample gets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainables.config import ClipConfig
from trainables.data import sampling
from trainables.data.items import Video
from trainables.data.loader import SampleId, TrainingClips
from trainables.data.sampling import clip_indices, evenly, fitting_skip, other_clip_indices, pair_indices


def clip(frames: int, skip: int, test_clips: int = 5) -> ClipConfig:
    return ClipConfig(frames=frames, skip=skip, test_clips=test_clips)


@pytest.mark.parametrize(
    ("length", "frames", "skip", "fits"),
    [
        (61, 16, 4, 4),  # 15 steps of 4 reach from frame 0 to frame 60
        (60, 16, 4, 3),
        (46, 16, 4, 3),
        (45, 16, 4, 2),
        (16, 16, 4, 1),
        (5, 16, 4, 1),  # shorter than the clip: it starts over
        (1, 16, 4, 1),
        (10, 1, 4, 4),  # a single frame fits whatever the skip
        (3, 2, 7, 2),
        (100, 2, 7, 7),
    ],
)
def test_the_skip_shrinks_until_the_clip_fits(length: int, frames: int, skip: int, fits: int) -> None:
    assert fitting_skip(length, clip(frames, skip)) == fits


@pytest.mark.parametrize(
    ("length", "frames", "skip", "position", "indices"),
    [
        (10, 3, 2, 0.0, [0, 2, 4]),
        (10, 3, 2, 1.0, [5, 7, 9]),  # the last frame is within reach
        (10, 3, 2, 0.5, [3, 5, 7]),  # six starts, 0 to 5: the fourth
        (10, 3, 2, 0.16, [0, 2, 4]),
        (10, 3, 2, 0.17, [1, 3, 5]),  # each start takes a sixth of [0, 1)
        (10, 3, 2, 0.84, [5, 7, 9]),
        (5, 3, 2, 0.9, [0, 2, 4]),
        (4, 3, 2, 0.0, [0, 1, 2]),
        (4, 3, 2, 0.9, [1, 2, 3]),
        (2, 5, 3, 0.9, [0, 1, 0, 1, 0]),
        (1, 3, 2, 0.5, [0, 0, 0]),
        (7, 1, 4, 1.0, [6]),
        (7, 1, 4, 0.5, [3]),
    ],
)
def test_the_frames_of_a_clip(length: int, frames: int, skip: int, position: float, indices: list[int]) -> None:
    assert clip_indices(length, clip(frames, skip), position) == indices


def test_every_start_is_as_likely() -> None:
    starts = [clip_indices(10, clip(3, 2), position)[0] for position in np.linspace(0, 1, 6000, endpoint=False)]
    assert np.bincount(starts).tolist() == [1000] * 6


def test_the_other_clip_starts_elsewhere_and_each_start_is_as_likely() -> None:
    for position in (0.0, 0.5, 0.99):
        here = clip_indices(10, clip(3, 2), position)[0]
        found = [other_clip_indices(10, clip(3, 2), position, other) for other in np.linspace(0, 1, 1000, endpoint=False)]
        counts = np.bincount([each[0] for each in found if each is not None], minlength=6)
        assert counts[here] == 0
        assert np.delete(counts, here).tolist() == [200] * 5
        assert all(each is not None and np.diff(each).tolist() == [2, 2] and each[-1] < 10 for each in found)
    assert other_clip_indices(6, clip(3, 2), 0.0, 0.0) == [1, 3, 5]
    assert other_clip_indices(5, clip(3, 2), 0.0, 0.5) is None
    assert other_clip_indices(2, clip(3, 2), 0.0, 0.5) is None


def test_test_clips_are_spread_over_the_whole_video() -> None:
    assert sampling.test_positions(clip(3, 2, test_clips=1)) == [0.5]
    assert sampling.test_positions(clip(3, 2, test_clips=2)) == [0.0, 1.0]
    assert sampling.test_positions(clip(3, 2, test_clips=5)) == [0.0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize(
    ("length", "distance", "position", "pair"),
    [
        (10, 4, 0.0, (0, 4)),
        (10, 4, 0.5, (3, 7)),  # six starts
        (10, 4, 1.0, (5, 9)),
        (10, 4, 0.99, (5, 9)),
        (10, 4, 0.16, (0, 4)),
        (10, 4, 0.17, (1, 5)),
        (3, 4, 0.9, (0, 2)),  # as far as the video allows
        (1, 4, 0.9, (0, 0)),
    ],
)
def test_the_two_frames_of_a_pair(length: int, distance: int, position: float, pair: tuple[int, int]) -> None:
    assert pair_indices(length, distance, position) == pair


@pytest.mark.parametrize(
    ("count", "wanted", "chosen"),
    [(10, 4, [0, 3, 6, 9]), (9, 3, [0, 4, 8]), (6, 2, [0, 5]), (3, 5, [0, 1, 2]), (5, 1, [0]), (1, 1, [0])],
)
def test_numbers_that_are_evenly_apart(count: int, wanted: int, chosen: list[int]) -> None:
    assert evenly(count, wanted) == chosen


def test_what_a_sample_draws_depends_on_seed_epoch_and_item() -> None:
    items = [Video(str(number), Path(str(number)), 0, "g") for number in range(3)]

    def draw(seed: int, epoch: int, item: int) -> list[float]:
        position, draws = TrainingClips(items, clip(3, 2), seed).draw(SampleId(epoch, item))
        assert draws.shape[0] == 1
        assert 0 <= draws.min() <= draws.max() < 1
        return [position, *draws.flatten().tolist()]

    base = draw(0, 0, 0)
    assert draw(0, 0, 0) == base
    for other in (draw(1, 0, 0), draw(0, 1, 0), draw(0, 0, 1), draw(1, 1, 0)):
        assert not set(other) & set(base)
