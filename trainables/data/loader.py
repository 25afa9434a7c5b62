"""Batches of clips and images. What a sample gets depends on (seed, epoch, index) alone, never on who loads it.

Workers decode and return uint8. Every random decision of a sample is drawn with it, as a row of uniform numbers that `augment`
turns into crops and colours on the device, so that the number of workers cannot change a batch. Pixels stay in the order in
which the decoder writes them, colours last, until they are on the device.
"""

from __future__ import annotations

import math
import multiprocessing
import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing import spawn
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate, get_worker_info

from trainables.config import ClipConfig, Decoder
from trainables.data.augment import DRAWS
from trainables.data.boxes import Boxes
from trainables.data.items import DataError, Still, Video
from trainables.data.reading import VideoFile, choose_decoder, chosen_decoder, read_image
from trainables.data.sampling import clip_indices, fitting_skip, other_clip_indices, pair_indices, test_positions


class Batch(TypedDict):
    """One batch. B samples; T frames; C = 3, RGB; sides as decoded. `draws` belong to the sample, not to the batch."""

    clips: Tensor  # (B, T, C, H, W) uint8
    label: Tensor  # (B,) int64; -1 where there is none
    attributes: Tensor  # (B, A) float32 of 0/1
    draws: Tensor  # (B, V, DRAWS) float32 in [0, 1): one row a view
    index: Tensor  # (B,) int64: which item of the split
    twins: NotRequired[Tensor]  # as clips: the same frames of the videos that somebody else has anonymized; where asked for
    boxes: NotRequired[Tensor]  # (B, T, N, 4) float32: people in shares of the picture, NaN rows for none; where asked for
    two_times: NotRequired[Tensor]  # (B,) bool: see TwoTimes


class SampleId(NamedTuple):
    epoch: int
    item: int


def _sample(
    frames: np.ndarray,
    item: Video | Still,
    draws: np.ndarray,
    index: int,
    boxes: np.ndarray | None = None,
    twins: np.ndarray | None = None,
) -> dict[str, Tensor]:
    """`frames` (T, H, W, C) -> the dictionary that the loader batches, with clips as (T, C, H, W), a view of `frames`."""
    people = {} if boxes is None else {"boxes": torch.from_numpy(boxes)}
    if twins is not None:
        people["twins"] = torch.from_numpy(twins).permute(0, 3, 1, 2)
    return people | {
        "clips": torch.from_numpy(frames).permute(0, 3, 1, 2),
        "label": torch.tensor(item.label if isinstance(item, Video) else -1),
        "attributes": torch.tensor(item.attributes or (), dtype=torch.float32),
        "draws": torch.from_numpy(draws),
        "index": torch.tensor(index),
    }


class _Seeded(Dataset[dict[str, Tensor]]):
    def __init__(
        self,
        items: Sequence[Video] | Sequence[Still],
        clip: ClipConfig,
        seed: int,
        views: int = 1,
        boxes: Boxes | None = None,
    ) -> None:
        self.items, self.clip, self.seed, self.views, self.boxes = items, clip, seed, views, boxes

    def __len__(self) -> int:
        return len(self.items)

    @property
    def key(self) -> tuple[Hashable, ...]:
        """A key that two data sets share if and only if they yield the same samples."""
        key: tuple[Any, ...] = type(self), tuple(self.items), self.clip, self.seed, self.views
        return *key, None if self.boxes is None else self.boxes.fingerprint

    def boxes_at(self, item: Video | Still, indices: Sequence[int]) -> np.ndarray | None:
        """(T, N, 4) people in frames `indices` of the item's file; None where no boxes are asked for."""
        return None if self.boxes is None else self.boxes.at(item, indices)

    def twins_of(self, item: Video | None, numbers: Sequence[int], keep: bool = False) -> np.ndarray | None:
        """(T, H, W, C) frames `numbers` of the whole file of a video, as its twin shows them; None where it has no twin."""
        if item is None or item.twin is None:
            return None
        return VideoFile(item.twin, self.clip.decode_size).frames(numbers, keep)

    def __getitems__(self, samples: list[SampleId]) -> dict[str, Tensor]:
        """Returns a whole batch, which is how the DataLoader asks for samples.

        Each clip is copied into the batch as soon as it is decoded: it is then still in the processor's cache, and its memory
        serves the next clip. Collating decoded clips afterwards costs mostly page faults. numpy allocates the batch itself,
        because it asks the kernel for large pages.
        """
        if get_worker_info() is not None:  # torch's default_collate puts a worker's batch into shared memory
            return cast(dict[str, Tensor], default_collate([self[sample] for sample in samples]))
        rest: list[dict[str, Tensor]] = []
        pixels = torch.empty(0)
        for sample in samples:
            found = self[sample]
            clip = found.pop("clips").permute(0, 2, 3, 1)  # contiguous: the order in which it was decoded
            if not rest:
                pixels = torch.from_numpy(np.empty((len(samples), *clip.shape), np.uint8))
            pixels[len(rest)] = clip
            rest.append(found)
        return {"clips": pixels.permute(0, 1, 4, 2, 3), **default_collate(rest)}

    def draw(self, sample: SampleId) -> tuple[float, np.ndarray]:
        """A position in time and `views` rows of uniforms, from (seed, epoch, index) alone."""
        generator = np.random.default_rng([self.seed, sample.epoch, sample.item])
        values = generator.random(1 + self.views * DRAWS, dtype=np.float32)
        return float(values[0]), values[1:].reshape(self.views, DRAWS)


