"""Threads beside the caller: none is left where an interrupt comes while they are started."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from analysis.deploy.beside import Ahead, Behind


def _slowly() -> Iterator[int]:
    for number in range(100):
        time.sleep(0.02)
        yield number


@pytest.fixture(params=["before", "after"])
def interrupted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every start of a thread is interrupted, before it runs or once it does."""
    start = threading.Thread.start

    def interrupt(thread: threading.Thread) -> None:
        if request.param == "after":
            start(thread)
            time.sleep(0.05)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupt)


def test_what_was_read_ahead_can_be_closed(interrupted: None) -> None:
    items = _slowly()
    with pytest.raises(KeyboardInterrupt), Ahead(items, 2):
        pass
    items.close()  # raises ValueError while a thread is in it


def test_nobody_goes_on_writing(interrupted: None) -> None:
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Behind(time.sleep, 2):
        pass
    end = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.01)
    assert threading.active_count() == before
