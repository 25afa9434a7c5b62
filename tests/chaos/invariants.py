"""What must hold after a study, whatever was killed: pure functions from what was seen to what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from reference import Expected

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
OF_TIME = ("seconds",)  # figures that differ from run to run have this in their names


@dataclass(frozen=True)
class Run:
    """A run as MLflow has it. `points`: metric -> (step, value) in the order in which they were logged. `early`: it is marked
    as that of a trial that was stopped early.
    """

    key: str
    name: str
    status: str
    reason: str = ""
    points: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    early: bool = False


@dataclass(frozen=True)
class Decided:
    """What was decided of an anonymizer, by its key, after `epoch` epochs, and by which figures. Those with one `rung` were
    compared with each other.
    """

    rung: str
    anonymizer: str
    epoch: int
    top1: float
    leakage: float
    stop: bool
    reason: str = ""

    def surpasses(self, other: Decided) -> bool:
        no_worse = self.rung == other.rung and self.top1 >= other.top1 and self.leakage <= other.leakage
        return no_worse and (self.top1, self.leakage) != (other.top1, other.leakage)


@dataclass(frozen=True)
class Line:
    """A line of the journal: `what` is `epoch` or `stage`."""

    what: str
    key: str
    epoch: int = -1


@dataclass(frozen=True)
class Seen:
    """What a study left behind. `others`: runs that are no trial's, such as the study's own.

    `artifacts` and `checkpoints`: how often a fault destroyed one of a stage, by its key. `decided`: who was stopped early, and
    who was not. `before`: the runs and the journal's length when all was done, before the same command was given once more;
    None where it was not.
    """

    runs: Sequence[Run]
    others: Sequence[Run] = ()
    journal: Sequence[Line] = ()
    artifacts: Mapping[str, int] = field(default_factory=dict)
    checkpoints: Mapping[str, int] = field(default_factory=dict)
    decided: Sequence[Decided] = ()
    before: tuple[Sequence[Run], int] | None = None

    def stop_of(self, trial: Expected) -> Decided | None:
        """The decision that ended a trial; None for one that goes on to its end."""
        key = trial.stages.get(trial.anonymizer)
        return next((one for one in self.decided if one.stop and one.anonymizer == key), None)


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
        "stopped early without cause": _without_cause(seen),
        "computed or reported after a stop": _after_stop(expected, seen),
        "changed by a rerun": _changed(seen),
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
        stop = seen.stop_of(trial)
        reason = trial.reason if stop is None else stop.reason
        status = KILLED if stop is not None else FAILED if trial.reason else FINISHED
        if run.status != status or run.early != (stop is not None):
            yield f"{run.name}: {run.status}{' early' if run.early else ''} {run.reason.splitlines()[:1]}"
        elif reason and reason not in run.reason:
            yield f"{run.name}: for {run.reason!r}, not {reason!r}"


def _doubled(seen: Seen) -> Iterator[str]:
    for run in seen.runs:
        for name, points in run.points.items():
            for step, count in Counter(step for step, _ in points).items():
                if count > 1:
                    yield f"{run.name}: {name} at {step}: {count} times"


def _missing(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    for run, trial in _pairs(expected, seen):
        stop = seen.stop_of(trial)
        for name, curve in trial.curves.items():
            there = {step for step, _ in run.points.get(name, ())}
            wanted = (step for step in curve if stop is None or _before_stop(trial, stop, name, step))
            yield from (f"{run.name}: {name} at {step}" for step in wanted if step not in there)
        if stop is None:
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
    """A destroyed checkpoint costs the epoch since the one before it, a destroyed artifact all epochs of its stage. The last
    epoch before a stop is told again by whoever finds that the trial was stopped.
    """
    told = {(one.anonymizer, one.epoch - 1) for one in seen.decided if one.stop}
    computed = Counter((line.key, line.epoch) for line in seen.journal if line.what == "epoch")
    again: Counter[str] = Counter()
    for (key, epoch), count in computed.items():
        if (key, epoch) in told:
            continue
        again[key] += max(0, count - 1 - seen.artifacts.get(key, 0))
    for key, count in again.items():
        if count > seen.checkpoints.get(key, 0):
            yield f"{key}: {count} epochs again, {seen.checkpoints.get(key, 0)} checkpoints destroyed"


def _without_cause(seen: Seen) -> Iterator[str]:
    for own in seen.decided:
        if own.stop and not any(other.surpasses(own) for other in seen.decided):
            yield f"{own.anonymizer} after {own.epoch} epochs: nobody is better in both figures"


def _after_stop(expected: Mapping[str, Expected], seen: Seen) -> Iterator[str]:
    """A trial that was stopped is no point anywhere: nothing of it is computed, and nothing recorded, from the rung on."""
    ends = {one.anonymizer: one.epoch for one in seen.decided if one.stop}
    for line in seen.journal:
        if line.key in ends and (line.what == "stage" or line.epoch >= ends[line.key]):
            yield f"{line.key}: {line.what} {line.epoch}, stopped after {ends[line.key]} epochs"
    for run, trial in _pairs(expected, seen):
        if (stop := seen.stop_of(trial)) is None:
            continue
        for name, points in run.points.items():
            later = [step for step, _ in points if name in trial.curves and not _before_stop(trial, stop, name, step)]
            if later or name in trial.metrics:
                yield f"{run.name}: {name} {later or points}, stopped after {stop.epoch} epochs"


def _before_stop(trial: Expected, stop: Decided, curve: str, step: int) -> bool:
    """Whether a point belongs to what a trial computes before it is stopped."""
    for role in trial.stages:
        if curve.startswith(f"{role}/"):
            return role != trial.anonymizer or step < stop.epoch
        if role == trial.anonymizer:
            return False
    return False


def _changed(seen: Seen) -> Iterator[str]:
    if seen.before is None:
        return
    runs, lines = seen.before
    after = {run.key: run for run in seen.runs}
    yield from (f"{run.name}: {after[run.key].status}, was {run.status}" for run in runs if after.get(run.key) != run)
    yield from (f"{line.key}: {line.what} {line.epoch} was computed" for line in seen.journal[lines:])


def _pairs(expected: Mapping[str, Expected], seen: Seen) -> Iterator[tuple[Run, Expected]]:
    return ((run, expected[run.key]) for run in seen.runs if run.key in expected)
