"""Leases: the right to compute a stage, which one live worker has at a time, and the next one when that has died.

A lease is a file `<key>.lease.<N>`. To take over from the holder of N is to create N + 1, which only one can. So nobody
ever removes or rewrites the lease of another, and no two clocks are compared: whoever waits watches the heartbeat in the
file and calls the holder dead when it has not moved for LEASE_SECONDS of its own clock. Between two looks, in which it may
have been paused as well, a third of that counts at most.

A holder may only have been paused (a suspended job or machine, a hung mount). Before each write that its lease guards it
therefore asks `Lease.require`: a lease that has passed on stays lost.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import uuid

from trainables.store.files import Files

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 2.0
LEASE_SECONDS = 30.0  # a holder whose heartbeat has not moved for so long counts as dead


class Superseded(RuntimeError):
    """A lease has passed on to another worker, or was released: nothing more may be written under it."""


class Lease:
    """The right to compute a stage, held inside a `with` statement. A thread of its own keeps its heartbeat moving.

    Each successor of a holder that did not release it has a higher `generation`, from 1.
    """

    def __init__(self, files: Files, folder: str, key: str, generation: int) -> None:
        self._files, self._folder, self._key, self.generation = files, folder, key, generation
        self._me = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:12]}"
        self._done, self._lost = threading.Event(), threading.Event()
        self._heart = threading.Thread(target=self._beat, daemon=True)

    @property
    def path(self) -> str:
        return _path(self._folder, self._key, self.generation)

    def __enter__(self) -> Lease:
        self._heart.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._heart.join()
        try:
            self._release()
        except Exception as problem:  # the result is stored already, and the lease expires by itself
            log.warning("%s: not released (%s)", self.path, problem)

    def require(self) -> None:
        """Raises Superseded unless this worker holds the lease still. To be called before each write that it guards."""
        self._held()
        self.require_so_far()

    def require_so_far(self) -> None:
        """Raises Superseded if the heartbeat or `require` has found that the lease has passed on; asks nobody."""
        if self._lost.is_set():
            raise Superseded(f"{self._folder}/{self._key}: this worker was paused for long, and another one took over")

    def _held(self) -> bool:
        after = _path(self._folder, self._key, self.generation + 1)
        if not self._lost.is_set() and (not self._mine() or self._files.exists(after)):
            self._lost.set()
        return not self._lost.is_set()

    def _release(self) -> None:
        if not self._held():
            return  # the files of its successor say who holds it
        for generation in _generations(self._files, self._folder, self._key):
            if generation < self.generation:
                self._files.remove(_path(self._folder, self._key, generation))
        self._files.remove(self.path)  # deleted last: while it exists, no new lease starts again from 1

    def create(self) -> bool:
        """Whether this worker was the first to create it."""
        return self._files.create(self.path, f"{self._me} 0".encode())

    def _mine(self) -> bool:
        return (self._files.read(self.path) or b"").startswith(self._me.encode())

    def _beat(self) -> None:
        beats = 0
        while not self._done.wait(HEARTBEAT_SECONDS):
            beats += 1
            begun = time.monotonic()
            try:
                if not self._held():
                    return
                self._files.replace(self.path, f"{self._me} {beats}".encode())
                if time.monotonic() - begun > LEASE_SECONDS - HEARTBEAT_SECONDS:
                    # paused between the two: a successor may have come and gone, and this file is its own again
                    self._lost.set()
                    self._files.remove(self.path)
            except Exception as error:  # a network failure of a moment must not end the heartbeat
                log.warning("%s: heartbeat failed (%s)", self.path, error)


class Leases:
    """The leases of a storage as one worker sees them: it remembers how long each heartbeat has not moved under its eyes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: dict[str, tuple[int, bytes, float, float]] = {}
        self._moved: set[str] = set()

    def take(self, folder: str, key: str) -> Lease | None:
        """Returns the lease of a stage that no live worker holds; None if one does, or another took it first."""
        generation, content = self._current(folder, key)
        if generation and not self._dead(f"{folder}/{key}", generation, content):
            return None
        lease = Lease(self._files, folder, key, generation + 1)
        if not lease.create():
            return None
        if max(_generations(self._files, folder, key)) > generation + 1:  # the listing was out of date
            self._files.remove(lease.path)
            return None
        if generation:
            log.warning("%s/%s: taken over from %s, which has died", folder, key, _name(content))
        return lease

    def holder(self, folder: str, key: str) -> str:
        """Returns host and process of the live worker that holds a stage, or an empty string."""
        generation, content = self._current(folder, key)
        return _name(content) if generation and not self._dead(f"{folder}/{key}", generation, content) else ""

    def last_holder(self, folder: str, key: str) -> str:
        """Returns host and process of the holder that `take` or `holder` has seen last, or an empty string; asks nobody."""
        seen = self._seen.get(f"{folder}/{key}")
        return "" if seen is None else _name(seen[1])

    def moved(self, folder: str, key: str) -> bool:
        """Whether this worker has seen a heartbeat move."""
        return f"{folder}/{key}" in self._moved

    def _current(self, folder: str, key: str) -> tuple[int, bytes]:
        generation = max(_generations(self._files, folder, key), default=0)
        if generation == 0:
            return 0, b""
        content = self._files.read(_path(folder, key, generation))
        return (0, b"") if content is None else (generation, content)  # None: released meanwhile

    def _dead(self, stage: str, generation: int, content: bytes) -> bool:
        if _died_here(content):
            return True
        now, watched = time.monotonic(), 0.0
        seen = self._seen.get(stage)
        if seen is not None and seen[:2] == (generation, content):
            watched = seen[2] + min(now - seen[3], LEASE_SECONDS / 3)
        elif seen is not None:
            self._moved.add(stage)
        self._seen[stage] = generation, content, watched, now
        return watched > LEASE_SECONDS


def _path(folder: str, key: str, generation: int) -> str:
    return f"{folder}/{key}.lease.{generation}"


def _generations(files: Files, folder: str, key: str) -> list[int]:
    start = f"{key}.lease."
    return [int(name.removeprefix(start)) for name in files.names(folder, start)]


def _name(content: bytes) -> str:
    return " ".join(content.decode().split()[:2])


def _died_here(content: bytes) -> bool:
    """Whether the holder ran on this host and its process has ended, so that its heartbeat need not be watched."""
    host, _, rest = content.decode().partition(" ")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(rest.split()[0]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, ValueError, IndexError):
        return False
    return False
