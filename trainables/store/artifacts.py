"""Artifacts of stages: committed all or nothing, verified when read, computed by one worker at a time."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import socket
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainables.store import leases
from trainables.store.files import Files
from trainables.store.leases import Lease, Leases

log = logging.getLogger(__name__)

STAGES = "stages"
RECORD, _STATE = "record.json", "state.pt"
ANONYMIZER = "anonymizer"  # the weights of the anonymizer, in the state of the stage that trains it
_ASKED_EACH = 50  # outcomes of a stage that an object store is asked for one by one
_CHECKPOINT, _CHECKSUM = re.compile(r"checkpoint\.(\d+)\.pt"), 64  # begins with its SHA-256 in hex


def digest(value: object) -> str:
    """Returns a hash of a value that JSON can hold; the order of keys in mappings does not matter."""
    return _hashed(canonical(value))


def canonical(value: object) -> str:
    """The JSON of which `digest` is the hash."""
    return json.dumps(value, sort_keys=True)


def digest_of_parts(parts: Mapping[str, str]) -> str:
    """`digest` of a mapping of which each value is given as `canonical` makes it, for those that many mappings share."""
    return _hashed("{" + ", ".join([f"{canonical(name)}: {parts[name]}" for name in sorted(parts)]) + "}")


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass(frozen=True)
class Outcome:
    """The result of a stage.

    `metrics` are its final figures, `history` has one row of metrics an epoch, `state` holds tensors and plain values that
    torch.save can store, `files` are artifacts by name. `seconds` is the time it took, over all workers that had a part in it.
    `device` is "CPU" or the name of the GPU; it is empty in outcomes stored before it was recorded.
    """

    metrics: Mapping[str, float]
    history: list[dict[str, float]] = field(default_factory=list)
    state: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    device: str = ""


class Progress:
    """The time a stage has taken, over all workers that computed a part of it, and notes on how it went."""

    def __init__(self) -> None:
        self._start, self._before = time.monotonic(), 0.0
        self.notes: list[str] = []

    @property
    def seconds(self) -> float:
        return self._before + time.monotonic() - self._start

    def leave_out(self, seconds: float) -> None:
        """Does not count the last `seconds`, in which the stage only waited for another one."""
        self._start += seconds

    def state_dict(self) -> dict[str, Any]:
        return {"seconds": self.seconds, "notes": self.notes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over a saved state.

        Of several parts of a stage the last one saved counts, as it includes the time of the others.
        """
        self._before = max(self._before, state["seconds"])
        self.notes = [*state["notes"], *(note for note in self.notes if note not in state["notes"])]


class Work:
    """The last two checkpoints of a stage that is being computed. A worker that takes over the stage continues from them.

    Where it is written under a `lease`, a write raises Superseded once that has passed on.
    """

    def __init__(self, files: Files, folder: str, lease: Lease | None = None, progress: Progress | None = None) -> None:
        self._files, self._folder, self._lease = files, folder, lease
        self.progress = progress or Progress()

    def require_so_far(self) -> None:
        """Raises Superseded if the lease is known to have passed on, so that computing more is in vain."""
        if self._lease is not None:
            self._lease.require_so_far()

    def part(self, name: str) -> Work:
        """Returns the checkpoints of a part of the stage; they are deleted together with the stage's own."""
        return Work(self._files, f"{self._folder}/{name}", self._lease, self.progress)

    def read(self) -> bytes | None:
        """Returns the last checkpoint that passes its checksum, or None.

        A damaged one is logged, noted in the record and deleted.
        """
        for number in sorted(self._numbers(), reverse=True):
            content = self._files.read(self._path(number))
            if content is not None and _checksum(content[_CHECKSUM:]).encode() == content[:_CHECKSUM]:
                return content[_CHECKSUM:]
            if content is not None:
                self.progress.notes.append(f"checkpoint {self._path(number)} was damaged; went on from the one before")
                log.warning(self.progress.notes[-1])
                self._files.remove(self._path(number))
        return None

    def write(self, content: bytes) -> None:
        """Writes a checkpoint, whole or not at all, and keeps the one before it as well."""
        before = self._numbers()
        last, step = max(before, default=0), 1
        if self._lease is not None:
            self._lease.require()
            # one that is paused from here on, and completes its write later, has a lower number than all of its successors
            step = self._lease.generation
        self._files.replace(self._path(last + step), _checksum(content).encode() + content)
        for old in before - {last}:
            self._files.remove(self._path(old))

    def _path(self, number: int) -> str:
        return f"{self._folder}/checkpoint.{number}.pt"

    def _numbers(self) -> set[int]:
        found = (_CHECKPOINT.fullmatch(name) for name in self._files.names(self._folder))
        return {int(match[1]) for match in found if match}


