"""Leases: one worker at a time computes a stage, and the next one when that has died, or was taken for dead."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.support.claims import OUTCOME, Clock, stored, wait_for_claim, wait_until
from trainables.store import Lease, StageStore, Superseded, leases

ELSEWHERE = b"another-host 1 abc"


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
            patched.setattr(store.files, "glance", fails)
            wait_until(lambda: "heartbeat failed" in caplog.text)
        before = store.files.read(lease.heartbeat)
        wait_until(lambda: store.files.read(lease.heartbeat) != before)
        monkeypatch.setattr(store.files, "glance", fails)
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
            before = store.files.read(lease.heartbeat)
            assert other.try_claim("minimax", "k") is None
            clock.now += leases.LEASE_SECONDS / 3
            wait_until(lambda before=before: store.files.read(lease.heartbeat) != before)
        assert other.beats("minimax", "k")


def test_all_leases_of_a_process_have_one_heartbeat_which_ends_with_the_last(
    store: StageStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    replace_file = store.files.replace
    monkeypatch.setattr(store.files, "replace", lambda path, content: (written.append(path), replace_file(path, content)))
    with wait_for_claim(store) as first:
        with wait_for_claim(store, "minimax", "other") as second:
            assert (first.heartbeat, first.path != second.path) == (second.heartbeat, True)
            wait_until(lambda: len(written) > 3)
        before = len(written)
        wait_until(lambda: len(written) > before + 3)
        assert set(written) == {first.heartbeat}
    assert store.files.read(first.heartbeat) is None
    again = store.try_claim("minimax", "k")
    assert again is not None
    with again:
        wait_until(lambda: store.files.read(again.heartbeat) is not None)


def test_a_heartbeat_is_slower_where_writes_are_billed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object store asks 5 dollars for a million: 500 processes write 7 million a day."""
    waited: list[float] = []

    class Done:
        def wait(self, seconds: float) -> bool:
            waited.append(seconds)
            return True

    for storage in ("memory://test-slower", "/tmp/not-made"):
        leases._Heart(StageStore(storage).files)._beat(Done())  # type: ignore[arg-type]
    assert waited == [6.0, 2.0]
    assert waited[0] * 4 < leases.LEASE_SECONDS


def test_that_a_heartbeat_is_gone_does_not_make_its_other_leases_live_longer(store: StageStore, clock: Clock) -> None:
    """Of a process that has died, whoever takes the first lease deletes the heartbeat of all."""
    for key in ("k", "first"):
        store.files.replace(f"stages/minimax/{key}.lease.1", ELSEWHERE)
    store.files.replace("heartbeats/abc", b"7")
    for clock.now in (0.0, 10.0, 20.0, 30.0):
        assert store.try_claim("minimax", "first") is None
    for clock.now in (30.0, 40.0, 50.0):
        assert store.try_claim("minimax", "k") is None
    assert store.try_claim("minimax", "first") is not None
    assert store.files.read("heartbeats/abc") is None
    for clock.now in (60.0, 60.1):
        taken = store.try_claim("minimax", "k")
    assert taken is not None


def test_a_holder_whose_heartbeat_moves_lives_whatever_it_wrote_into_its_lease(store: StageStore, clock: Clock) -> None:
    """In its heartbeat, or in the lease itself, as versions before did."""
    for moving, written in (("heartbeats/abc", b""), ("stages/minimax/k.lease.1", ELSEWHERE + b" ")):
        store.files.replace("stages/minimax/k.lease.1", ELSEWHERE)
        for beat in range(8):
            clock.now += 10.0
            store.files.replace(moving, written + str(beat).encode())
            assert store.try_claim("minimax", "k") is None
    assert store.beats("minimax", "k")


def test_only_a_process_of_this_host_is_known_to_have_ended(store: StageStore) -> None:
    """That nobody here has the number of a process elsewhere says nothing of it."""
    nobody = f" {2**31 - 1} abc 7".encode()  # more than any system counts to
    store.files.replace("stages/minimax/k.lease.1", b"another-host" + nobody)
    assert store.try_claim("minimax", "k") is None
    assert store.holder("minimax", "k") == f"another-host {2**31 - 1}"
    store.files.replace("stages/minimax/k.lease.1", socket.gethostname().encode() + nobody)
    assert store.holder("minimax", "k") == ""
    assert store.try_claim("minimax", "k") is not None


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
        wait_until(lease._lost.is_set)
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
