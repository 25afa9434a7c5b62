"""Artifacts: all or nothing, verified when read, computed by one worker at a time."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from trainables.store import Outcome, StageStore

OUTCOME = Outcome({"top1": 0.5}, [{"loss": 1.0}], {"w": torch.arange(3.0)}, {"a.png": b"picture"}, ("a note",), 2.0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    assert store.read("minimax", "k") is None
    store.write("minimax", "k", OUTCOME, {"seed": 0})
    found = store.read("minimax", "k")
    assert found is not None
    assert (found.metrics, found.history, found.files, found.notes) == (
        {"top1": 0.5}, [{"loss": 1.0}], {"a.png": b"picture"}, ("a note",)
    )  # fmt: skip
    assert torch.equal(found.state["w"], torch.arange(3.0))


def test_writing_twice_keeps_one(tmp_path: Path) -> None:
    store = StageStore(tmp_path)
    store.write("minimax", "k", OUTCOME, {})
    store.write("minimax", "k", OUTCOME, {})
    assert [p.name for p in (tmp_path / "stages" / "minimax").iterdir()] == ["k"]


@pytest.mark.parametrize("name", ["state.pt", "a.png", "record.json"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_artifact_is_said_and_computed_again(
    tmp_path: Path, name: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = StageStore(tmp_path)
    store.write("minimax", "k", OUTCOME, {})
    path = store.path("minimax", "k") / name
    if damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert store.read("minimax", "k") is None
    assert "damaged" in caplog.text
    store.write("minimax", "k", OUTCOME, {})
    assert store.read("minimax", "k") is not None


def _hold(root: Path, held: multiprocessing.synchronize.Event) -> None:
    with StageStore(root).claim("minimax", "k"):
        held.set()
        time.sleep(60)


def test_a_claim_waits_for_a_live_holder_and_takes_over_from_a_killed_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    held = context.Event()
    holder = context.Process(target=_hold, args=(tmp_path, held))
    holder.start()
    assert held.wait(60)
    waits = 0

    def waiting(who: str) -> None:
        nonlocal waits
        waits += 1
        assert str(holder.pid) in who
        if waits == 2:
            os.kill(holder.pid, signal.SIGKILL)  # type: ignore[arg-type]
            holder.join()

    with StageStore(tmp_path).claim("minimax", "k", waiting):
        assert waits >= 2
    assert not list((tmp_path / "stages" / "minimax").glob("*.lease"))


def test_a_holder_on_another_host_is_dead_when_its_lease_runs_out(tmp_path: Path) -> None:
    lease = tmp_path / "stages" / "minimax" / "k.lease"
    lease.parent.mkdir(parents=True)
    lease.write_text("another-host 1 abc")
    os.utime(lease, (time.time() - 3600, time.time() - 3600))
    with StageStore(tmp_path).claim("minimax", "k", lambda who: None):
        pass
