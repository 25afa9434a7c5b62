"""Video files and images to uint8 RGB arrays: the one place that knows decoders.

decord decodes; where it has no wheel (anything but x86-64 Linux), PyAV does. Where torchcodec is installed with FFmpeg's
libraries, it reads frames that are not resized, which it does faster; it resizes more slowly and to other pixels. All decoders
return the same frames. ANONYMIZATION_DECODER=decord keeps torchcodec out.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trainables.data.items import DataError

try:
    import decord
except ImportError:  # pragma: no cover - no wheel for this platform
    decord = None

DECODER = "decord" if decord is not None else "pyav"
DECODER_VARIABLE = "ANONYMIZATION_DECODER"
Frames = NDArray[np.uint8]
# What a cached array holds: a whole file at a size, or some frames of it.
_CacheKey = tuple[Path, int | None] | tuple[Path, int | None, tuple[int, ...]]

# decord 0.6 fails to copy out frames of just these widths ("from_size == to_size"): PyAV reads those.
_NOT_BY_DECORD = frozenset({4, 6, 8, 12, 16, 24, 48, 72})


def count_frames(path: Path) -> int:
    """Returns the number of frames that can be decoded. Raises DataError for a file that is no whole video."""
    return len(_open(_File.at(path), None)) if decord is not None else len(_decode_all(_File.at(path), None))


def read_frames(path: Path, indices: Sequence[int], size: int | None = None) -> Frames:
    """Returns frames `indices` as (T, H, W, 3), resized to (size, size) if `size` is given.

    Raises DataError for a broken file.
    """
    return VideoFile(path, size).frames(indices)


class VideoFile:
    """A video file, of which the length and any frames can be read. It must not be carried across a fork.

    Short, small videos are decoded whole once and cached, because opening one costs more than decoding all of its frames. Of
    other videos only the length is cached, once the file was found whole.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path, self._size = path, size
        self._reader: Any = None
        self._whole = _CACHE.get((path, size))
        if self._whole is not None:
            return
        self._file = _File.at(path)
        if self._file not in _LENGTHS:
            self._reader = self._open()
            _LENGTHS[self._file] = len(self._reader)
        if size is not None and len(self) * size * size * 3 <= _SMALL_BYTES:
            self._whole = self._read(range(len(self)))
            _CACHE.put((path, size), self._whole)

    def __len__(self) -> int:
        return _LENGTHS[self._file] if self._whole is None else len(self._whole)

    def frames(self, indices: Sequence[int], keep: bool = False) -> Frames:
        """(T, H, W, 3) uint8 RGB. `keep`: these frames will be asked for again."""
        if self._whole is not None:
            return self._whole[list(indices)]
        key = (self.path, self._size, tuple(indices))
        if keep and (kept := _CACHE.get(key)) is not None:
            return kept
        frames = self._read(indices)
        if keep:
            _CACHE.put(key, frames)
        return frames

    def _open(self) -> Any:
        own = _own_size(self._file)
        squeezed = self._size is not None and own != (self._size, self._size)
        if not squeezed and torchcodec() is not None:
            return _TorchCodec(self._file)
        by_decord = decord is not None and (self._size or (own and own[0])) not in _NOT_BY_DECORD
        return _open(self._file, self._size) if by_decord else _decode_all(self._file, self._size)

    def _read(self, indices: Sequence[int]) -> Frames:
        if self._reader is None:
            self._reader = self._open()
        if isinstance(self._reader, np.ndarray):
            return self._reader[list(indices)]
        try:
            batch = self._reader.get_batch(list(indices))
            return batch if isinstance(batch, np.ndarray) else _shared(batch)
        except Exception as error:
            raise DataError(f"{self.path}: frame decoding failed ({_short(error)}); replace the file") from None


class _File(NamedTuple):
    """A file with its size and time of change, so that a replaced file is not taken for the old one."""

    path: Path
    bytes: int
    changed: int

    @staticmethod
    def at(path: Path) -> _File:
        """Raises DataError for a file that is absent or empty."""
        try:
            found = path.stat()
        except OSError:
            raise DataError(f"{path}: no such video file; replace it") from None
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            raise DataError(f"{path}: {'empty' if stat.S_ISREG(found.st_mode) else 'no such'} video file; replace it")
        return _File(path, found.st_size, found.st_mtime_ns)


