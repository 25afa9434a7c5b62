"""How many frames fit into memory at a time, by what one frame took."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path

_SHARE = 0.5  # of the memory that is free, for the network


def bytes_taken(run: Callable[[], object]) -> int:
    """How much the memory of this process grows at most while `run` runs, in bytes."""
    before = _peak(reset=True)
    run()
    return max(0, _peak() - before)


def fitting(batch: int, one: int, free: int) -> int:
    """As many frames of `one` byte each as fit into `free` bytes, at most `batch`; one at least."""
    return max(1, min(batch, int(_SHARE * free / one))) if one > 0 and free > 0 else batch


def free_bytes() -> int:
    """What this process may still take: of the machine, and of its control group where that has a limit. 0: not known."""
    found = []
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(1024 * int(lines["MemAvailable"].split()[0]))
        group = Path("/sys/fs/cgroup")
        found.append(int((group / "memory.max").read_text()) - int((group / "memory.current").read_text()))
    except (OSError, ValueError, KeyError):
        pass
    return max(0, min(found, default=0))


def _peak(reset: bool = False) -> int:
    """The most memory that this process has held, or, where Linux lets it be reset, since then."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(lines["VmHWM"].split()[0])
    except (OSError, ValueError, KeyError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
