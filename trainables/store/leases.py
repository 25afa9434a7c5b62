"""Leases: the right to compute a stage, which one live worker has at a time, and the next one when that has died.

A lease is a file `<key>.lease.<N>`, which nobody ever rewrites. To take over from the holder of N is to create N + 1, which
only one can. A process has one heartbeat in a storage, a file `heartbeats/<name>` that all of its leases name. No two clocks
are compared: whoever waits watches the heartbeat and calls the holder dead when it has not moved for LEASE_SECONDS of its own
clock. Between two looks, in which it may have been paused as well, a third of that counts at most.

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
import weakref
from typing import NamedTuple

from trainables.store.files import Files

log = logging.getLogger(__name__)

HEARTBEATS = "heartbeats"  # the folder of a storage
HEARTBEAT_SECONDS = 2.0  # on a directory
LEASE_SECONDS = 30.0  # a holder whose heartbeat has not moved for so long counts as dead
_WRITES_COST = 3  # an object store bills each write: there a heartbeat is so many times slower
_LOOK_BEATS = 5  # a holder looks whether its leases have passed on every so many beats


class Superseded(RuntimeError):
    """A lease has passed on to another worker, or was released: nothing more may be written under it."""


class Lease:
    """The right to compute a stage, held inside a `with` statement, in which the heartbeat of the process moves.

    Each successor of a holder that did not release it has a higher `generation`, from 1.
    """

    def __init__(self, files: Files, folder: str, key: str, generation: int) -> None:
        self._files, self._folder, self._key, self.generation = files, folder, key, generation
        self._heart = _Heart.of(files)
        self._me = f"{self._heart.holder} {uuid.uuid4().hex[:12]}"
        self._lost = threading.Event()

    @property
    def path(self) -> str:
        return _path(self._folder, self._key, self.generation)

    @property
    def heartbeat(self) -> str:
        """The file that moves while the process of the holder lives."""
        return self._heart.path

    def __enter__(self) -> Lease:
        self._heart.enter(self)
        return self

    def __exit__(self, *error: object) -> None:
        self._heart.leave(self)
        try:
            self._release()
        except Exception as problem:  # the result is stored already, and the lease expires by itself
            log.warning("%s: not released (%s)", self.path, problem)

    def require(self) -> None:
        """Raises Superseded unless this worker holds the lease still. To be called before each write that it guards."""
        self.look()
        self.require_so_far()

    def require_so_far(self) -> None:
        """Raises Superseded if the heartbeat or `require` has found that the lease has passed on; asks nobody."""
        if self._lost.is_set():
            raise Superseded(f"{self._folder}/{self._key}: this worker was paused for long, and another one took over")

    def look(self) -> bool:
        """Whether this worker holds the lease still."""
        after = _path(self._folder, self._key, self.generation + 1)
        if not self._lost.is_set() and (self._files.glance(self.path) != self._me.encode() or self._files.exists(after)):
            self._lost.set()
        return not self._lost.is_set()

    def create(self) -> bool:
        """Whether this worker was the first to create it."""
        return self._files.create(self.path, self._me.encode())

    def _release(self) -> None:
        if not self.look():
            return  # the files of its successor say who holds it
        for generation in _generations(self._files, self._folder, self._key):
            if generation < self.generation:
                self._files.remove(_path(self._folder, self._key, generation))
        self._files.remove(self.path)  # deleted last: while it exists, no new lease starts again from 1


class _Heart:
    """What moves while this process holds leases in a storage, however many. A thread keeps it moving and, at times, looks
    whether the leases are still held.
    """

    _lock = threading.Lock()

    def __init__(self, files: Files) -> None:
        self._files, self._held = files, set[Lease]()
        self.holder = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:12]}"
        self.path = _heartbeat(self.holder)
        self._beats, self._done = 0, threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of(cls, files: Files) -> _Heart:
        """That of this process, which may have been forked from another one."""
        with cls._lock:
            name = os.getpid(), files.storage
            heart = _hearts.get(name)
            if heart is None:
                heart = _hearts[name] = _Heart(files)
            return heart

    def enter(self, lease: Lease) -> None:
        with self._lock:
            self._held.add(lease)
            if len(self._held) == 1:
                self._done = threading.Event()
                self._thread = threading.Thread(target=self._beat, args=(self._done,), daemon=True)
                self._thread.start()

    def leave(self, lease: Lease) -> None:
        with self._lock:
            self._held.discard(lease)
            last = None if self._held else self._thread
            if last is not None:
                self._done.set()
        if last is not None:
            last.join()

    def _beat(self, done: threading.Event) -> None:
        seconds = HEARTBEAT_SECONDS * (1 if self._files.directory is not None else _WRITES_COST)
        first = self._beats
        while not done.wait(seconds):
            self._beats += 1
            try:
                self._files.replace(self.path, str(self._beats).encode())
                if self._beats % _LOOK_BEATS == 0:
                    for lease in self._held.copy():
                        lease.look()
            except Exception as error:  # a network failure of a moment must not end the heartbeat
                log.warning("%s: heartbeat failed (%s)", self.path, error)
        if self._beats > first:
            try:
                self._files.remove(self.path)  # a file that is missing counts as one that has not moved
            except Exception as problem:
                log.warning("%s: not removed (%s)", self.path, problem)


class _Look(NamedTuple):
    """What a watcher has seen of a lease: how long, of its own seconds, nothing had moved at its look `when`."""

    generation: int
    content: bytes
    beat: bytes | None
    watched: float
    when: float


_hearts: weakref.WeakValueDictionary[tuple[int, str], _Heart] = weakref.WeakValueDictionary()  # by process and storage


class Leases:
    """The leases of a storage as one worker sees them: it remembers how long each heartbeat has not moved under its eyes."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._seen: dict[str, _Look] = {}
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
            self._files.remove(_heartbeat(content.decode()))
        return lease

    def holder(self, folder: str, key: str) -> str:
        """Returns host and process of the live worker that holds a stage, or an empty string."""
        generation, content = self._current(folder, key)
        return _name(content) if generation and not self._dead(f"{folder}/{key}", generation, content) else ""

    def last_holder(self, folder: str, key: str) -> str:
        """Returns host and process of the holder that `take` or `holder` has seen last, or an empty string; asks nobody."""
        seen = self._seen.get(f"{folder}/{key}")
        return "" if seen is None else _name(seen.content)

    def moved(self, folder: str, key: str) -> bool:
        """Whether this worker has seen a heartbeat move."""
        return f"{folder}/{key}" in self._moved

    def _current(self, folder: str, key: str) -> tuple[int, bytes]:
        generation = max(_generations(self._files, folder, key), default=0)
        if generation == 0:
            return 0, b""
        content = self._files.glance(_path(folder, key, generation))
        return (0, b"") if content is None else (generation, content)  # None: released meanwhile

    def _dead(self, stage: str, generation: int, content: bytes) -> bool:
        if _died_here(content):
            return True
        now, beat, watched = time.monotonic(), self._files.glance(_heartbeat(content.decode())), 0.0
        seen = self._seen.get(stage)
        if seen is not None and (seen.generation, seen.content) == (generation, content) and beat in (seen.beat, None):
            beat, watched = seen.beat, seen.watched + min(now - seen.when, LEASE_SECONDS / 3)
        elif seen is not None:
            self._moved.add(stage)
        self._seen[stage] = _Look(generation, content, beat, watched, now)
        return watched > LEASE_SECONDS


def _path(folder: str, key: str, generation: int) -> str:
    return f"{folder}/{key}.lease.{generation}"


def _heartbeat(holder: str) -> str:
    """The file of the heartbeat of a holder, which is named in each of its leases: host, process, and what sets it apart."""
    return f"{HEARTBEATS}/{holder.split()[2]}"


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