_LENGTHS: dict[_File, int] = {}  # of videos that this process has opened and found whole


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
    """An image as (H, W, 3), or (size, size, 3). Raises DataError for a file that is no image."""
    if (kept := _CACHE.get((path, size))) is not None:
        return kept
    try:
        with Image.open(path) as image:
            rgb = image.convert("RGB")
            if size is not None and rgb.size != (size, size):
                rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
            frame = np.array(rgb)
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"{path}: not a readable image ({_short(error)}); replace the file") from None
    if size is not None and size * size * 3 <= _SMALL_BYTES // 16:
        _CACHE.put((path, size), frame)
    return frame


def _open(file: _File, size: int | None) -> decord.VideoReader:
    try:
        # a name with a colon would be read as a protocol; an absolute path is never
        reader = decord.VideoReader(str(file.path.absolute()), num_threads=1, width=size or -1, height=size or -1)
    except Exception as error:
        raise DataError(f"{file.path}: not a readable video ({_short(error)}); replace the file") from None
    _refuse_truncated(file, len(reader))
    return reader


def _shared(batch: Any) -> Frames:
    """Returns the frames that decord decoded without copying them, which its own `asnumpy` would."""
    from torch.utils.dlpack import from_dlpack

    return from_dlpack(batch.to_dlpack()).numpy()


@functools.cache
def torchcodec() -> Any:
    """Returns torchcodec's decoders, or None where it is not installed, finds no FFmpeg, or is switched off."""
    if os.environ.get(DECODER_VARIABLE, "torchcodec") != "torchcodec":
        return None
    try:
        return import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError):
        return None


def decoders() -> str:
    """Names the decoders of this process, for the record of a trial."""
    return DECODER if torchcodec() is None else f"{DECODER}, and torchcodec for frames in their own size"


class _TorchCodec:
    """A reader with decord's interface over torchcodec; frames keep their size."""

    def __init__(self, file: _File) -> None:
        try:
            self._video = torchcodec().VideoDecoder(str(file.path.absolute()), dimension_order="NHWC", num_ffmpeg_threads=1)
        except Exception as error:
            raise DataError(f"{file.path}: not a readable video ({_short(error)}); replace the file") from None
        _refuse_truncated(file, len(self))

    def __len__(self) -> int:
        return len(self._video)

    def get_batch(self, indices: list[int]) -> Frames:
        return self._video.get_frames_at(indices).data.numpy()


@dataclass(frozen=True)
class _Header:
    """What the header of a file says of its video."""

    width: int
    height: int
    frames: int


@functools.cache
def _header(file: _File) -> _Header | None:
    """Reads the header of a video; None without PyAV. Raises DataError for a file that is no video."""
    try:
        import av
    except ImportError:
        return None
    try:
        with av.open(str(file.path.absolute())) as container:
            video = container.streams.video[0]
            return _Header(video.width, video.height, video.frames)
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{file.path}: not a readable video ({_short(error)}); replace the file") from None


def _own_size(file: _File) -> tuple[int, int] | None:
    """Returns the width and height of the frames; None without PyAV, and for a file that the decoder is about to refuse."""
    try:
        header = _header(file)
    except DataError:
        return None
    return None if header is None else (header.width, header.height)


def _refuse_truncated(file: _File, decodable: int) -> None:
    """Raises DataError where fewer frames can be decoded than the header promises: a truncated AVI opens without an error."""
    header = _header(file)
    promised = 0 if header is None else header.frames
    # indices may count a frame or two that no decoder shows (B-frame delay, an open end)
    if decodable == 0 or promised - decodable > max(2, promised // 50):
        raise DataError(f"{file.path}: truncated, {decodable} frames of the {promised} its header promises; replace the file")


def _decode_all(file: _File, size: int | None) -> Frames:
    import av

    try:
        with av.open(str(file.path.absolute())) as container:
            frames = [f.reformat(size, size, "rgb24").to_ndarray() for f in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{file.path}: not a readable video ({_short(error)}); replace the file") from None
    _refuse_truncated(file, len(frames))
    return np.stack(frames)


def _short(error: Exception) -> str:
    """First line of a decoder's message, without its stack."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
