"""What is in a file, as a short hash that no copying, renaming or change of its time stamp alters."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import chain
from pathlib import Path

PART, PARTS = 16 * 2**10, 4  # a file of up to 64 KiB is hashed whole; of a larger one its size and four parts of 16 KiB
_THREADS = 16  # reading waits for the disk or the network
_TOGETHER = 16  # files a task: most are known, and looking one up takes less than a task


def contents_of(paths: Iterable[Path], whole: bool = False) -> dict[Path, str]:
    """A hash of each file: of its size and of parts spread evenly from its first to its last byte, or of all of it (`whole`).

    A file that was encoded, cut or labelled anew differs in its parts; single bytes changed between them go unseen. Of a folder
    of frames: their names and sizes, and the parts of the first, middle and last frame, or all of every frame. `whole` believes
    no time of change, and reads every file each time. Raises OSError for a path that cannot be read.
    """
    distinct = list(dict.fromkeys(paths))
    each = max(_TOGETHER, -(-len(distinct) // _THREADS))
    if len(distinct) <= each:
        return dict(_contents(distinct, whole))
    parts = [distinct[start : start + each] for start in range(0, len(distinct), each)]
    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(chain.from_iterable(pool.map(partial(_contents, whole=whole), parts)))


def _contents(paths: Sequence[Path], whole: bool) -> list[tuple[Path, str]]:
    return [(path, _content(path, whole)) for path in paths]


def _content(path: Path, whole: bool) -> str:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        return _of_folder(path, whole)
    if whole:
        return _of_all(path, found.st_size)
    return _of_parts(path, found.st_size, found.st_mtime_ns, found.st_ino)


def _of_all(path: Path, size: int) -> str:
    """Of a small file the same as `_of_parts`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(str(size).encode(), digest_size=12)).hexdigest()


@cache
def _of_parts(path: Path, size: int, changed: int, inode: int) -> str:
    """`changed` and `inode` are there so that a file replaced during this process is read again."""
    whole = size <= PART * PARTS
    starts = [0] if whole else [(size - PART) * part // (PARTS - 1) for part in range(PARTS)]
    found = hashlib.blake2b(str(size).encode(), digest_size=12)
    with path.open("rb", buffering=0) as file:
        for start in starts:
            file.seek(start)
            found.update(file.read(size if whole else PART))
    return found.hexdigest()


def _of_folder(folder: Path, whole: bool) -> str:
    files = sorted(path for path in folder.iterdir() if path.is_file())
    found = hashlib.blake2b(digest_size=12)
    for path in files:
        found.update(f"{path.name}\0{path.stat().st_size}\0".encode(errors="surrogateescape"))
    for path in files if whole or not files else (files[0], files[len(files) // 2], files[-1]):
        found.update(_content(path, whole).encode())
    return found.hexdigest()
