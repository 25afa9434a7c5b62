"""Files that are never half written."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from analysis.read.store import AnalysisError


def new_token() -> str:
    """What the names of unfinished files begin with; no two are the same."""
    return secrets.token_hex(6)


def name_beside(path: Path, token: str = "") -> Path:
    """A name in the folder of `path`, of its suffix; no longer form of the name, which may be as long as names can be.

    It is the one that belongs to `token`, or a new one.
    """
    return path.with_name(f".{token or new_token()}.partial{path.suffix}")


@contextmanager
def whole(path: Path, token: str = "") -> Iterator[Path]:
    """A name to write to, which becomes `path` at the end. Raises AnalysisError where either cannot be written."""
    beside = name_beside(path, token)
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise AnalysisError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
