"""What a retry can cure and what not, and how a trial learns that it is to stop."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from trainables import failures
from trainables.failures import Attempts, Lost, Stop, Stopped, heed_sigterm, memory_was_taken, patiently, storage_is_away
from trainables.store.files import Files


class S3Error(Exception): ...


S3Error.__module__ = "botocore.exceptions"


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.ESTALE, "Stale file handle"), True),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (S3Error(), True),
        (FileNotFoundError(errno.ENOENT, "no such file"), False),
        (PermissionError(errno.EACCES, "not yours"), False),
        (ValueError("a bug"), False),
        (MemoryError(), False),
    ],
)
def test_which_errors_are_the_storage_s(error: Exception, away: bool) -> None:
    assert storage_is_away(error) is away


def test_an_error_of_another_kind_is_no_memory_of_others() -> None:
    assert not memory_was_taken(ValueError(), 0.5)


def full(times: int) -> list[OSError]:
    return [OSError(errno.ENOSPC, "No space left on device")] * times


def test_a_full_storage_is_waited_for_and_a_bug_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_PAUSES", (0.01, 0.02))
    troubles: list[Exception] = [*full(3)]

    def compute() -> str:
        if troubles:
            raise troubles.pop()
        return "done"

    assert patiently(compute, lambda: False, lambda: False) == "done"
    troubles[:] = [ValueError("a bug")]
    with pytest.raises(ValueError, match="a bug"):
        patiently(compute, lambda: False, lambda: False)
    troubles[:] = full(10)
    with pytest.raises(Stopped):
        patiently(compute, lambda: True, lambda: False)
    assert len(troubles) == 9


def test_patience_ends_unless_the_trial_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_PAUSES", (0.01, 0.01))
    monkeypatch.setattr(failures, "STORAGE_PATIENCE_SECONDS", 0.05)
    troubles = full(30)

    def compute() -> int:
        if troubles:
            raise troubles.pop()
        return 1

    assert patiently(compute, lambda: False, lambda: True) == 1
    troubles[:] = full(1000)
    with pytest.raises(Lost, match="No space left"):
        patiently(compute, lambda: False, lambda: False)


def test_lost_workers_count_until_one_gets_on(tmp_path: Path) -> None:
    def attempt() -> Attempts:
        return Attempts(Files(tmp_path), "trials/key.attempts")

    assert [attempt().begin() for _ in range(3)] == [0, 1, 2]
    last = attempt()
    assert last.begin() == 3
    last.got_on()
    assert attempt().begin() == 0


def test_a_file_in_the_storage_stops_a_trial(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with Stop(files, "launches/a.stop", every=0.01) as stop, Stop(files, "launches/b.stop", every=0.01) as other:
        assert not stop()
        files.replace("launches/a.stop", b"stop")
        deadline = time.monotonic() + 30
        while not stop() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert stop()
        assert not stop.going
        assert not other()
    with Stop(files, "launches/a.stop") as late:
        assert late(), "known at once to a trial that only starts"


def test_sigterm_stops_the_trial_of_its_process(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        heed_sigterm()
        with Stop(Files(tmp_path), "") as stop:
            assert not stop()
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop()
            assert stop.going
    finally:
        signal.signal(signal.SIGTERM, before)
        failures._told.clear()
