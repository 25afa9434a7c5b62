"""Artifacts of stages under the hash of what they depend on: written aside, renamed, verified when read.

    <storage>/stages/<stage>/<key>/      record.json, state.pt and files; exists only when complete
    <storage>/stages/<stage>/<key>.work/ checkpoints of the one who computes it now
    <storage>/stages/<stage>/<key>.lease who that is; refreshed while it lives

Works on any directory that all workers share; needs only atomic rename and exclusive create.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 30.0  # a lease not refreshed for so long belongs to a dead worker
_RECORD, _STATE = "record.json", "state.pt"


def digest(value: object) -> str:
    """Hash of anything JSON can hold; keys of mappings in any order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Outcome:
    """What a stage leaves behind. `state` is what torch.save can hold; `history` has one row of metrics an epoch."""

    metrics: Mapping[str, float]
    history: list[dict[str, float]] = field(default_factory=list)
    state: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


class StageStore:
    def __init__(self, storage: str | Path) -> None:
        self.root = Path(storage).absolute() / "stages"

    def path(self, stage: str, key: str) -> Path:
        return self.root / stage / key

    def work(self, stage: str, key: str) -> Path:
        """Where the one who computes this stage keeps its checkpoints."""
        return self.root / stage / f"{key}.work"

    def read(self, stage: str, key: str) -> Outcome | None:
        """The stored outcome; None if there is none, or if it fails its checksum (which is said, and it is moved away)."""
        import torch

        path = self.path(stage, key)
        try:
            record = json.loads((path / _RECORD).read_text())
            for name, checksum in record["files"].items():
                if _checksum(path / name) != checksum:
                    raise ValueError(f"{name} fails its checksum")
            state = torch.load(path / _STATE, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            if not path.exists():
                return None
            problem = "a file is missing"
        except (ValueError, KeyError, OSError, RuntimeError, EOFError) as error:
            problem = str(error)
        else:
            files = {name: (path / name).read_bytes() for name in record["files"] if name != _STATE}
            return Outcome(record["metrics"], record["history"], state, files, tuple(record["notes"]), record["seconds"])
        log.warning("%s %s: stored artifact is damaged (%s); it is set aside and computed again", stage, key, problem)
        with contextlib.suppress(FileNotFoundError):
            path.rename(path.with_name(f"{key}.damaged-{uuid.uuid4().hex[:8]}"))
        return None

    def write(self, stage: str, key: str, outcome: Outcome, depends_on: Mapping[str, Any]) -> None:
        """Stores an outcome under its key, all or nothing, and drops its checkpoints."""
        import torch

        target = self.path(stage, key)
        aside = target.with_name(f".{key}.{uuid.uuid4().hex[:8]}")
        aside.mkdir(parents=True)
        torch.save(dict(outcome.state), aside / _STATE)
        for name, content in outcome.files.items():
            (aside / name).write_bytes(content)
        record = {
            "stage": stage,
            "key": key,
            "depends_on": depends_on,
            "metrics": dict(outcome.metrics),
            "history": outcome.history,
            "notes": list(outcome.notes),
            "seconds": outcome.seconds,
            "host": socket.gethostname(),
            "files": {name: _checksum(aside / name) for name in (_STATE, *outcome.files)},
        }
        (aside / _RECORD).write_text(json.dumps(record, indent=1))
        _sync(aside)
        try:
            os.rename(aside, target)
        except OSError:
            if not (target / _RECORD).is_file():
                raise
            shutil.rmtree(aside)  # another one, whose lease had run out, was first; the same key is the same outcome
        shutil.rmtree(self.work(stage, key), ignore_errors=True)

    @contextlib.contextmanager
    def claim(self, stage: str, key: str, waiting: Callable[[str], None] = lambda holder: None) -> Iterator[None]:
        """Holds the right to compute a stage; waits while another live worker has it, takes over from a dead one."""
        lease = self.root / stage / f"{key}.lease"
        lease.parent.mkdir(parents=True, exist_ok=True)
        me = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex}"
        while not _take(lease, me):
            if holder := _holder(lease):  # otherwise it has just become free
                waiting(holder)
                time.sleep(HEARTBEAT_SECONDS / 4)
        done = threading.Event()
        heart = threading.Thread(target=_beat, args=(lease, me, done), daemon=True)
        heart.start()
        try:
            yield
        finally:
            done.set()
            heart.join()
            if _holder(lease) == me:
                lease.unlink(missing_ok=True)


def write_file(path: Path, content: bytes) -> None:
    """Writes aside, syncs, renames: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(aside, path)


def _take(lease: Path, me: str) -> bool:
    aside = lease.with_name(f".{lease.name}.{uuid.uuid4().hex[:8]}")
    aside.write_text(me)
    try:
        os.link(aside, lease)  # exclusive, and with its content from the first moment on
        return True
    except FileExistsError:
        pass
    finally:
        aside.unlink()
    try:
        stale = time.time() - lease.stat().st_mtime > LEASE_SECONDS or _died_here(_holder(lease))
    except FileNotFoundError:
        return False  # just released: try again
    if stale:
        with contextlib.suppress(FileNotFoundError):  # of several who see it stale one moves it away; then all try again
            lease.rename(lease.with_name(f".{lease.name}.stale-{uuid.uuid4().hex[:8]}"))
    return False


def _died_here(holder: str) -> bool:
    """Whether the holder ran on this host and its process is gone: no need to wait for its lease to run out."""
    host, _, rest = holder.partition(" ")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(rest.split()[0]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError, IndexError):
        return False
    return False


def _holder(lease: Path) -> str:
    try:
        return lease.read_text()
    except FileNotFoundError:
        return ""


def _beat(lease: Path, me: str, done: threading.Event) -> None:
    while not done.wait(HEARTBEAT_SECONDS):
        if _holder(lease) == me:
            with contextlib.suppress(OSError):
                os.utime(lease)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(directory: Path) -> None:
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
