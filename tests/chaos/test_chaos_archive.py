"""The chaos run of an archive in short, and each of its invariants. `make chaos` is the long one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from archive import ChaosArchive, Left, Step, Video, archive_table, archive_violations, run_archive
from faults import kill_driver, kill_trial

A, B = Video(b"frames of a", (0.0, 0.04), "record of a"), Video(b"frames of b", (0.0,), "record of b")
EXPECTED = {"a.mkv": A, "b.mkv": B}
STAMPS = {name: (number, 100) for number, name in enumerate(("a.mkv", "a.mkv.json", "b.mkv", "b.mkv.json"))}
STEPS = (Step("begun", "a.mkv", 7), Step("made", "a.mkv", 7), Step("begun", "b.mkv", 8), Step("made", "b.mkv", 8))
CLEAN = Left(list(STAMPS), EXPECTED, (*STEPS, Step("begun", "a.mkv", 9)), STAMPS, STAMPS, len(STEPS), "SUCCEEDED")


def with_steps(*more: Step) -> Left:
    """A folder whose journal has more steps, all before the command was given once more."""
    return replace(CLEAN, steps=(*STEPS, *more), steps_before=len(STEPS) + len(more))


def test_a_clean_archive_violates_nothing() -> None:
    found = archive_violations(EXPECTED, CLEAN)
    assert len(found) == 9
    assert not any(found.values())


@pytest.mark.parametrize(
    ("left", "invariant", "said"),
    [
        (replace(CLEAN, videos={"a.mkv": A}), "videos missing", "b.mkv"),
        (replace(CLEAN, names=["a.mkv", "a.mkv.json", "b.mkv"]), "records missing", "b.mkv.json"),
        (replace(CLEAN, names=[*CLEAN.names, "a.mkv.mp4"]), "files too many", "a.mkv.mp4"),
        (replace(CLEAN, videos={"a.mkv": A, "b.mkv": replace(B, frames=b"")}), "frames or times differ", "b.mkv"),
        (replace(CLEAN, videos={"a.mkv": replace(A, times=(0.0, 0.08)), "b.mkv": B}), "frames or times differ", "a.mkv"),
        (replace(CLEAN, videos={"a.mkv": A, "b.mkv": replace(B, record="other")}), "records differ", "b.mkv"),
        (replace(CLEAN, names=[*CLEAN.names, ".0.partial.mkv"]), "unfinished files left", ".0.partial.mkv"),
        (with_steps(Step("begun", "a.mkv", 9), Step("made", "a.mkv", 9)), "made again", "a.mkv by 9"),
        (with_steps(Step("begun", "a.mkv", 7), Step("made", "a.mkv", 7)), "made again", "a.mkv by 7"),
        (replace(CLEAN, stamps=STAMPS | {"a.mkv": (9, 100)}), "changed by a rerun", "a.mkv"),
        (replace(CLEAN, stamps=STAMPS | {"c.mkv": (9, 100)}), "changed by a rerun", "c.mkv"),
        (replace(CLEAN, ended="FAILED"), "ended otherwise", "FAILED"),
    ],
)
def test_each_invariant_finds_what_violates_it_and_only_that(left: Left, invariant: str, said: str) -> None:
    found = archive_violations(EXPECTED, left)
    assert {name: len(what) for name, what in found.items() if what} == {invariant: 1}
    assert found[invariant] == [said]


def test_who_is_taken_for_dead_may_end_beside_the_one_that_took_its_place() -> None:
    steps = (Step("begun", "a.mkv", 1), Step("begun", "a.mkv", 2), Step("made", "a.mkv", 2), Step("made", "a.mkv", 1))
    left = replace(CLEAN, steps=(*steps, *STEPS[2:]), steps_before=6)
    assert archive_violations(EXPECTED, left)["made again"] == []
    left = replace(CLEAN, steps_before=0)
    assert archive_violations(EXPECTED, left)["changed by a rerun"] == ["a.mkv was made", "b.mkv was made"]


@pytest.mark.timeout(1800)  # more than a busy machine takes
def test_an_archive_loses_and_doubles_nothing(tmp_path: Path) -> None:
    archive = ChaosArchive.of(6, tmp_path, frames=40)
    faults = (kill_trial, kill_driver)
    result = run_archive(archive, faults, seed=0, isolated=False, keep=tmp_path / "kept", workers=1)
    assert list(result.injected) == [fault.__name__ for fault in faults]
    # once more when all was done; before that, where the worker did not end its last video after the driver was killed
    assert result.submissions in (2, 3)
    assert not any(result.found.values()), f"{result.found}\n{archive_table({'seed 0': result}, archive)}"
