"""The memory that this process takes, as Linux counts it."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


_MMAP_THRESHOLD = -3  # of mallopt(3)


def bytes_taken(work: Callable[[], object]) -> int:
    """Bytes that the process holds at most while `work` runs, beyond what it held before.

    Meanwhile blocks of 1 MiB and more go back to the system when they are freed: glibc would keep those of up to 32 MiB, a
    fifth of a training step.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_THRESHOLD, 2**20)
    libc.malloc_trim(0)  # memory that was freed and kept would be taken first
    _RESET.write_text("5")  # the most so far is what there is now
    before = _kilobytes("VmRSS")
    try:
        work()
        return (_kilobytes("VmHWM") - before) * 1024
    finally:
        libc.mallopt(_MMAP_THRESHOLD, 32 * 2**20)  # where glibc's own bound ends up


def _kilobytes(name: str) -> int:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1])
