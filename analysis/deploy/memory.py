"""How many frames fit into memory at a time, by what one frame took."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_SHARE = 0.5  # of the memory that is free, for the network
_LOOK_SECONDS = 0.002
_NEAR = 2**20  # bytes that a process may take between two looks


def bytes_taken(run: Callable[[], object]) -> int:
    """How much the memory of this process grows at most while `run` runs, in bytes."""
    if _forget_peak():
        before = _held("VmHWM")
        run()
        return max(0, _held("VmHWM") - before)
    seen, ended = [_held("VmRSS")], threading.Event()

    def look() -> None:
        while not ended.wait(_LOOK_SECONDS):
            seen.append(_held("VmRSS"))

    looking = threading.Thread(target=look, daemon=True)
    looking.start()
    try:
        result = run()
        seen.append(_held("VmRSS"))
        del result  # held until here, as it counts
    finally:
        ended.set()
        looking.join()
    return max(seen) - seen[0]


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


def _forget_peak() -> bool:
    """Whether Linux lets the most memory that this process has held be counted anew; some containers and virtual kernels take
    the request and do nothing."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _held("VmHWM") - _held("VmRSS") < _NEAR


def _held(what: str) -> int:
    """A line of this process's memory in Linux's /proc, in bytes; elsewhere the most it has held."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
        return 1024 * int(lines[what].split()[0])
    except (OSError, ValueError, KeyError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else 1024 * most
