"""A file as it is on the disk, so that a replaced one is not taken for the old one, and how an error is worded."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import NamedTuple

from trainables.data.items import DataError


class File(NamedTuple):
    """A file with its size in bytes and its time of change."""

    path: Path
    bytes: int
    changed: int

    @staticmethod
    def at(path: Path, what: str = "video") -> File:
        """Raises DataError for a file that is absent or empty."""
        try:
            found = path.stat()
        except OSError:
            raise DataError(f"{path}: no such {what} file; replace it") from None
        if not stat.S_ISREG(found.st_mode) or found.st_size == 0:
            raise DataError(f"{path}: {'empty' if stat.S_ISREG(found.st_mode) else 'no such'} {what} file; replace it")
        return File(path, found.st_size, found.st_mtime_ns)


def short(error: Exception) -> str:
    """Returns the first line of a decoder's message, without its stack."""
    lines = str(getattr(error, "strerror", None) or error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
