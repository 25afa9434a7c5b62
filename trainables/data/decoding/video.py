"""Frames of a video by their number: those that decoding the whole file would give, whatever is asked for in what order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.decoding.files import File
from trainables.data.decoding.index import Index, Start, decode, open_video, packets_of
from trainables.data.decoding.orientation import Orientation
from trainables.data.decoding.passing import CODECS, Passing
from trainables.data.decoding.resizing import Resizer
from trainables.data.items import DataError

if TYPE_CHECKING:
    from av import VideoFrame

_FAR = 4  # frames ahead from which seeking is quicker than decoding on
_IN_ORDER_ONLY: set[File] = set()  # files of which every frame is decoded in order; found out as they are read


class _AstrayError(Exception):
    """The decoder gives another frame than the index says, or none."""


class VideoReader:
    """Reads frames of a video. `size`: they are resized to (size, size). Not to be carried across a fork, nor among threads.

    Decoding begins at the last key frame before the frame that is asked for, and passes over frames that nobody asks for and
    no other frame refers to: most B-frames. Each frame that comes is compared with the index; where it is another, the file is
    read from its start instead, every frame of it.
    """

    def __init__(self, file: File, index: Index, size: int | None = None) -> None:
        self._file, self._index = file, index
        self._place = {tag: position for position, tag in enumerate(index.tags.tolist())}
        self._resizer = Resizer(size)
        self._open: Any = None
        self._frames: Iterator[tuple[int, VideoFrame]] | None = None
        self._next = 0
        self._in_order = False  # whether these frames are all frames, decoded from the start of the file
        self._passing = Passing(index)

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Returns frames `indices` as (T, H, W, 3) RGB, upright. Raises DataError for one that cannot be decoded."""
        pictures: NDArray[np.uint8] | None = None
        wanted = frozenset(indices)
        self._want(wanted)
        for number in sorted(wanted):
            frame = self._frame(number)
            picture = Orientation.of(frame).upright(self._resizer.picture(frame))
            if pictures is None:
                pictures = np.empty((len(indices), *picture.shape), np.uint8)
            if picture.shape != pictures.shape[1:]:
                raise DataError(f"{self._file.path}: the size of its pictures changes at frame {number}; leave the file out")
            for place, index in enumerate(indices):
                if index == number:
                    pictures[place] = picture
        assert pictures is not None
        return pictures

    def check(self) -> None:
        """Decodes all frames. Raises DataError for the first that cannot be decoded."""
        self._want(frozenset(range(self._index.count)))
        self._frame(self._index.count - 1, in_order=True)

    def _want(self, numbers: Set[int]) -> None:
        if self._passing.want(numbers):
            self._frames = None

    def close(self) -> None:
        if self._open is not None:
            self._open[0].close()
        self._open = self._frames = None

    def _frame(self, number: int, in_order: bool = False) -> VideoFrame:
        if not 0 <= number < self._index.count:
            raise DataError(f"{self._file.path}: frame {number} of {self._index.count} is asked for; replace the file")
        start = None if in_order or self._file in _IN_ORDER_ONLY else self._index.start_before(number)
        begin = start.position if start else 0
        again = self._frames is None or self._next > number or begin > self._next + _FAR
        while True:
            try:
                if again or self._frames is None:
                    self._frames = self._from(start)
                for position, frame in self._frames:
                    self._next = position + 1
                    if position == number:
                        return frame
                raise _AstrayError
            except _AstrayError:
                if self._in_order:
                    message = f"frame {self._next} of {self._index.count} cannot be decoded; replace the file"
                    raise DataError(f"{self._file.path}: {message}") from None
                _IN_ORDER_ONLY.add(self._file)
                start, again = None, True

    def _from(self, start: Start | None) -> Iterator[tuple[int, VideoFrame]]:
        """Places the container at `start` and returns the frames from there on with their numbers, compared with the index."""
        self._in_order = self._file in _IN_ORDER_ONLY  # which another thread may alter
        if self._open is None or start is None:
            self.close()
            self._open = open_video(self._file)
        container, stream = self._open
        self._next = 0
        if start is not None:
            import av

            try:
                container.seek(start.time, stream=stream)
            except (av.FFmpegError, OSError):
                raise _AstrayError from None
            self._next = start.position
        return self._compared(container, stream, start)

    def _compared(self, container: Any, stream: Any, start: Start | None) -> Iterator[tuple[int, VideoFrame]]:
        expected = first = 0 if start is None else start.position
        packets = packets_of(self._file, container, stream)
        if not len(self._index.tags):
            yield from enumerate(decode(packets, stream, self._index.timed, [0]))
            return
        if not self._in_order and stream.codec_context.codec.canonical_name in CODECS:
            packets = self._passing.packets(packets, stream.codec_context)
        for frame in decode(packets, stream, self._index.timed, [0]):
            position = self._place.get(frame.pts, -1)
            if expected == first and position < first:  # frames that refer to what came before the key frame
                continue
            while expected < position and expected in self._passing.passed:
                expected += 1
            if position != expected or (
                start is not None and (frame.is_corrupt or (expected == first and not frame.key_frame))
            ):
                raise _AstrayError
            yield position, frame
            expected += 1
