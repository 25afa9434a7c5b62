"""A store on each kind of storage, and a clock that the test moves."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.requests_s3 import bucket
from tests.support.claims import Clock
from trainables.store import StageStore, leases


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URI of a bucket of a server that behaves like S3."""
    with bucket() as (storage, _):
        yield storage


@pytest.fixture(params=["directory", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StageStore]:
    if request.param == "directory":
        yield StageStore(tmp_path)
        return
    if request.param == "s3":
        store = StageStore(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")
    else:
        store = StageStore(f"memory://test-{uuid.uuid4().hex}/storage")
    yield store
    store.files.remove_tree("stages")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(leases, "time", clock)
    monkeypatch.setattr(leases, "HEARTBEAT_SECONDS", 0.01)
    return clock
