"""Which frames of a video are shown between two times."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

from trainables.data.decoding.files import File
from trainables.data.decoding.index import Index, open_video
from trainables.data.items import DataError

_EDGE = 1e-3  # seconds by which a written time may miss the time of its frame


def frames_between(file: File, index: Index, start: float, end: float | None) -> range:
    """The numbers of the frames shown from second `start` on and before second `end` (None: to the end of the video).

    Second 0 is the first frame. Where the file keeps no times, frames are as far apart as its header says. Raises DataError
    for a stretch in which nothing is shown.
    """
    base, rate = _clock(file)
    if index.timed and len(index.tags) == index.count:
        seconds = (index.tags - index.tags.min()) * float(base)
    else:
        seconds = np.arange(index.count) / float(rate)
    first = int(np.searchsorted(seconds, start - _EDGE))
    last = index.count if end is None else int(np.searchsorted(seconds, end - _EDGE))
    if last <= first:
        lasts = float(seconds[-1]) + 1.0 / float(rate)
        stretch = f"from {start:g} s" + ("" if end is None else f" to {end:g} s")
        raise DataError(f"{file.path}: shows nothing {stretch}: it lasts {lasts:.1f} s; correct its times")
    return range(first, last)


@lru_cache(maxsize=65536)
def _clock(file: File) -> tuple[Fraction, Fraction]:
    """The unit of a video's times, in seconds, and its frames a second."""
    container, stream = open_video(file)
    with container:
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        return Fraction(stream.time_base or 1), Fraction(rate)
