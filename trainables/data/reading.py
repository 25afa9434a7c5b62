"""Videos and images as uint8 RGB arrays, upright, with those kept that are asked for again.

PyAV decodes every file. decord decodes those of which it is known to give the same pixels (`gives_frames`), where that is no
slower: see `choose_decoder`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainables.config import ConfigError, Decoder
from trainables.data.decoding.by_decord import DecordReader, decord_version, gives_frames
from trainables.data.decoding.care import care_of
from trainables.data.decoding.files import File
from trainables.data.decoding.folder import FolderReader, frames_in
from trainables.data.decoding.images import decode_image
from trainables.data.decoding.index import Index, index_of
from trainables.data.decoding.known import keep, known_index
from trainables.data.decoding.spans import frames_between
from trainables.data.decoding.video import VideoReader
from trainables.data.items import DataError

Frames = NDArray[np.uint8]
# What a cached array holds: a whole file at a size, or some frames of it.
_CacheKey = tuple[Path, int | None] | tuple[Path, int | None, tuple[int, ...]]


def count_frames(path: Path) -> int:
    """Returns the number of frames that a player shows. Raises DataError for a file that is no whole video."""
    return find_frames(path).count


def find_frames(path: Path) -> Index:
    """Returns which frames a video shows. Raises DataError for a file that is no whole video."""
    if path.is_dir():
        return Index(len(frames_in(path)), np.empty(0, np.int64), (), timed=True)
    file = File.at(path)
    if file not in _INDICES:
        index = known_index(file)
        if index is None:
            index = index_of(file)
            index = replace(index, care=care_of(file, index))
            keep(file, index, decoded=not index.timed)
        _INDICES[file] = index
    return _INDICES[file]


def read_frames(path: Path, indices: Sequence[int], size: int | None = None) -> Frames:
    """Returns frames `indices` as (T, H, W, 3), resized to (size, size) if `size` is given.

    Raises DataError for a broken file.
    """
    return VideoFile(path, size).frames(indices)


class VideoFile:
    """A video file, or a folder of frames, whose length and frames can be read. It must not be carried across a fork.

    Short, small videos are decoded whole once and cached, because opening one costs more than decoding all of its frames. Of
    other videos only the index is cached.
    """

    def __init__(self, path: Path, size: int | None = None, span: tuple[float, float | None] | None = None) -> None:
        """`span`: only what is shown between these seconds is the video (see `Video.span`)."""
        self.path, self._size = path, size
        self._whole = _CACHE.get((path, size))
        self._shown = range(len(self._whole)) if self._whole is not None else range(0)
        if self._whole is not None and span is None:
            return
        self._index = find_frames(path)
        self._shown = range(self._index.count)
        if span is not None:
            if path.is_dir():
                raise DataError(f"{path}: a folder of frames has no times; leave start and end out")
            self._shown = frames_between(File.at(path), self._index, *span)
        if self._whole is not None:
            return
        whole = size is not None and self._index.count * size * size * 3 <= _SMALL_BYTES
        self._reader = FolderReader(path, size) if path.is_dir() else _reader(File.at(path), self._index, size, whole)
        if whole:
            self._whole = self._reader.read(range(self._index.count))
            self._reader.close()
            _CACHE.put((path, size), self._whole)

    def __len__(self) -> int:
        return len(self._shown)

    def in_file(self, indices: Sequence[int]) -> list[int]:
        """The numbers that frames `indices` of the stretch have in the whole file."""
        return [self._shown[index] for index in indices]

    def frames(self, indices: Sequence[int], keep: bool = False) -> Frames:
        """(T, H, W, 3) uint8 RGB. `keep`: these frames will be asked for again."""
        indices = self.in_file(indices)
        if self._whole is not None:
            return self._whole[indices]
        key = (self.path, self._size, tuple(indices))
        if keep and (kept := _CACHE.get(key)) is not None:
            return kept
        frames = self._reader.read(indices)
        if keep:
            _CACHE.put(key, frames)
        return frames


_INDICES: dict[File, Index] = {}  # of the videos that this process has opened
_NO_SLOWER = 128  # pixels a side up to which decord reads all frames of a video as fast as PyAV
_CHOSEN: dict[str, Decoder] = {"decoder": "auto"}


def choose_decoder(decoder: Decoder) -> None:
    """Says what decodes videos in this process. Pixels do not depend on it, nor does any figure.

    `pyav`: PyAV; `decord`: decord wherever `gives_frames`, and PyAV elsewhere; `auto`: decord where in addition it is no
    slower, which is where all frames of a video are read and made small. For a single clip it looks through the whole file each
    time it opens it, and decodes frames that nobody asks for. Raises ConfigError where decord is chosen and not installed.
    """
    if decoder == "decord" and not decord_version():
        raise ConfigError("data.decoder = decord: it is not installed here; leave it out (auto), or install decord")
    _CHOSEN["decoder"] = decoder


def chosen_decoder() -> Decoder:
    """What `choose_decoder` was last called with in this process."""
    return _CHOSEN["decoder"]


def _reader(file: File, index: Index, size: int | None, whole: bool) -> VideoReader | DecordReader:
    """What reads frames of a video; `whole`: all of them."""
    if size is None or chosen_decoder() == "pyav":
        return VideoReader(file, index, size)
    wanted = chosen_decoder() == "decord" or (whole and size <= _NO_SLOWER)
    if wanted and gives_frames(file, index, size):
        return DecordReader(file, index, size)
    return VideoReader(file, index, size)


class _Cache:
    """Decoded arrays of this process, up to a number of bytes. A full cache takes nothing more and evicts nothing.

    Keeping the first arrays beats evicting the oldest, because every epoch visits all videos, in any order. Only arrays that
    are asked for again are cached: images, whole small videos, and evaluation clips. Training clips of longer videos differ
    each time.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._kept: dict[_CacheKey, Frames] = {}

    def get(self, key: _CacheKey) -> Frames | None:
        return self._kept.get(key)

    def put(self, key: _CacheKey, frames: Frames) -> None:
        if self._used + frames.nbytes <= self._limit:
            self._used += frames.nbytes
            self._kept[key] = frames


_SMALL_BYTES = 4 * 2**20
_CACHE = _Cache(limit=512 * 2**20)


def read_image(path: Path, size: int | None = None) -> Frames:
    """An image as (H, W, 3), upright, or (size, size, 3). Raises DataError for a file that is no image."""
    if (kept := _CACHE.get((path, size))) is not None:
        return kept
    frame = decode_image(path, size)
    if size is not None and size * size * 3 <= _SMALL_BYTES // 16:
        _CACHE.put((path, size), frame)
    return frame


@functools.lru_cache(maxsize=4096)
def own_size(path: Path) -> tuple[int, int]:
    """Height and width of the first frame of a video, in pixels. Raises DataError for a file that is no whole video."""
    height, width = VideoFile(path).frames([0]).shape[1:3]
    return height, width


def decoder() -> str:
    """Names the decoders of this process, for the record of a trial."""
    import av

    other = "" if chosen_decoder() == "pyav" or not decord_version() else f", decord {decord_version()}"
    return f"PyAV {av.__version__}{other}"