class StageStore:
    """The stored stages of a storage, which is a directory or a URI of an object store. It is not safe for several threads.

    Raises ConfigError for a protocol that is unknown or whose package is not installed.
    """

    def __init__(self, storage: str | Path) -> None:
        self.files = Files(storage)
        self._leases = Leases(self.files)
        self._held: dict[tuple[str, str], Lease] = {}

    @property
    def directory(self) -> Path | None:
        """The storage, if it is a directory."""
        return self.files.directory

    def require(self) -> None:
        """Raises ConfigError unless files can be made in the storage, and made exclusively."""
        self.files.require()

    @property
    def poll_seconds(self) -> float:
        """Seconds to wait before asking again for a stage that another worker holds.

        Longer on object stores, which bill requests.
        """
        return leases.HEARTBEAT_SECONDS / (1 if self.directory is None else 4)

    def has(self, stage: str, key: str) -> bool:
        """Whether an outcome is stored; it has not been verified."""
        return self.files.exists(f"{_path(stage, key)}/{RECORD}")

    def stored(self, stage: str, keys: Collection[str]) -> set[str]:
        """Those of `keys` whose outcome is stored; none has been verified. On a directory each is asked for that may be there;
        an object store lists what the stage has, a thousand files a request, where that is less than to ask for each.
        """
        if self.directory is None and len(keys) > _ASKED_EACH:
            files = (info.path.split("/") for info in self.files.tree(f"{STAGES}/{stage}"))
            return {path[2] for path in files if path[3:] == [RECORD] and path[2] in keys}
        if self.directory is not None:
            keys = set(keys).intersection(self.files.names(f"{STAGES}/{stage}"))
        return {key for key in keys if self.has(stage, key)}

    def records(self, stage: str, most: int | None = None) -> Iterator[Mapping[str, Any]]:
        """The records of stored outcomes of a stage, of `most` at most, with `depends_on`, `seconds`, `device`, ...; they are
        not verified.
        """
        keys = [name for name in self.files.names(f"{STAGES}/{stage}") if "." not in name][:most]
        for content in self.files.read_all([f"{_path(stage, key)}/{RECORD}" for key in keys]).values():
            with contextlib.suppress(ValueError):  # a damaged one is found out when it is read
                yield json.loads(content)

    def work(self, stage: str, key: str) -> Work:
        """Where the one who computes this stage keeps its checkpoints."""
        progress = Progress()
        if self.files.names(f"{STAGES}/{stage}", f"{key}.damaged-"):
            progress.notes.append(f"{stage} {key}: what was stored was damaged; it was computed again")
        return Work(self.files, f"{_path(stage, key)}.work", self._held.get((stage, key)), progress)

    def try_claim(self, stage: str, key: str) -> Lease | None:
        """Returns the lease of a stage, to be held in a `with` statement; None while another live worker holds it.

        Whoever waits calls this again on the same object: once the holder's heartbeat has not moved for LEASE_SECONDS, or its
        process is gone from this host, the lease passes on. Read the outcome again once the lease is held: the holder before
        may have stored it. Once it has passed on, what this object would write of the stage raises Superseded.
        """
        lease = self._leases.take(f"{STAGES}/{stage}", key)
        if lease is not None:
            self._held[stage, key] = lease
        return lease

    def last_holder(self, stage: str, key: str) -> str:
        """Returns host and process of the worker for which `try_claim` has returned None last; asks nobody."""
        return self._leases.last_holder(f"{STAGES}/{stage}", key)

    def holder(self, stage: str, key: str) -> str:
        """Returns host and process of the live worker that holds the lease of a stage, or an empty string."""
        return self._leases.holder(f"{STAGES}/{stage}", key)

    def beats(self, stage: str, key: str) -> bool:
        """Whether the holder's heartbeat has moved between calls of `holder` on this object."""
        return self._leases.moved(f"{STAGES}/{stage}", key)

    def remove(self, stage: str, key: str) -> None:
        """Deletes a stored outcome, which readers see whole or not at all. The caller must hold the lease of the stage."""
        path = _path(stage, key)
        if self.directory is None:
            self.files.remove(f"{path}/{RECORD}")
            self.files.remove_tree(path)
        else:
            aside = f"{STAGES}/{stage}/.{key}.{uuid.uuid4().hex[:12]}"
            if self.files.rename(path, aside):
                self.files.remove_tree(aside)

    def read(self, stage: str, key: str) -> Outcome | None:
        """Returns the stored outcome, or None if there is none or it is damaged.

        An artifact with a missing file or a wrong checksum is logged and set aside, or deleted where the storage cannot rename.
        """
        import torch

        path = _path(stage, key)
        raw = self.files.glance(f"{path}/{RECORD}")
        if raw is None and (self.directory is None or not self.files.exists(path)):
            return None
        try:
            record = json.loads(_present(raw, RECORD))
            at = f"{path}/{record.get('at', '')}"
            files = {name: _present(self.files.read(at + name), name) for name in record["files"]}
            for name, checksum in record["files"].items():
                if _checksum(files[name]) != checksum:
                    raise ValueError(f"{name} fails its checksum")
            state = torch.load(io.BytesIO(files.pop(_STATE)), map_location="cpu", weights_only=True)
            circumstances = tuple(record["notes"]), record["seconds"], record.get("device", "")
            return Outcome(record["metrics"], record["history"], state, files, *circumstances)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, EOFError) as error:
            self._set_aside(stage, key, raw, str(error))
        return None

    def write(
        self, stage: str, key: str, outcome: Outcome, depends_on: Mapping[str, Any], circumstances: Mapping[str, Any]
    ) -> None:
        """Stores an outcome under its key, all or nothing, and drops its checkpoint.

        `circumstances`, such as the decoder of its videos, are kept in its record and are no part of the key. If several
        workers write the same key, the first one wins: outcomes of the same key are the same. Raises Superseded for a worker
        whose lease has passed on.
        """
        import torch

        buffer = io.BytesIO()
        torch.save(dict(outcome.state), buffer)
        files = {_STATE: buffer.getvalue(), **outcome.files}
        attempt = uuid.uuid4().hex[:12]
        record = {
            "stage": stage,
            "key": key,
            "depends_on": depends_on,
            "metrics": dict(outcome.metrics),
            "history": outcome.history,
            "notes": list(outcome.notes),
            "seconds": outcome.seconds,
            "device": outcome.device,
            "state": sorted(outcome.state),
            "host": socket.gethostname(),
            "pid": os.getpid(),
            **circumstances,
            "at": "" if self.directory else f"{attempt}/",  # where its files are, beside this record
            "files": {name: _checksum(content) for name, content in files.items()},
        }
        commit = self._commit_by_rename if self.directory else self._commit_by_record
        if (lease := self._held.get((stage, key))) is not None:
            lease.require()
        commit(_path(stage, key), attempt, files, json.dumps(record, indent=1).encode())
        self.files.remove_tree(f"{_path(stage, key)}.work")

    def _commit_by_rename(self, path: str, attempt: str, files: Mapping[str, bytes], record: bytes) -> None:
        folder, _, key = path.rpartition("/")
        aside = f"{folder}/.{key}.{attempt}"
        for name, content in {**files, RECORD: record}.items():
            self.files.replace(f"{aside}/{name}", content)
        if not self.files.rename(aside, path):
            self.files.remove_tree(aside)

    def _commit_by_record(self, path: str, attempt: str, files: Mapping[str, bytes], record: bytes) -> None:
        for name, content in files.items():
            self.files.replace(f"{path}/{attempt}/{name}", content)
        if not self.files.create(f"{path}/{RECORD}", record):
            self.files.remove_tree(f"{path}/{attempt}")
            return
        for name in self.files.names(path):  # files of workers that died before they wrote their record, or that come too late
            if name not in (RECORD, attempt):
                self.files.remove_tree(f"{path}/{name}")

    def _set_aside(self, stage: str, key: str, record: bytes | None, problem: str) -> None:
        path = _path(stage, key)
        if self.files.read(f"{path}/{RECORD}") != record:
            return  # another worker has set it aside, or even computed it anew
        log.warning("%s %s: stored artifact is damaged (%s); it is set aside and computed again", stage, key, problem)
        if self.directory is not None:
            self.files.rename(path, f"{path}.damaged-{uuid.uuid4().hex[:8]}")
            return
        self.files.remove(f"{path}/{RECORD}")
        with contextlib.suppress(ValueError, KeyError, TypeError):  # otherwise its files go with the next commit
            self.files.remove_tree(f"{path}/{json.loads(record or b'')['at']}".rstrip("/"))


def _path(stage: str, key: str) -> str:
    return f"{STAGES}/{stage}/{key}"


def _present(content: bytes | None, name: str) -> bytes:
    if content is None:
        raise ValueError(f"{name} is missing")
    return content


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
