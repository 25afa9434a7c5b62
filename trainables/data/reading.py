"""Video files and images to uint8 RGB arrays: the one place that knows decoders.

decord decodes; where it has no wheel (anything but x86-64 Linux) PyAV does. Both return the same frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from trainables.data.items import DataError

try:
    import decord
except ImportError:  # pragma: no cover - no wheel for this platform
    decord = None

DECODER = "decord" if decord is not None else "pyav"
Frames = NDArray[np.uint8]

# decord 0.6 fails to copy out frames of just these widths ("from_size == to_size"): PyAV reads those.
_NOT_BY_DECORD = frozenset({4, 6, 8, 12, 16, 24, 48, 72})


def count_frames(path: Path) -> int:
    """Number of frames that can be decoded. Raises DataError for a file that is no whole video."""
    return len(_open(path, None)) if decord is not None else len(_decode_all(path, None))


def read_frames(path: Path, indices: Sequence[int], size: int | None = None) -> Frames:
    """Frames `indices` as (T, H, W, 3); `size` squeezes them to (size, size). Raises DataError for a broken file."""
    return VideoFile(path, size).frames(indices)


class VideoFile:
    """An opened video: its length, then its frames. Open one in the process that reads it; never carry it across a fork.

    Short, small videos are decoded whole once and kept: opening one costs more than all of its frames.
    """

    def __init__(self, path: Path, size: int | None = None) -> None:
        self.path = path
        self._whole = _CACHE.get((path, size))
        if self._whole is not None:
            return
        self._by_decord = decord is not None and (size or _width(path)) not in _NOT_BY_DECORD
        self._reader: Any = _open(path, size) if self._by_decord else _decode_all(path, size)
        if size is not None and len(self._reader) * size * size * 3 <= _SMALL_BYTES:
            self._whole = self._read(range(len(self._reader)))
            _CACHE.put((path, size), self._whole)

    def __len__(self) -> int:
        return len(self._reader if self._whole is None else self._whole)

    def frames(self, indices: Sequence[int]) -> Frames:
        """(T, H, W, 3) uint8 RGB."""
        return self._read(indices) if self._whole is None else self._whole[list(indices)]

    def _read(self, indices: Sequence[int]) -> Frames:
        if not self._by_decord:
            return self._reader[list(indices)]
        try:
            return self._reader.get_batch(list(indices)).asnumpy()
        except Exception as error:
            raise DataError(f"{self.path}: frame decoding failed ({_short(error)}); replace the file") from None


class _Cache:
    """Decoded arrays of this process, up to a number of bytes; when it is full nothing more goes in.

    Keeping the first ones beats evicting the oldest here: every epoch visits all videos in another order.
    """

    def __init__(self, limit: int) -> None:
        self._limit, self._used = limit, 0
        self._kept: dict[tuple[Path, int | None], Frames] = {}

    def get(self, key: tuple[Path, int | None]) -> Frames | None:
        return self._kept.get(key)

    def put(self, key: tuple[Path, int | None], frames: Frames) -> None:
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


def _open(path: Path, size: int | None) -> decord.VideoReader:
    if not path.is_file() or path.stat().st_size == 0:
        raise DataError(f"{path}: {'empty' if path.is_file() else 'no such'} video file; replace it")
    try:
        # a name with a colon would be read as a protocol; an absolute path is never
        reader = decord.VideoReader(str(path.absolute()), num_threads=1, width=size or -1, height=size or -1)
    except Exception as error:
        raise DataError(f"{path}: not a readable video ({_short(error)}); replace the file") from None
    _refuse_truncated(path, len(reader))
    return reader


def _width(path: Path) -> int | None:
    """The frames' own width; None without PyAV, and for a file that the decoder will complain of."""
    try:
        import av
    except ImportError:
        return None
    try:
        with av.open(str(path.absolute())) as container:
            return container.streams.video[0].width
    except (av.FFmpegError, IndexError):
        return None


def _refuse_truncated(path: Path, decodable: int) -> None:
    """A cut AVI opens without complaint and just has fewer frames: compare with what its header promises."""
    try:
        import av
    except ImportError:  # the check needs PyAV; decoding does not
        return
    try:
        with av.open(str(path.absolute())) as container:
            promised = container.streams.video[0].frames
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: not a readable video ({_short(error)}); replace the file") from None
    # indices may count a frame or two that no decoder shows (B-frame delay, an open end)
    if decodable == 0 or promised - decodable > max(2, promised // 50):
        raise DataError(f"{path}: truncated, {decodable} frames of the {promised} its header promises; replace the file")


def _decode_all(path: Path, size: int | None) -> Frames:
    import av

    if not path.is_file() or path.stat().st_size == 0:
        raise DataError(f"{path}: {'empty' if path.is_file() else 'no such'} video file; replace it")
    try:
        with av.open(str(path.absolute())) as container:
            frames = [f.reformat(size, size, "rgb24").to_ndarray() for f in container.decode(video=0)]
    except (av.FFmpegError, IndexError) as error:
        raise DataError(f"{path}: not a readable video ({_short(error)}); replace the file") from None
    _refuse_truncated(path, len(frames))
    return np.stack(frames)


def _short(error: Exception) -> str:
    """First line of a decoder's message, without its stack."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
