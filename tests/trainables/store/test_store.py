"""Artifacts: all or nothing, verified when read, computed by one worker at a time; on a directory and on an object store."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fsspec.registry import known_implementations

from trainables.config import ConfigError
from trainables.store import Lease, Outcome, StageStore, Superseded, artifacts, leases
from trainables.store.artifacts import Progress

OUTCOME = Outcome({"top1": 0.5}, [{"loss": 1.0}], {"w": torch.arange(3.0)}, {"a.png": b"picture"}, ("a note",), 2.0)
ELSEWHERE = b"another-host 1 abc"


@pytest.fixture(params=["directory", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StageStore]:
    if request.param == "directory":
        yield StageStore(tmp_path)
        return
    store = StageStore(f"memory://test-{uuid.uuid4().hex}/storage")
    yield store
    store.files.remove_tree("stages")


class Clock:
    """Stands in for the module `time`: how long a machine takes for a test decides nothing."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    return clock


def stored(store: StageStore) -> dict[str, str]:
    """Paths of all files by their name."""
    return {file.path.rpartition("/")[2]: file.path for file in store.files.tree("stages")}


def wait_until(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_claim(store: StageStore, stage: str = "minimax", key: str = "k") -> Lease:
    lease: Lease | None = None

    def taken() -> bool:
        nonlocal lease
        lease = store.try_claim(stage, key)
        return lease is not None

    wait_until(taken)
    assert lease is not None
    return lease


def test_what_is_written_is_read(store: StageStore) -> None:
    assert store.read("minimax", "k") is None
    assert not store.has("minimax", "k")
    store.write("minimax", "k", OUTCOME, {"seed": 0}, {})
    assert store.has("minimax", "k")
    found = store.read("minimax", "k")
    assert found is not None
    assert (found.metrics, found.history, found.files, found.notes) == (
        {"top1": 0.5}, [{"loss": 1.0}], {"a.png": b"picture"}, ("a note",)
    )  # fmt: skip
    assert torch.equal(found.state["w"], torch.arange(3.0))


def test_the_records_of_a_stage_say_how_it_was_computed(store: StageStore) -> None:
    store.write("minimax", "a", replace(OUTCOME, device="CPU"), {"seed": 0}, {})
    store.write("minimax", "b", replace(OUTCOME, device="H200"), {"seed": 1}, {})
    store.write("warm_up", "c", OUTCOME, {}, {})
    store.work("minimax", "d").write(b"checkpoint")
    found = {record["key"]: (record["device"], record["seconds"]) for record in store.records("minimax")}
    assert found == {"a": ("CPU", 2.0), "b": ("H200", 2.0)}


def test_a_uri_of_a_directory_is_that_directory(tmp_path: Path) -> None:
    StageStore(f"file://{tmp_path}").write("minimax", "k", OUTCOME, {}, {})
    assert (tmp_path / "stages" / "minimax" / "k" / "record.json").is_file()
    assert StageStore(tmp_path).read("minimax", "k") is not None


def test_writing_twice_keeps_the_first_and_leaves_nothing_else(store: StageStore) -> None:
    store.work("minimax", "k").write(b"checkpoint")
    store.write("minimax", "k", OUTCOME, {}, {})
    record = store.files.read(stored(store)["record.json"])
    store.work("minimax", "k").write(b"of one who was taken over and did not notice")
    store.write("minimax", "k", OUTCOME, {}, {})
    assert sorted(stored(store)) == ["a.png", "record.json", "state.pt"]
    assert len(store.files.tree("stages")) == 3
    assert store.files.read(stored(store)["record.json"]) == record


def test_a_writer_that_died_before_its_record_is_not_seen(store: StageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    replace = store.files.replace

    def dies_at_the_second(path: str, content: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt
        replace(path, content)

    monkeypatch.setattr(store.files, "replace", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is None
    monkeypatch.undo()
    store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is not None


@pytest.mark.parametrize("name", ["state.pt", "a.png", "record.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_artifact_is_said_and_computed_again(
    store: StageStore, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store.write("minimax", "k", OUTCOME, {}, {})
    path = stored(store)[name]
    content = store.files.read(path)
    assert content is not None
    store.files.remove(path)
    if damage == "cut":
        store.files.replace(path, content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        assert store.read("minimax", "k") is None
    never_committed = (damage, name) == ("gone", "record.json") and store.directory is None
    assert ("damaged" in caplog.text) is not never_committed
    store.write("minimax", "k", OUTCOME, {}, {})
    assert store.read("minimax", "k") is not None
    if store.directory is None:
        assert len(store.files.tree("stages")) == 3, "what was damaged is gone"
    else:
        assert len(list(store.directory.glob("stages/minimax/k.damaged-*"))) == 1


def test_what_another_one_has_computed_anew_is_not_set_aside(store: StageStore) -> None:
    store.write("minimax", "k", OUTCOME, {}, {})
    store._set_aside("minimax", "k", b"the record that was damaged", "")
    assert store.read("minimax", "k") is not None


def test_a_checkpoint_is_found_by_another_worker(store: StageStore) -> None:
    assert store.work("minimax", "k").read() is None
    store.work("minimax", "k").write(b"1")
    store.work("minimax", "k").write(b"2")
    assert StageStore(store.files.storage).work("minimax", "k").read() == b"2"


def test_one_claims_and_the_others_do_not(store: StageStore) -> None:
    other = StageStore(store.files.storage)
    lease = store.try_claim("minimax", "k")
    assert lease is not None
    with lease:
        assert other.try_claim("minimax", "k") is None
        assert other.holder("minimax", "k").split()[1] == str(os.getpid())
        assert other.try_claim("minimax", "another") is not None
    assert other.holder("minimax", "k") == ""
    with wait_for_claim(other):
        pass
    assert not [name for name in stored(store) if name.startswith("k.lease")]


def test_a_claim_is_free_after_an_error(store: StageStore) -> None:
    with pytest.raises(ArithmeticError), wait_for_claim(store):
        raise ArithmeticError
    assert store.try_claim("minimax", "k") is not None


def test_a_storage_that_fails_for_a_moment_ends_neither_heartbeat_nor_stage(
    store: StageStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(path: str) -> bytes:
        raise OSError("no route to host")

    with wait_for_claim(store) as lease:
        with monkeypatch.context() as patched:
            patched.setattr(store.files, "read", fails)
            wait_until(lambda: "heartbeat failed" in caplog.text)
        before = store.files.read(lease.path)
        wait_until(lambda: store.files.read(lease.path) != before)
        monkeypatch.setattr(store.files, "read", fails)
    assert "heartbeat failed (no route to host)" in caplog.text
    assert "not released (no route to host)" in caplog.text


def claim_once_dead(store: StageStore, clock: Clock) -> Lease:
    """The lease of the next one, once the heartbeat of a holder on another host has not moved for long."""
    for clock.now in (0.0, 10.0, 20.0, 30.0):
        assert store.try_claim("minimax", "k") is None
    clock.now = 30.1
    lease = store.try_claim("minimax", "k")
    assert lease is not None
    return lease


def test_a_holder_on_another_host_is_dead_when_its_heartbeat_has_stopped(store: StageStore, clock: Clock) -> None:
    """Whatever the clocks of the two hosts say; an old file alone is no proof."""
    store.files.replace("stages/minimax/k.lease.1", ELSEWHERE + b" 7")
    with claim_once_dead(store, clock) as lease:
        assert lease.path.endswith("k.lease.2")
    assert stored(store) == {}, "the lease of the dead goes with that of its successor"


def test_a_heartbeat_keeps_a_claim(store: StageStore, clock: Clock) -> None:
    other = StageStore(store.files.storage)
    with wait_for_claim(store) as lease:
        while clock.now < 3 * leases.LEASE_SECONDS:
            before = store.files.read(lease.path)
            assert other.try_claim("minimax", "k") is None
            clock.now += leases.LEASE_SECONDS / 3
            wait_until(lambda before=before: store.files.read(lease.path) != before)
        assert other.beats("minimax", "k")


def test_only_a_process_of_this_host_is_known_to_have_ended(store: StageStore) -> None:
    """That nobody here has the number of a process elsewhere says nothing of it."""
    nobody = f" {2**31 - 1} abc 7".encode()  # more than any system counts to
    store.files.replace("stages/minimax/k.lease.1", b"another-host" + nobody)
    assert store.try_claim("minimax", "k") is None
    assert store.holder("minimax", "k") == f"another-host {2**31 - 1}"
    store.files.replace("stages/minimax/k.lease.1", socket.gethostname().encode() + nobody)
    assert store.holder("minimax", "k") == ""
    assert store.try_claim("minimax", "k") is not None


def test_the_seconds_of_a_stage_are_those_of_all_its_workers_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(artifacts, "time", clock)
    progress, clock.now = Progress(), 5.0
    assert progress.seconds == 5.0
    progress.load_state_dict({"seconds": 100.0, "notes": []})
    assert progress.seconds == 105.0
    progress.load_state_dict({"seconds": 60.0, "notes": []})  # of a part that ended before the one above was saved
    assert progress.seconds == 105.0
    progress.load_state_dict({"seconds": 200.0, "notes": []})
    progress.leave_out(2.0)
    assert progress.seconds == progress.state_dict()["seconds"] == 203.0


def test_only_one_of_several_takes_over(store: StageStore, clock: Clock) -> None:
    store.files.replace("stages/minimax/k.lease.3", ELSEWHERE)
    others = [StageStore(store.files.storage) for _ in range(3)]
    for clock.now in (0.0, 10.0, 20.0, 30.0):
        assert [other.try_claim("minimax", "k") for other in others] == [None] * 3
    clock.now = 30.1
    assert sum(other.try_claim("minimax", "k") is not None for other in others) == 1


def test_who_was_paused_while_it_watched_goes_on_watching(store: StageStore, clock: Clock) -> None:
    """Holder and watcher are paused together, as on one machine: that the heartbeat has not moved says nothing."""
    store.files.replace("stages/minimax/k.lease.1", ELSEWHERE)
    for clock.now in (0.0, 600.0, 610.0, 620.0):
        assert store.try_claim("minimax", "k") is None
    assert not store.beats("minimax", "k")
    clock.now = 620.1
    assert store.try_claim("minimax", "k") is not None


def _write_for_ever(root: Path, begun: multiprocessing.synchronize.Event, said: multiprocessing.Queue[str]) -> None:
    leases.LEASE_SECONDS, leases.HEARTBEAT_SECONDS = 1.0, 0.02
    store = StageStore(root)
    with wait_for_claim(store) as lease:
        work = store.work("minimax", "k")
        try:
            while True:
                work.write(b"of the one that was paused")
                begun.set()
                time.sleep(0.01)
        except Superseded:
            said.put("checkpoint refused")
        try:
            store.write("minimax", "k", OUTCOME, {}, {})
        except Superseded:
            said.put("stage refused")
        wait_until(lambda: not lease._heart.is_alive())
    said.put("ended")


@pytest.mark.parametrize("successor", ["computes", "has stored and left"])
def test_a_paused_holder_writes_nothing_once_it_was_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, successor: str
) -> None:
    """SIGSTOP and SIGCONT of a real process: a suspended job, a paused machine."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.02)
    context = multiprocessing.get_context("fork")  # quick: nothing is imported again
    begun, said = context.Event(), context.Queue()
    holder = context.Process(target=_write_for_ever, args=(tmp_path, begun, said))
    holder.start()
    assert begun.wait(60)
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        store = StageStore(tmp_path)
        with wait_for_claim(store) as lease:
            monkeypatch.setattr(leases, "LEASE_SECONDS", 60.0)  # its own heartbeat may be late on a busy machine
            work = store.work("minimax", "k")
            assert work.read() == b"of the one that was paused"
            work.write(b"of its successor")
            if successor == "computes":
                os.kill(holder.pid, signal.SIGCONT)
                assert [said.get(timeout=60) for _ in range(3)] == ["checkpoint refused", "stage refused", "ended"]
                lease.require()
                assert work.read() == b"of its successor"
            store.write("minimax", "k", OUTCOME, {}, {})
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    if successor == "has stored and left":
        assert [said.get(timeout=60) for _ in range(3)] == ["checkpoint refused", "stage refused", "ended"]
    holder.join(60)
    late = {name for name in stored(store) if "checkpoint" in name}  # of the write in which it was paused
    assert sorted(stored(store).keys() - late) == ["a.png", "record.json", "state.pt"], "no lease"


def test_a_heartbeat_that_was_late_is_the_last(store: StageStore, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Paused between the look at its file and the write, it may have revived the file after its successor's end."""
    replace = store.files.replace

    def pause(path: str, content: bytes) -> None:
        clock.now += 60.0
        replace(path, content)

    with wait_for_claim(store) as lease:
        monkeypatch.setattr(store.files, "replace", pause)
        wait_until(lambda: store.files.read(lease.path) is None)
        with pytest.raises(Superseded, match=r"stages/minimax/k: this worker was paused"):
            lease.require()


def test_one_that_was_taken_over_disturbs_nobody(store: StageStore, clock: Clock) -> None:
    """It slept: its heartbeat stopped, another took over, finished or not. Then it wakes up, and ends."""
    sleeper = store.try_claim("minimax", "k")
    assert sleeper is not None
    asleep = StageStore(store.files.storage)
    store.files.replace("stages/minimax/k.lease.1", ELSEWHERE)
    with claim_once_dead(asleep, clock) as lease:
        with sleeper:
            pass
        assert store.try_claim("minimax", "k") is None
        assert store.files.read(lease.path) is not None


def test_nothing_is_written_under_a_lease_that_has_passed_on(store: StageStore) -> None:
    """Its own file is still there, as it left it, and so is that of its successor."""
    assert store.try_claim("minimax", "k") is not None
    store.files.replace("stages/minimax/k.lease.2", ELSEWHERE)
    for write in (lambda: store.work("minimax", "k").write(b"1"), lambda: store.write("minimax", "k", OUTCOME, {}, {})):
        with pytest.raises(Superseded):
            write()
    assert sorted(stored(store)) == ["k.lease.1", "k.lease.2"]


def test_a_lease_taken_by_an_old_listing_is_given_back(store: StageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It saw no lease, but meanwhile there was a first and a second one, and the first is gone."""
    store.files.replace("stages/minimax/k.lease.2", ELSEWHERE)
    monkeypatch.setattr(store._leases, "_current", lambda folder, key: (0, b""))
    assert store.try_claim("minimax", "k") is None
    assert list(stored(store)) == ["k.lease.2"]


def _hold(root: Path, held: multiprocessing.synchronize.Event) -> None:
    with wait_for_claim(StageStore(root)):
        held.set()
        time.sleep(60)


def test_a_killed_holder_on_this_host_is_replaced_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(60)
    store = StageStore(tmp_path)
    assert store.try_claim("minimax", "k") is None
    assert str(holder.pid) in store.holder("minimax", "k")
    assert holder.pid is not None
    os.kill(holder.pid, signal.SIGKILL)
    holder.join()
    lease = store.try_claim("minimax", "k")
    assert lease is not None
    with lease:
        pass
    assert not list((tmp_path / "stages" / "minimax").glob("*.lease*"))


def test_a_protocol_that_cannot_be_used_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^storage sss://a/b: .*give a directory, or a URI such as s3://bucket/path$"):
        StageStore("sss://a/b")
    missing = {"class": "no_such_package.FileSystem", "err": "Install no_such_package to access it"}
    monkeypatch.setitem(known_implementations, "nosuch", missing)
    with pytest.raises(ConfigError, match=r"^storage nosuch://a/b: .*no_such_package.*install it"):
        StageStore("nosuch://a/b")


def test_a_storage_that_cannot_be_written_or_not_exclusively_is_said(store: StageStore, tmp_path: Path) -> None:
    store.require()
    assert store.files.tree("") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        StageStore(tmp_path / "file" / "storage").require()


def test_a_storage_that_overwrites_instead_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    store = StageStore("memory://overwrites")
    pipe = type(store.files._fs).pipe_file
    monkeypatch.setattr(store.files._fs, "pipe_file", lambda path, content, mode="": pipe(store.files._fs, path, content))
    with pytest.raises(ConfigError, match="cannot create files exclusively"):
        store.require()


@pytest.mark.parametrize("harm", ["truncated", "empty", "flipped"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before_and_says_so(tmp_path: Path, harm: str) -> None:
    work = StageStore(tmp_path).work("minimax", "k")
    for content in (b"first", b"second", b"third"):
        work.write(content)
    older, newer = sorted(tmp_path.glob("stages/minimax/k.work/*"))
    assert work.read() == b"third"
    whole = newer.read_bytes()
    newer.write_bytes({"truncated": whole[:-2], "empty": b"", "flipped": whole[:-1] + b"x"}[harm])
    again = StageStore(tmp_path).work("minimax", "k")
    assert again.read() == b"second"
    assert again.progress.notes == [f"checkpoint stages/minimax/k.work/{newer.name} was damaged; went on from the one before"]
    again.write(b"fourth")
    assert again.read() == b"fourth"
    assert {path.name for path in tmp_path.glob("stages/minimax/k.work/*")} == {older.name, newer.name}
