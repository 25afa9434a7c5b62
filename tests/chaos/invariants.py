"""What must hold after a study, whatever was killed: pure functions from what was seen to what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reference import Expected

FINISHED, FAILED = "FINISHED", "FAILED"
OF_TIME = ("seconds",)  # figures that differ from run to run have this in their names


@dataclass(frozen=True)
class Run:
    """A run as MLflow has it. `points`: metric -> (step, value) in the order in which they were logged."""

    key: str
    name: str
    status: str
    reason: str = ""
    points: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """A line of the journal: `what` is `epoch` or `stage`."""

    what: str
    key: str
    epoch: int = -1


@dataclass(frozen=True)
class Seen:
    """What a study left behind. `others`: runs that are no trial's, such as the study's own.

    `artifacts` and `checkpoints`: how often a fault destroyed one of a stage, by its key.
    """

    runs: Sequence[Run]
    others: Sequence[Run] = ()
    journal: Sequence[Line] = ()
    artifacts: Mapping[str, int] = field(default_factory=dict)
    checkpoints: Mapping[str, int] = field(default_factory=dict)


def violations(expected: Mapping[str, Expected], seen: Seen) -> dict[str, list[str]]:
    """Invariant -> what violates it, for all invariants."""
    checks = {
        "runs per trial not 1": _runs(expected, seen),
        "left RUNNING": (f"{run.name} {run.status}" for run in (*seen.runs, *seen.others) if run.status == "RUNNING"),
        "ended otherwise": _ends(expected, seen),
        "points doubled": _doubled(seen),
        "points missing": _missing(expected, seen),
        "points of other value": _other_values(expected, seen),
        "points out of order": _out_of_order(seen),
        "figures differ": _figures(expected, seen),
        "stages computed again": _stages(seen),
        "epochs computed again": _epochs(seen),
    }
    return {name: list(found) for name, found in checks.items()}


def _runs(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    counts = Counter(run.key for run in seen.runs)
    for key, trial in expected.items():
        if counts[key] != 1:
            yield f"{trial.name}: {counts[key]}"
    yield from (f"{run.name}: no trial of the study" for run in seen.runs if run.key not in expected)


def _ends(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    for run, trial in _pairs(expected, seen):
        if run.status != (FAILED if trial.reason else FINISHED):
            yield f"{run.name}: {run.status} {run.reason.splitlines()[:1]}"
        elif trial.reason and trial.reason not in run.reason:
            yield f"{run.name}: for {run.reason!r}, not {trial.reason!r}"


def _doubled(seen: Seen) -> Iterator[str]:
    for run in seen.runs:
        for name, points in run.points.items():
            for step, count in Counter(step for step, _ in points).items():
                if count > 1:
                    yield f"{run.name}: {name} at {step}: {count} times"


def _missing(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    for run, trial in _pairs(expected, seen):
        for name, curve in trial.curves.items():
            there = {step for step, _ in run.points.get(name, ())}
            yield from (f"{run.name}: {name} at {step}" for step in curve if step not in there)
        yield from (f"{run.name}: {name}" for name in trial.metrics if not run.points.get(name))


def _other_values(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    for run, trial in _pairs(expected, seen):
        for name, curve in trial.curves.items():
            for step, value in run.points.get(name, ()):
                if step not in curve:
                    yield f"{run.name}: {name} has a step {step}"
                elif value != curve[step]:
                    yield f"{run.name}: {name} at {step}: {value!r}, not {curve[step]!r}"


def _out_of_order(seen: Seen) -> Iterator[str]:
    for run in seen.runs:
        for name, points in run.points.items():
            steps = [step for step, _ in points]
            if steps != sorted(steps):
                yield f"{run.name}: {name}: {steps}"


def _figures(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    """Bit for bit."""
    for run, trial in _pairs(expected, seen):
        for name, value in trial.metrics.items():
            found = run.points.get(name, ())
            if found and found[-1][1] != value and not any(word in name for word in OF_TIME):
                yield f"{run.name}: {name} {found[-1][1]!r}, not {value!r}"


def _stages(seen: Seen) -> Iterator[str]:
    stored = Counter(line.key for line in seen.journal if line.what == "stage")
    for key, count in stored.items():
        if count > 1 + seen.artifacts.get(key, 0):
            yield f"{key}: stored {count} times, destroyed {seen.artifacts.get(key, 0)} times"


def _epochs(seen: Seen) -> Iterator[str]:
    """A destroyed checkpoint costs the epoch since the one before it, a destroyed artifact all epochs of its stage."""
    computed = Counter((line.key, line.epoch) for line in seen.journal if line.what == "epoch")
    again: Counter[str] = Counter()
    for (key, _), count in computed.items():
        again[key] += max(0, count - 1 - seen.artifacts.get(key, 0))
    for key, count in again.items():
        if count > seen.checkpoints.get(key, 0):
            yield f"{key}: {count} epochs again, {seen.checkpoints.get(key, 0)} checkpoints destroyed"


def _pairs(expected: Mapping[str, Expected], seen: Seen) -> Iterator[tuple[Run, Expected]]:
    return ((run, expected[run.key]) for run in seen.runs if run.key in expected)
