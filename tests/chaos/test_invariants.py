"""Each invariant finds what violates it, and only that, in what a study might leave behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from invariants import Decided, Line, Run, Seen, violations
from reference import Expected

CURVE = {0: 0.5, 1: 0.25}
EXPECTED = {
    "good": Expected("good", "B=0.1", metrics={"top1": 0.75, "part_seconds": 3.0}, curves={"minimax/loss": CURVE}),
    "bad": Expected("bad", "lr=1e30", reason="minimax: loss = nan at step 0"),
}
GOOD = Run(
    "good", "B=0.1", "FINISHED", points={"minimax/loss": [(0, 0.5), (1, 0.25)], "top1": [(0, 0.75)], "part_seconds": [(0, 9.0)]}
)
BAD = Run("bad", "lr=1e30", "FAILED", reason="minimax: loss = nan at step 0 of epoch 0")
OWN = Run("", "chaos.small", "FINISHED")
JOURNAL = (Line("epoch", "s1", 0), Line("epoch", "s1", 1), Line("stage", "s1"), Line("epoch", "s2", 0), Line("stage", "s2"))
CLEAN = Seen((GOOD, BAD), (OWN,), JOURNAL)


def with_points(name: str, points: list[tuple[int, float]]) -> Seen:
    return replace(CLEAN, runs=(replace(GOOD, points={**GOOD.points, name: points}), BAD))


def journal(*more: Line, **faults: dict[str, int]) -> Seen:
    return replace(CLEAN, journal=(*JOURNAL, *more), **faults)


def test_a_clean_study_violates_nothing() -> None:
    found = violations(EXPECTED, CLEAN)
    assert len(found) == 13
    assert not any(found.values())


@pytest.mark.parametrize(
    ("seen", "invariant", "said"),
    [
        (replace(CLEAN, runs=(GOOD,)), "runs per trial not 1", "lr=1e30: 0"),
        (replace(CLEAN, runs=(GOOD, GOOD, BAD)), "runs per trial not 1", "B=0.1: 2"),
        (replace(CLEAN, runs=(*CLEAN.runs, replace(BAD, key="x"))), "runs per trial not 1", "lr=1e30: no trial of the study"),
        (replace(CLEAN, others=(replace(OWN, status="RUNNING"),)), "left RUNNING", "chaos.small RUNNING"),
        (replace(CLEAN, runs=(GOOD, replace(BAD, status="KILLED"))), "ended otherwise", "lr=1e30: KILLED"),
        (replace(CLEAN, runs=(GOOD, replace(BAD, reason="no space left"))), "ended otherwise", "lr=1e30: for 'no space left'"),
        (with_points("minimax/loss", [(0, 0.5), (1, 0.25), (1, 0.25)]), "points doubled", "B=0.1: minimax/loss at 1: 2 times"),
        (with_points("other", [(0, 1.0), (0, 1.0)]), "points doubled", "B=0.1: other at 0: 2 times"),
        (with_points("minimax/loss", [(0, 0.5)]), "points missing", "B=0.1: minimax/loss at 1"),
        (with_points("minimax/loss", [(0, 0.5), (1, 0.26)]), "points of other value", "minimax/loss at 1: 0.26, not 0.25"),
        (with_points("minimax/loss", [(0, 0.5), (1, 0.25), (2, 0.1)]), "points of other value", "minimax/loss has a step 2"),
        (with_points("minimax/loss", [(1, 0.25), (0, 0.5)]), "points out of order", "B=0.1: minimax/loss: [1, 0]"),
        (with_points("top1", [(0, 0.75 + 1e-15)]), "figures differ", "B=0.1: top1 0.750000000000001"),
        (with_points("top1", []), "points missing", "B=0.1: top1"),
        (journal(Line("stage", "s2")), "stages computed again", "s2: stored 2 times, destroyed 0 times"),
        (journal(Line("stage", "s2"), artifacts={"s1": 1}), "stages computed again", "s2: stored 2 times"),
        (journal(Line("epoch", "s1", 1)), "epochs computed again", "s1: 1 epochs again, 0 checkpoints destroyed"),
        (journal(Line("epoch", "s1", 0), Line("epoch", "s1", 1), checkpoints={"s1": 1}), "epochs computed again", "s1: 2 ep"),
        (journal(Line("epoch", "s2", 0), checkpoints={"s1": 1}), "epochs computed again", "s2: 1 epochs"),
    ],
)  # fmt: skip
def test_a_violation_is_found(seen: Seen, invariant: str, said: str) -> None:
    found = violations(EXPECTED, seen)
    assert any(said in line for line in found.pop(invariant)), found
    if invariant not in ("left RUNNING", "points missing"):
        assert not any(found.values()), found


@pytest.mark.parametrize(
    "seen",
    [
        journal(Line("stage", "s1"), artifacts={"s1": 1}),
        journal(Line("epoch", "s1", 0), Line("epoch", "s1", 1), Line("stage", "s1"), artifacts={"s1": 1}),
        journal(Line("epoch", "s1", 1), checkpoints={"s1": 1}),
        journal(Line("epoch", "s1", 1), Line("epoch", "s1", 0), checkpoints={"s1": 2}),
    ],
)
def test_what_a_fault_destroyed_may_be_computed_again(seen: Seen) -> None:
    assert not any(violations(EXPECTED, seen).values())


def test_a_run_left_running_is_found_among_trials_too() -> None:
    found = violations(EXPECTED, replace(CLEAN, runs=(replace(GOOD, status="RUNNING"), BAD)))
    assert found["left RUNNING"] == ["B=0.1 RUNNING"]


# A trial with two epochs before its anonymizer and four of it, stopped after two of them by one that was better.
STAGES = {"reconstruct": "r", "minimax": "m", "evaluate_action": "e"}
CURVES = {
    "reconstruct/l1": {0: 0.5, 1: 0.25},
    "minimax/loss": {0: 4.0, 1: 3.0, 2: 2.0, 3: 1.0},
    "evaluate_action/loss": {0: 1.0},
}
WEAK = Expected("weak", "B=0.9", metrics={"top1": 0.5}, curves=CURVES, stages=STAGES, anonymizer="minimax")
WHY = "stopped early at epoch 2 of 4: dominated by B=0.1 seed=0"
STOP = Decided("group-of-4/2", "m", 2, 0.25, 0.5, True, WHY)
BETTER = Decided("group-of-4/2", "s1", 2, 0.75, 0.25, False)
SHOWN = {"reconstruct/l1": [(0, 0.5), (1, 0.25)], "minimax/loss": [(0, 4.0), (1, 3.0)]}
STOPPED = Run("weak", "B=0.9", "KILLED", reason=WHY, points=SHOWN, early=True)
BEFORE_STOP = (
    *(Line("epoch", "r", 0), Line("epoch", "r", 1), Line("stage", "r")),
    *(Line("epoch", "m", 0), Line("epoch", "m", 1), Line("epoch", "m", 1)),  # told again by whoever found it stopped
)
EARLY = Seen((STOPPED,), (OWN,), BEFORE_STOP, decided=(BETTER, STOP), before=((STOPPED,), len(BEFORE_STOP)))


def with_early(**changes: object) -> Seen:
    return replace(EARLY, runs=(replace(STOPPED, **changes),), before=None)  # type: ignore[arg-type]


def test_a_trial_that_was_stopped_early_violates_nothing() -> None:
    assert not any(violations({"weak": WEAK}, EARLY).values())


@pytest.mark.parametrize(
    ("seen", "invariant", "said"),
    [
        (with_early(early=False), "ended otherwise", "B=0.9: KILLED"),
        (with_early(reason="interrupted"), "ended otherwise", "for 'interrupted', not 'stopped early"),
        (with_early(status="RUNNING"), "ended otherwise", "B=0.9: RUNNING early"),
        (with_early(points={**SHOWN, "minimax/loss": [(0, 4.0)]}), "points missing", "B=0.9: minimax/loss at 1"),
        (with_early(points={"minimax/loss": SHOWN["minimax/loss"]}), "points missing", "B=0.9: reconstruct/l1 at 0"),
        (replace(EARLY, decided=(STOP,)), "stopped early without cause", "m after 2 epochs: nobody"),
        (replace(EARLY, decided=(replace(BETTER, rung="of another group"), STOP)), "stopped early without cause", "m after 2"),
        (replace(EARLY, decided=(replace(STOP, anonymizer="twin"), STOP)), "stopped early without cause", "twin after 2"),
        (replace(EARLY, decided=(replace(BETTER, leakage=0.6), STOP)), "stopped early without cause", "m after 2 epochs"),
        *(
            (replace(EARLY, journal=(*BEFORE_STOP, line), before=None), "computed or reported after a stop", f"m: {line.what}")
            for line in (Line("epoch", "m", 2), Line("stage", "m"))
        ),
        *(
            (with_early(points={**SHOWN, name: [point]}), "computed or reported after a stop", f"B=0.9: {name}")
            for name, point in (("minimax/loss", (2, 2.0)), ("evaluate_action/loss", (0, 1.0)), ("top1", (0, 0.5)))
        ),
        (replace(EARLY, runs=(replace(STOPPED, points={}),)), "changed by a rerun", "B=0.9: KILLED, was KILLED"),
        (replace(EARLY, before=((STOPPED,), 5)), "changed by a rerun", "m: epoch 1 was computed"),
        (replace(EARLY, journal=(*BEFORE_STOP, Line("epoch", "m", 0)), before=None), "epochs computed again", "m: 1 epochs"),
    ],
)  # fmt: skip
def test_a_violation_by_a_trial_that_was_stopped_early_is_found(seen: Seen, invariant: str, said: str) -> None:
    found = violations({"weak": WEAK}, seen)
    assert any(said in line for line in found[invariant]), found


def test_a_trial_that_nobody_stopped_has_to_finish() -> None:
    found = violations({"weak": WEAK}, replace(EARLY, decided=(BETTER,)))
    assert found["ended otherwise"] == [f"B=0.9: KILLED early ['{WHY}']"]