class TrainingClips(_Seeded):
    """One clip a video with a random start."""

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        item = cast(Video, self.items[sample.item])
        position, draws = self.draw(sample)
        video = VideoFile(item.path, self.clip.decode_size, item.span)
        indices = clip_indices(len(video), self.clip, position)
        numbers = video.in_file(indices)
        beside = self.boxes_at(item, numbers), self.twins_of(item, numbers)
        return _sample(video.frames(indices), item, draws, sample.item, *beside)


class EvaluationClips(_Seeded):
    """All test clips of a video one after another on the time axis: T = test_clips x frames; every video once."""

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        item = cast(Video, self.items[sample.item])
        video = VideoFile(item.path, self.clip.decode_size, item.span)
        indices = [i for position in test_positions(self.clip) for i in clip_indices(len(video), self.clip, position)]
        boxes = self.boxes_at(item, video.in_file(indices))
        twins = self.twins_of(item, video.in_file(indices), keep=True)
        return _sample(video.frames(indices, keep=True), item, self.draw(sample)[1], sample.item, boxes, twins)


class TwoTimes(_Seeded):
    """A clip with a random start, then one of the same video with another: T = 2 x frames, and three views to draw.

    `two_times` is False for a video that has no other start: its second half repeats the first.
    """

    def __init__(self, items: Sequence[Video], clip: ClipConfig, seed: int) -> None:
        super().__init__(items, clip, seed, views=4)  # the fourth row of uniforms holds the other start

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        item = cast(Video, self.items[sample.item])
        position, draws = self.draw(sample)
        video = VideoFile(item.path, self.clip.decode_size, item.span)
        here = clip_indices(len(video), self.clip, position)
        there = other_clip_indices(len(video), self.clip, position, float(draws[3, 0]))
        frames = video.frames([*here, *(there or here)])
        return _sample(frames, item, draws[:3], sample.item) | {"two_times": torch.tensor(there is not None)}


class FramePairs(_Seeded):
    """Two frames of a video, `distance` apart, each after the earlier ones of its `window`, which are apart as in a clip.

    T = 2 x window.
    """

    def __init__(self, items: Sequence[Video], clip: ClipConfig, seed: int, distance: int, window: int = 1) -> None:
        super().__init__(items, clip, seed, views=2)
        self.distance, self.window = distance, window

    @property
    def key(self) -> tuple[Hashable, ...]:
        return (*super().key, self.distance, self.window)

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        item = cast(Video, self.items[sample.item])
        position, draws = self.draw(sample)
        video = VideoFile(item.path, self.clip.decode_size, item.span)
        pair, skip = pair_indices(len(video), self.distance, position), fitting_skip(len(video), self.clip)
        frames = [max(0, last - back * skip) for last in pair for back in reversed(range(self.window))]
        return _sample(video.frames(frames), item, draws, sample.item)


class Stills(_Seeded):
    """One image, T = 1; a still that is a frame of a video is decoded from it."""

    def __getitem__(self, sample: SampleId) -> dict[str, Tensor]:
        item = cast(Still, self.items[sample.item])
        number = item.frame or 0
        if item.clip is not None:
            video = VideoFile(item.path, self.clip.decode_size, item.clip.span)
            shown = [round(item.moment * (len(video) - 1))]
            frames, [number] = video.frames(shown), video.in_file(shown)
        elif item.frame is None:
            frames = read_image(item.path, self.clip.decode_size)[None]
        else:
            frames = VideoFile(item.path, self.clip.decode_size).frames([item.frame])
        beside = self.boxes_at(item, [number]), self.twins_of(item.clip, [number])
        return _sample(frames, item, self.draw(sample)[1], sample.item, *beside)


def _unchanged(batch: Any) -> Any:
    return batch


