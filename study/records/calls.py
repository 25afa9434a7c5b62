"""The time limits of single calls to MLflow: its client takes one for all of them, from the environment."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

CREATE_SECONDS = 60.0  # what is created is not asked for twice: its answer is worth waiting for
_UPLOAD_SECONDS, _UPLOAD_BYTES_PER_SECOND = 60.0, 2**18
_TIMEOUT, _RETRIES = "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"

_lock = threading.RLock()  # the environment is one for all threads


def upload_seconds(size: int) -> float:
    """The time that an upload of `size` bytes may take: that of a line of 256 KiB a second, and a slow answer."""
    return _UPLOAD_SECONDS + size / _UPLOAD_BYTES_PER_SECOND


@contextlib.contextmanager
def within(seconds: float, retries: int | None = None) -> Iterator[None]:
    """Calls to MLflow inside may wait so long for an answer, or longer if the environment says so; None: as many retries."""
    with _lock:
        before = {name: os.environ.get(name) for name in (_TIMEOUT, _RETRIES)}
        os.environ[_TIMEOUT] = str(max(int(seconds), int(before[_TIMEOUT] or 0)))
        if retries is not None:
            os.environ[_RETRIES] = str(retries)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
