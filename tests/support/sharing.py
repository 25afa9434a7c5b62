"""What is costly to make and only read is made once for all worker processes of a test session."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(temporary: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name`, which the first that asks for it fills with `make(folder)`, while the others wait."""
    base = temporary.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, whole = base / f"shared_{name}", base / f"shared_{name}.whole"
    with (base / f"shared_{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of one that was killed while it made it
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder
