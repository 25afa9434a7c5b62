"""Frames that nobody asks for are passed over where no other frame refers to them: most B-frames, half the work of decoding."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING, Any

import numpy as np

from trainables.data.decoding.index import Index

if TYPE_CHECKING:
    from av import Packet

# Codecs whose decoders leave out single frames and give the same others. Not HEVC: a frame that no other of its layer refers
# to may be referred to from the layer above.
CODECS = frozenset({"h264", "mpeg4"})


class Passing:
    """Decides which packets of a video the decoder leaves out, by the tags of the index. `passed` are the frames it left out.

    In MPEG-4, B-frames come in rows between two frames that others refer to. XviD puts the first of a row into the packet of
    the frame before it, the second into the packet meant for the first, and nothing into the last packet. The decoder keeps
    each until the next packet comes, and where it leaves one out, forgets what it should keep. So of a row either all is
    decoded up to the last frame that is asked for, or nothing; the packet after that rids the decoder of what it keeps, and the
    rest of the row is not given to it.
    """

    def __init__(self, index: Index) -> None:
        self.passed: set[int] = set()
        self._timed = index.timed
        self._place = {tag: position for position, tag in enumerate(index.tags.tolist())}
        self._coded = np.argsort(index.tags)  # positions in the order in which they are coded
        self._in_row = self._coded < np.maximum.accumulate(self._coded) if len(index.tags) else np.empty(0, np.bool_)
        self._rows = frozenset(self._coded[self._in_row].tolist())
        self._needed: Set[int] = frozenset()

    def want(self, numbers: Set[int]) -> bool:
        """Says which frames are asked for next. Returns whether one that is needed for them has been passed over already."""
        self._needed = numbers if self._timed else numbers | self._earlier_in_row(numbers)
        return not self.passed.isdisjoint(self._needed)

    def packets(self, packets: Iterator[Packet], context: Any) -> Iterator[Packet]:
        """Yields what the decoder must be given, and has it leave out what is not needed.

        A frame has the tag of the packet with which it is decoded, also where a packet holds two.
        """
        self.passed.clear()
        mpeg4 = context.codec.canonical_name == "mpeg4"
        context.skip_frame, passing, row_left = "DEFAULT", False, False
        for packet in packets:
            position = self._place.get(packet.pts if self._timed else packet.dts, -1)
            if (position >= 0 and position not in self._needed) != passing:
                passing = not passing
                context.skip_frame = "NONREF" if passing else "DEFAULT"
            if passing:
                self.passed.add(position)
            within = mpeg4 and passing and position in self._rows
            if not (within and row_left):
                yield packet
            row_left = within

    def _earlier_in_row(self, numbers: Set[int]) -> Set[int]:
        """The B-frames that are coded before frames `numbers` in a row with them, and these."""
        found, follows = set[int](), False
        for position, inside in zip(self._coded[::-1].tolist(), self._in_row[::-1].tolist(), strict=True):
            follows = inside and (follows or position in numbers)
            if follows:
                found.add(position)
        return found
