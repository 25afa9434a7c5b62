"""Clips that are stretches of a file: how long the file lasts, and whether the stretch is in it."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

Span = tuple[float, float | None]

_SLACK = 1.0  # seconds by which people's times, in whole seconds, go past the end of a video
_THREADS = 16  # opening waits for the disk or the network


def lengths_of(paths: Iterable[Path]) -> dict[Path, float | None]:
    """The seconds that each video lasts, by its header; None where the header does not say, or cannot be read."""
    distinct = list(dict.fromkeys(paths))
    if not distinct:
        return {}
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(zip(distinct, pool.map(_lasts, distinct), strict=True))


def stretch_in(seconds: float | None, span: Span) -> Span | None:
    """The stretch `span` of a file that lasts `seconds`; None where the file is no longer than the clip: it is cut already."""
    start, end = span
    return None if seconds is not None and end is not None and seconds <= end - start + _SLACK else span


def is_outside(seconds: float | None, span: Span) -> bool:
    """Whether a stretch begins after a file of `seconds` ends, or ends more than a second after it."""
    start, end = span
    return seconds is not None and max(start, (end or 0.0) - _SLACK) >= seconds


def _lasts(path: Path) -> float | None:
    import av  # decoders, and what they import, only where they are used

    try:
        with av.open(str(path.absolute())) as container:
            return container.duration / 1e6 if container.duration else None
    except (av.FFmpegError, OSError, ValueError):
        return None
