"""Files that are never half written.

Until it is finished, a file has a hidden name and is locked by the process that writes it. The system gives up a lock when its
process dies, on this machine or on another one of a shared file system: so what nobody writes any longer is told and removed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analysis.read.store import AnalysisError

_UNFINISHED = re.compile(r"\.[0-9a-f]{12}\.partial(\..*)?")  # see `name_beside` and `new_token`


def new_token() -> str:
    """What the names of unfinished files begin with; no two are the same."""
    return secrets.token_hex(6)


def name_beside(path: Path, token: str = "") -> Path:
    """A name in the folder of `path`, of its suffix; no longer form of the name, which may be as long as names can be.

    It is the one that belongs to `token`, or a new one.
    """
    return path.with_name(f".{token or new_token()}.partial{path.suffix}")


def hold(path: Path) -> int:
    """Makes an empty file for this process to write, and returns the descriptor that holds it: close it when the file has its
    final name or is gone. Raises OSError where it cannot be made.

    Where the file system knows no locks the file is not held, and `remove_left` leaves it alone.
    """
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
        except OSError:
            return held
        if _is(held, path):
            return held
        os.close(held)  # `remove_left` was between the two steps and has taken it away


def remove_left(folders: Iterable[Path]) -> None:
    """Removes what processes that were killed have left unfinished in these folders; what is being written stays."""
    for folder in folders:
        try:
            names = os.listdir(folder)
        except OSError:  # no output has been made there yet
            continue
        for path in (folder / name for name in names if _UNFINISHED.fullmatch(name)):
            with suppress(OSError):  # held by who writes it, or just finished
                held = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if _is(held, path):
                        path.unlink()
                finally:
                    os.close(held)


def _is(held: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(held), os.stat(path))
    except FileNotFoundError:
        return False


@contextmanager
def unfinished(beside: Path) -> Iterator[None]:
    """A file of this name (see `name_beside`), held by this process; at the end it is removed where it has got no other name.

    Raises OSError where it cannot be made.
    """
    held = None
    try:
        held = hold(beside)
        yield
    finally:
        with suppress(OSError):  # a name that is too long, or no folder: then it is not there
            beside.unlink(missing_ok=True)
        if held is not None:
            os.close(held)


@contextmanager
def whole(path: Path, token: str = "") -> Iterator[Path]:
    """A name to write to, which becomes `path` at the end. Raises AnalysisError where either cannot be written."""
    beside = name_beside(path, token)
    try:
        with unfinished(beside):
            yield beside
            os.replace(beside, path)
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written ({error.strerror})") from None
