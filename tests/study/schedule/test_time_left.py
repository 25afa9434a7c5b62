"""The time that a study still takes, against durations that were recorded."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import pytest

from study.schedule.costs import _SECONDS, _WEIGHT, _WEIGHTS
from study.schedule.time_left import DueStage, TimeLeft

# The demo on two cores of an AMD EPYC: stage -> steps, epochs and seconds, of which the first epoch has the imports as well.
DEMO = {
    "reconstruct": (204, 6, 57.2),
    "warm_up": (204, 6, 30.3),
    "minimax": (170, 5, 72.0),
    "evaluate_action": (340, 10, 38.9),
    "evaluate_privacy": (190, 10, 5.8),
    "evaluate_clip_privacy": (170, 10, 9.7),
    "attack_linkage": (90, 10, 21.4),
    "attack_linkage.blank": (90, 10, 21.7),
    "attack_linkage.permuted": (90, 10, 20.9),
    "attack_retrained.raw": (90, 10, 18.6),
    "attack_retrained.permuted": (90, 10, 25.3),
    "attack_raw_trained": (0, 1, 0.7),
}
EVALUATED = ("evaluate_action", "evaluate_privacy", "evaluate_clip_privacy", "attack_linkage")
CONTROLS = ("attack_linkage.blank", "attack_linkage.permuted", "attack_retrained.raw", "attack_retrained.permuted")
SHARED = ("reconstruct", "warm_up")
STARTING = 12.0  # seconds that a worker takes to import PyTorch and to read the data


def work(trial: str, roles: tuple[str, ...]) -> tuple[DueStage, ...]:
    found = []
    for role in roles:
        name = role.partition(".")[0]
        guess = max(1, DEMO[role][0]) * _WEIGHTS.get(name, _WEIGHT) * _SECONDS
        found.append(DueStage(name, role, role if role in SHARED else f"{trial} {role}", guess))
    return tuple(found)


TRIALS = {
    "B=0.1": work("B=0.1", (*SHARED, "minimax", *EVALUATED, "attack_raw_trained")),
    "raw": work("raw", (*EVALUATED, *CONTROLS)),
    "lambda=0": work("lambda=0", (*SHARED, "minimax", *EVALUATED, "attack_raw_trained")),
}


def reports(slower: float) -> Iterator[tuple[float, str, str, float, float, int]]:
    """The study on two cores, each stage `slower` times as slow as recorded, as it comes to its driver: when, which trial, its
    stage, the share of it that is done, the seconds that its worker has computed, and how many trials run. A share of 2: the
    trial is done.
    """
    events: list[tuple[float, str, str, float, float, int]] = []
    lanes, stored = [0.0, 0.0], set[str]()
    for trial, works in TRIALS.items():
        began = heapq.heappop(lanes)
        computed = STARTING if began == 0.0 else 1.0  # a worker is used again
        for one in works:
            if one.key in stored:
                continue
            stored.add(one.key)
            _, epochs, seconds = DEMO[one.role]
            for epoch in range(epochs):
                computed += slower * seconds / epochs
                events.append((began + computed, trial, one.role, (epoch + 1) / epochs, computed, 2))
        events.append((began + computed, trial, "", 2.0, computed, 2))
        heapq.heappush(lanes, began + computed)
    yield from sorted(events)


@pytest.mark.parametrize("slower", [0.2, 1.0, 5.0])
def test_the_first_estimate_and_each_after_it_is_within_half_of_what_it_took(slower: float) -> None:
    """On this machine, one that is five times as fast, and one that is five times as slow as the guesses."""
    left, started, estimates = TimeLeft(TRIALS), set[str](), []
    for name in ("B=0.1", "raw"):
        left.start(name)
        started.add(name)
    everything = list(reports(slower))
    end = everything[-1][0]
    for now, trial, role, share, computed, at_once in everything:
        if trial not in started:
            left.start(trial)
            started.add(trial)
        if share == 2.0:
            left.end(trial, done=True)
        else:
            left.report(trial, role, share, computed)
        estimates.append((left.seconds(at_once), end - now))
    assert estimates[0][0] is None, "the first epoch has the imports in it"
    known = [(said, true) for said, true in estimates if said is not None]
    assert known[0][1] > 0.9 * end - STARTING, "it is said early"
    for said, true in known:
        assert true / 1.5 - 5 * slower < said < 1.5 * true + 5 * slower, (said, true)
    said, true = known[0]
    assert true / 1.5 < said < true * 1.5
    assert known[-1][0] == 0.0


def test_what_is_shared_counts_once_and_what_a_failed_trial_left_counts_again() -> None:
    """By hand: 10 s for what both share, 6 s for what is each one's own, all twice as slow as guessed, one after another."""
    common = DueStage("reconstruct", "reconstruct", "shared", 10.0)
    left = TimeLeft({name: (common, DueStage("minimax", "minimax", name, 6.0)) for name in ("a", "b")})
    assert left.seconds(1) is None
    left.start("a")
    left.report("a", "reconstruct", 0.2, 9.0)  # from when the worker was ready: nobody knows how much of it was the start
    assert left.seconds(1) is None
    left.report("a", "reconstruct", 0.5, 15.0)  # 0.3 of it, guessed as 3 s, took 6 s
    assert left.seconds(1) == pytest.approx(2 * (5.0 + 6.0 + 6.0))
    assert left.seconds(2) == pytest.approx(2 * (5.0 + 6.0)), "b has only its own left, beside a"
    left.end("a", done=False)
    left.start("b")
    left.report("b", "reconstruct", 0.5, 1.0)  # it goes on where a was
    assert left.seconds(1) == pytest.approx(2 * (5.0 + 6.0))
    left.report("b", "reconstruct", 1.0, 11.0)
    assert left.seconds(1) == pytest.approx(2 * 6.0)


def test_a_lost_worker_s_time_counts_from_its_next_report_and_what_waits_is_not_counted() -> None:
    left = TimeLeft({"a": (DueStage("minimax", "minimax", "key", 8.0),)})
    left.start("a")
    for share, computed in ((0.25, 5.0), (0.5, 7.0)):
        left.report("a", "minimax", share, computed)
    assert left.seconds(1) == pytest.approx(4.0)
    left.start("a")
    left.report("a", "waiting for minimax", 0.0, 50.0)
    left.report("a", "minimax", 0.5, 40.0)
    assert left.seconds(1) == pytest.approx(4.0)
    left.report("a", "minimax", 0.75, 42.0)
    assert left.seconds(1) == pytest.approx(2.0)
    left.end("a", done=True)
    assert left.seconds(1) == 0.0


def test_the_points_of_a_search_are_each_as_long_as_the_template() -> None:
    left = TimeLeft({}, [DueStage("minimax", "minimax", "key", 4.0)], count=3)
    left.start("any name")
    left.report("any name", "minimax", 0.5, 1.0)
    assert left.seconds(1) is None
    left.report("any name", "minimax", 0.75, 3.0)  # a quarter, guessed as 1 s, took 2 s
    assert left.seconds(1) == pytest.approx(2 * (1.0 + 2 * 4.0))
    left.end("any name", done=True)
    assert left.seconds(2) == pytest.approx(2 * 4.0)
