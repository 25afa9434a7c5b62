"""The memory that this process takes, as Linux counts it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def bytes_taken(work: Callable[[], object]) -> int:
    """Bytes that the process holds at most while `work` runs, beyond what it held before."""
    ctypes.CDLL(None).malloc_trim(0)  # memory that was freed and kept would be taken first
    _RESET.write_text("5")  # the most so far is what there is now
    before = _kilobytes("VmRSS")
    work()
    return (_kilobytes("VmHWM") - before) * 1024


def _kilobytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
