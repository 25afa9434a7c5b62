"""For tests of the store: an outcome, a clock that stands still, and claims of stages."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from trainables.store import Lease, Outcome, StageStore

OUTCOME = Outcome({"top1": 0.5}, [{"loss": 1.0}], {"w": torch.arange(3.0)}, {"a.png": b"picture"}, ("a note",), 2.0)


class Clock:
    """Stands in for the module `time`: how long a machine takes for a test decides nothing."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


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