def _decode_by(decoder: Decoder, worker: int) -> None:
    choose_decoder(decoder)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that are started within it do not import the main module of this one, of which loaders need nothing.

    It would cost each of them seconds at the start of each stage, and run a user's script again that has no guard.
    """
    prepared = spawn.get_preparation_data

    def without_main(name: str) -> dict[str, Any]:
        return {key: value for key, value in prepared(name).items() if not key.startswith("init_main")}

    spawn.get_preparation_data = without_main
    try:
        yield
    finally:
        spawn.get_preparation_data = prepared


_open: weakref.WeakSet[Loader] = weakref.WeakSet()


def close_loaders() -> None:
    """Ends the worker processes of all loaders of this process; a loader that is used again starts new ones.

    Left to the garbage collector, workers that pin memory outlive their stage, and the interpreter, when it ends, waits up to
    five seconds for each of them.
    """
    for loader in list(_open):
        loader.close()


class _Schedule:
    """A batch sampler whose batches are set before each pass, so that worker processes live for more than one epoch."""

    def __init__(self) -> None:
        self.batches: list[list[SampleId]] = []

    def __iter__(self) -> Iterator[list[SampleId]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


class Loader:
    """Batches of a data set, epoch by epoch or as an endless stream of which any stretch can be had.

    The order of epoch e is the permutation drawn from (seed, e); the last, smaller batch is kept unless `drop_last`.
    Every stretch of batches comes from `batches(loader, first, count)`, by default `Loader.load`: evaluators in one pass share
    what one of them loads. `share` chooses the items of a batch that this process loads: by default all.
    """

    def __init__(
        self,
        samples: _Seeded,
        batch_size: int,
        shuffle: bool,
        workers: int = 0,
        pin: bool = False,
        drop_last: bool = False,
        batches: Callable[[Loader, int, int], Iterator[Batch]] = lambda loader, first, count: loader.load(first, count),
        share: Callable[[list[int]], list[int]] = lambda items: items,
    ) -> None:
        self._batches, self._share = batches, share
        self.samples, self.batch_size, self.shuffle = samples, batch_size, shuffle
        self.drop_last = drop_last and len(samples) >= batch_size
        self._schedule = _Schedule()
        if workers > 0:  # the fork server imports PyTorch once for all workers, which takes seconds
            multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
        self._loader: DataLoader[dict[str, Tensor]] = DataLoader(
            samples,
            batch_sampler=self._schedule,
            collate_fn=_unchanged,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=pin,
            multiprocessing_context="forkserver" if workers > 0 else None,
            generator=torch.Generator(),
            worker_init_fn=partial(_decode_by, chosen_decoder()),
        )
        if workers > 0:
            _open.add(self)

    def close(self) -> None:
        """Ends the worker processes."""
        iterator: Any = getattr(self._loader, "_iterator", None)  # PyTorch has no public way to end persistent workers
        if iterator is not None:
            iterator._shutdown_workers()
            self._loader._iterator = None

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        batches = len(self.samples) / self.batch_size
        return math.floor(batches) if self.drop_last else math.ceil(batches)

    @property
    def key(self) -> Hashable:
        """A key shared by loaders that load the same batches."""
        return (*self.samples.key, self.batch_size, self.shuffle, self.drop_last)

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of epoch number `epoch`: every sample once."""
        return self.stretch(epoch * len(self), len(self))

    def stretch(self, first: int, count: int) -> Iterator[Batch]:
        """Yields batches `first` .. `first + count - 1` of the endless stream of epoch 0, epoch 1, ...

        One number is drawn from torch's global generator, as its DataLoader does, so that what a stage draws next is the same
        whether this process loads the batches or another one shares them.
        """
        torch.empty((), dtype=torch.int64).random_()
        yield from self._batches(self, first, count)

    def load(self, first: int, count: int) -> Iterator[Batch]:
        """Yields the batches of `stretch` from this loader itself, without drawing a random number."""
        orders: dict[int, list[int]] = {}
        batches = []
        for step in range(first, first + count):
            epoch, number = divmod(step, len(self))
            order = orders.setdefault(epoch, self._order(epoch))
            chosen = order[number * self.batch_size : (number + 1) * self.batch_size]
            batches.append([SampleId(epoch, index) for index in self._share(chosen)])
        self._schedule.batches = batches
        try:
            with _without_main():
                loaded = iter(self._loader)
            yield from cast(Iterator[Batch], loaded)
        except DataError as error:  # from a worker it comes with the worker's traceback; its last line is the message
            raise DataError(str(error).strip().splitlines()[-1].split("DataError: ")[-1]) from None

    def _order(self, epoch: int) -> list[int]:
        if not self.shuffle:
            return list(range(len(self.samples)))
        return np.random.default_rng([self.samples.seed, epoch]).permutation(len(self.samples)).tolist()
