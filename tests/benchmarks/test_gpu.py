"""The minutes that a GPU is at hand: nothing that was measured is lost, and the wheels brought along are those declared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks import gpu
from tests.benchmarks.speed_setup import Size, sizes
from tests.support import ROOT


def _fails(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    yield "first", 1.0
    raise RuntimeError("no such kernel")


def _takes_long(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    yield "first", 2.0
    time.sleep(30)


def _works(size: Size, folder: Path) -> Iterator[tuple[str, Any]]:
    yield "all", {"frames/s": 3.0}


def test_a_part_that_fails_or_takes_long_leaves_what_it_has_and_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "PARTS", {"fails": (9.0, _fails), "long": (0.1, _takes_long), "works": (9.0, _works)})
    written: list[str] = []
    content: dict[str, Any] = {"machine": {}, "parts": {}}
    gpu.measure(sizes("cpu", small=True), 1.0, lambda found: written.append(str(found["parts"])), content)
    found = content["parts"]
    assert found["fails"]["first"] == 1.0
    assert found["fails"]["error"] == "RuntimeError: no such kernel"
    assert found["long"]["first"] == 2.0
    assert found["long"]["error"] == "TooLong: not done after 0 s"
    assert found["works"]["all"] == {"frames/s": 3.0}
    assert len(written) == 3 + 3  # after each result, and after each part
    monkeypatch.setattr(gpu, "PARTS", {"works": (9.0, _works)})
    gpu.measure(sizes("cpu", small=True), 0.0, lambda found: None, content)
    assert content["parts"]["works"]["error"] == "TooLong: no time was left"


def test_the_table_says_so_until_something_was_measured() -> None:
    assert "| everything | not measured |" in gpu.table(None)


def test_the_wheels_are_packages_of_the_lock() -> None:
    """What is brought along has the versions that everything else was tried with."""
    locked = {line.split("==")[0] for line in (ROOT / "requirements.txt").read_text().splitlines()}
    names = (ROOT / "tests" / "benchmarks" / "gpu_wheels.txt").read_text().split()
    assert len(names) == 18
    assert set(names) <= locked
