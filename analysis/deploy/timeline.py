"""Times of packets that can be relied on: streams that start again, or leap, go on where they were."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_BACK = 0.2  # seconds that times may go back without the stream having started again
_LEAP = 10.0  # seconds ahead from which a broadcast stream has begun anew (as FFmpeg has it)


class Timeline:
    """Shifts the times of one stream's packets so that they go on rising.

    leaps: whether a leap ahead is a new beginning, as in MPEG-TS and live sources. In MP4 or Matroska it is a long frame.
    """

    def __init__(self, time_base: Fraction, leaps: bool) -> None:
        self._back, self._leap = (round(seconds / time_base) for seconds in (_BACK, _LEAP))
        self._leaps = leaps
        self._offset = 0
        self._last: int | None = None
        self._end = 0
        self.restarts = 0

    def put_right(self, packet: Any, period: int) -> None:
        """Changes `pts` and `dts` of a packet; `period`: how long a frame lasts where the packet does not say."""
        time = packet.dts if packet.dts is not None else packet.pts
        if time is None:
            return
        time += self._offset
        if self._last is not None and (time < self._last - self._back or (self._leaps and time > self._last + self._leap)):
            self._offset += self._end - time
            time = self._end
            self.restarts += 1
        self._last, self._end = time, time + (packet.duration or period)
        if self._offset:
            packet.pts = None if packet.pts is None else packet.pts + self._offset
            packet.dts = None if packet.dts is None else packet.dts + self._offset
