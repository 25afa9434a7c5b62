"""What is known of files that were opened before, kept for all processes of a machine: finding it out again takes time.

A database in the folder for temporary files; the variable ANONYMIZATION_CACHE names another folder. Where it cannot be used,
nothing is kept. A file that has another size or time of change is another file.
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from trainables.data.decoding.files import File
from trainables.data.decoding.index import Index, Start

CACHE_VARIABLE = "ANONYMIZATION_CACHE"
_FORMAT = 3  # raised when an index, or how it is found, changes
_TABLE = "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, bytes INT, changed INT, decoded INT, facts TEXT, tags BLOB)"
_here = threading.local()  # a connection is for one thread of one process


def known_index(file: File) -> Index | None:
    """Returns the index of a video that was found before, or None."""
    row = _row(file)
    if row is None or row[1] is None:
        return None
    facts, tags = json.loads(row[1]), np.frombuffer(zlib.decompress(row[2]), np.int64)
    return Index(facts["count"], tags, tuple(Start(*start) for start in facts["starts"]), facts["timed"], tuple(facts["care"]))


def is_known(file: File, decoded: bool) -> bool:
    """Whether the file was found good before; `decoded`: whether all of it was decoded."""
    row = _row(file)
    return row is not None and (bool(row[0]) or not decoded)


def keep(file: File, index: Index | None, decoded: bool) -> None:
    """Keeps that a file is good, with the index of a video; `decoded`: all of it was decoded."""
    facts = tags = None
    if index is not None:
        starts = [(start.position, start.tag, start.time) for start in index.starts]
        facts = json.dumps({"count": index.count, "starts": starts, "timed": index.timed, "care": index.care})
        tags = zlib.compress(index.tags.tobytes(), 1)
    row = (str(file.path.absolute()), file.bytes, file.changed, decoded or is_known(file, decoded=True), facts, tags)
    _ask("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)", row)


def _row(file: File) -> tuple[int, str | None, bytes] | None:
    query = "SELECT decoded, facts, tags FROM files WHERE path = ? AND bytes = ? AND changed = ?"
    return _ask(query, (str(file.path.absolute()), file.bytes, file.changed))


def _ask(query: str, values: tuple[Any, ...]) -> Any:
    """Returns the first row that the database gives; None where it fails, which costs only time."""
    try:
        place = (os.getpid(), _folder())
        if getattr(_here, "place", None) != place:
            _here.connection, _here.place = _opened(place[1]), place
        with _here.connection:
            return _here.connection.execute(query, values).fetchone()
    except (sqlite3.Error, OSError):
        return None


def _folder() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else Path(tempfile.gettempdir()) / f"anonymization-{os.getuid()}"


def _opened(folder: Path) -> sqlite3.Connection:
    import av

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to somebody else")
    connection = sqlite3.connect(folder / f"files-{_FORMAT}-{av.__version__}.sqlite", timeout=10)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=OFF")
    connection.execute(_TABLE)
    return connection
