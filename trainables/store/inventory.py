"""What is in a storage: done, in work, damaged or abandoned; and how to delete it without disturbing live workers."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainables.config import ConfigError
from trainables.one_line import reason
from trainables.store import leases
from trainables.store.artifacts import ANONYMIZER, RECORD, STAGES, StageStore
from trainables.store.files import FileInfo

State = Literal["done", "in work", "abandoned work", "damaged"]
_NAMES = (  # the first pattern that fits the name of a file or folder in the folder of a stage
    ("damaged", re.compile(r"(?P<key>[^.]+)\.damaged-\w+")),
    ("lease", re.compile(r"(?P<key>[^.]+)\.lease\.\d+")),
    ("work", re.compile(r"(?P<key>[^.]+)\.work")),
    ("work", re.compile(r"\.(?P<key>[^.]+)\..+")),  # being written aside
    ("artifact", re.compile(r"(?P<key>[^.]+)")),
)


@dataclass(frozen=True)
class Entry:
    """What the storage holds of one stage in one state.

    `size` is in bytes, `age` the seconds since the last write, `seconds` the time the stage took. `anonymizer`: it is done, and
    the trials that it is of have their anonymizer here alone.
    """

    stage: str
    key: str
    state: State
    size: int
    age: float
    seconds: float | None
    holder: str
    folders: tuple[str, ...]
    anonymizer: bool = False


def entries(store: StageStore) -> list[Entry]:
    """Returns all entries by stage and key. Waits up to LEASE_SECONDS for the heartbeats of lease holders.

    Raises ConfigError if there are no stages, or they cannot be read.
    """
    try:
        files = store.files.tree(STAGES)
    except Exception as error:  # each backend has errors of its own
        raise ConfigError(
            f"storage {store.files.storage}: cannot be read ({reason(error, kind=True)}); check the place and your rights"
        ) from None
    if not files:
        raise ConfigError(f"storage {store.files.storage}: no stages there; give the storage of a study")
    groups: dict[tuple[str, str], dict[str, list[FileInfo]]] = defaultdict(lambda: defaultdict(list))
    for file in files:
        _, stage, *rest = file.path.split("/")
        for kind, pattern in _NAMES:
            if rest and (match := pattern.fullmatch(rest[0])):
                groups[stage, match["key"]][kind].append(file)
                break
    leased = [group for group, kinds in groups.items() if kinds["lease"]]
    holders = _watch(store, leased)
    paths = {f"{STAGES}/{stage}/{key}/{RECORD}" for stage, key in groups}
    records = store.files.read_all([file.path for file in files if file.path in paths])
    found = [
        entry for group, kinds in groups.items() for entry in _of_stage(store, records, *group, kinds, holders.get(group, ""))
    ]
    return sorted(found, key=lambda entry: (entry.stage, entry.key, entry.state))


def delete(store: StageStore, entry: Entry) -> bool:
    """Deletes what `entry` names while holding its lease. Returns False, and deletes nothing, if a live worker holds it."""
    lease = store.try_claim(entry.stage, entry.key)
    if lease is None:
        return False
    with lease:
        if entry.state == "done":
            store.remove(entry.stage, entry.key)
        for folder in entry.folders:
            store.files.remove_tree(folder)
    return True


def _of_stage(
    store: StageStore,
    records: Mapping[str, bytes],
    stage: str,
    key: str,
    kinds: dict[str, list[FileInfo]],
    holder: str,
) -> list[Entry]:
    artifact, work, damaged = kinds["artifact"], kinds["work"] + kinds["lease"], kinds["damaged"]
    seconds, anonymizer = None, False
    record = f"{STAGES}/{stage}/{key}/{RECORD}"
    is_done = any(file.path == record for file in artifact)
    if is_done:
        with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged record is detected when it is read
            known = json.loads(records.get(record, b""))
            seconds, anonymizer = float(known["seconds"]), ANONYMIZER in known.get("state", ())
    elif store.files.directory is None:
        work = work + artifact  # files wait for their record
    else:
        damaged = damaged + artifact
    states: list[tuple[State, list[FileInfo]]] = [
        ("done", artifact if is_done else []),
        ("in work" if holder else "abandoned work", work),
        ("damaged", damaged),
    ]
    return [
        Entry(
            stage,
            key,
            state,
            sum(file.size for file in files),
            max(0.0, time.time() - max(file.modified for file in files)),
            seconds if state == "done" else None,
            holder if state == "in work" else "",
            tuple(dict.fromkeys("/".join(file.path.split("/")[:3]) for file in files if file not in kinds["lease"])),
            anonymizer and state == "done",
        )
        for state, files in states
        if files
    ]


def _watch(store: StageStore, stages: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Returns the holders that are alive: those whose heartbeat moves within LEASE_SECONDS."""
    living: dict[tuple[str, str], str] = {}
    end = time.monotonic() + leases.LEASE_SECONDS + leases.HEARTBEAT_SECONDS
    while True:
        holders = {stage: store.holder(*stage) for stage in stages if stage not in living}
        living |= {stage: holder for stage, holder in holders.items() if holder and store.beats(*stage)}
        unknown = {stage: holder for stage, holder in holders.items() if holder and stage not in living}
        if not unknown or time.monotonic() > end:
            return living | unknown
        time.sleep(leases.HEARTBEAT_SECONDS / 4)
