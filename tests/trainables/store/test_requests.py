"""How much an object store is asked: the number of requests does not grow with what else the storage holds."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from study.schedule.costs import Costs
from tests.support.stages import declared_stage
from trainables.store import Outcome, StageStore
from trainables.store.files import Files
from trainables.store.inventory import entries

ASKED = ("cat_file", "exists", "ls", "find", "cat", "pipe_file")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """The calls of a storage in memory, which is asked as an object store is; those that it makes itself are not counted."""
    calls: list[tuple[str, Any]] = []
    inside = [0]

    def counted(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: MemoryFileSystem, *given: Any, **named: Any) -> Any:
            if not inside[0]:
                calls.append((name, named.get("prefix", given[0] if given else "")))
            inside[0] += 1
            try:
                return method(self, *given, **named)
            finally:
                inside[0] -= 1

        return call

    for name in ASKED:
        monkeypatch.setattr(MemoryFileSystem, name, counted(name, getattr(MemoryFileSystem, name)))
    return calls


def filled(stages: int) -> StageStore:
    """A store with so many stored reconstructions, whose files hold no tensors."""
    store = StageStore(f"memory://{uuid.uuid4().hex}")
    for number in range(stages):
        record = {"seconds": 2.0, "steps": 4, "device": "CPU", "depends_on": {"config": {"seed": number}}}
        store.files.replace(f"stages/reconstruct/k{number:04}/record.json", json.dumps(record).encode())
        store.files.replace(f"stages/reconstruct/k{number:04}/abc/state.pt", b"state")
    return store


@pytest.mark.parametrize("stages", [2, 200])
def test_a_waiting_trial_lists_the_leases_of_its_stage_alone(stages: int, asked: list[tuple[str, Any]]) -> None:
    store = filled(stages)
    other = StageStore(store.files.storage)
    lease = store.try_claim("reconstruct", "k")
    assert lease is not None
    asked.clear()
    assert other.try_claim("reconstruct", "k") is None
    assert other.last_holder("reconstruct", "k") == store.holder("reconstruct", "k") != ""
    of_other, of_holder = asked[:3], asked[3:]
    assert [name for name, _ in of_other] == ["find", "cat_file", "cat_file"], (
        "a poll: its leases listed; one, and its heartbeat"
    )
    assert of_other[0] == ("find", "k.lease.")
    assert [name for name, _ in of_holder] == ["find", "cat_file", "cat_file"]


def test_names_that_begin_alike_are_found_and_no_others(tmp_path: Any) -> None:
    for storage in (f"memory://{uuid.uuid4().hex}", str(tmp_path)):
        files = Files(storage)
        for path in ("s/k.lease.1", "s/k.lease.12", "s/kk.lease.3", "s/k/record.json", "s/k.damaged-1/a/b", "s/k.damaged-1/c"):
            files.replace(path, b"x")
        assert sorted(files.names("s", "k.lease.")) == ["k.lease.1", "k.lease.12"]
        assert files.names("s", "k.damaged-") == ["k.damaged-1"]
        assert sorted(files.names("s")) == ["k", "k.damaged-1", "k.lease.1", "k.lease.12", "kk.lease.3"]
        assert files.names("nowhere", "k") == files.names("s", "nothing") == []
        assert files.read_all(["s/k.lease.1", "s/nothing", "s/k/record.json"]) == {"s/k.lease.1": b"x", "s/k/record.json": b"x"}


@pytest.mark.parametrize(("wanted", "most"), [(10, 10), (150, 1)])
def test_what_is_stored_is_asked_for_at_once(wanted: int, most: int, asked: list[tuple[str, Any]]) -> None:
    store = filled(100)
    store.files.replace("stages/reconstruct/k0150/abc/state.pt", b"no record yet")
    asked.clear()
    keys = {f"k{number:04}" for number in range(160 - wanted, 160)}
    assert store.stored("reconstruct", keys) == {f"k{number:04}" for number in range(160 - wanted, 100)}
    assert len(asked) <= most


def test_records_are_read_many_at_once(asked: list[tuple[str, Any]]) -> None:
    store = filled(100)
    asked.clear()
    assert len(list(store.records("reconstruct", most=40))) == 40
    assert len(asked) == 2
    asked.clear()
    assert Costs(store, ["reconstruct"]).devices == {"reconstruct": {"CPU"}}
    assert len(asked) == 2
    asked.clear()
    found = entries(store)
    assert [entry.seconds for entry in found] == [2.0] * 100
    assert len(asked) == 2, "one listing, one batch of records"


def test_a_directory_says_the_same(tmp_path: Any) -> None:
    stage = declared_stage("reconstruct")
    assert stage is not None
    store = StageStore(tmp_path)
    for key in ("a", "b"):
        store.write("reconstruct", key, Outcome({"loss": 1.0}), {"config": {}}, {})
    assert store.stored("reconstruct", {"a", "b", "c"}) == {"a", "b"}
    assert store.stored("warm_up", {"a"}) == set()
