"""What strategies are charged, and what early stopping would have done to a grid, by trials that are small enough to follow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from search_spaces.registry import Search
from study.schedule.early import Rungs
from study.schedule.search import Point
from tests.benchmarks import search, search_trials
from tests.benchmarks.search import LAMBDA, B, Found, Row, Setting, front, reached
from tests.benchmarks.search_trials import Lab, Prices, Tried, replayed
from trainables.config import TrialConfig, with_values
from trainables.data.trial_data import TrialData
from trainables.early import EarlyStopping, Figures, Place, Watch
from trainables.execution.watch import place_of
from trainables.plan import plan_trial
from trainables.store.files import Files

PRICES = Prices({"reconstruct": 0.5, "minimax": 1.0, "evaluate": 2.0}, look=0.25)


def trial(name: str, top1: float, leakage: float, at_rungs: tuple[tuple[float, float], ...] = ()) -> Tried:
    """One that shares `reconstruct` (10 steps, 5 s), trains for 9 epochs (90 steps, 90 s; rungs 1 and 3), and is evaluated (5
    steps, 10 s). At its rungs it reports `at_rungs`, or what it has in the end.
    """
    place = Place(f"m{name}", "g", 9)
    figures = {"top1": top1, "leakage": leakage}
    metrics = {**figures, **{f"validation_{key}": value for key, value in figures.items()}, "chance_top1": 0.0}
    stages = {"r": ("reconstruct", 10), f"m{name}": ("minimax", 90), f"e{name}": ("evaluate", 5)}
    reports = dict(zip(place.rungs, (Figures(*one, 10_000, 10_000) for one in at_rungs or ((top1, leakage),) * 2), strict=True))
    return Tried(TrialConfig(), metrics, stages, place, reports)


GOOD, PRIVATE, BAD, WORSE = trial("g", 0.9, 0.5), trial("p", 0.5, 0.25), trial("b", 0.4, 0.6), trial("w", 0.3, 0.7)
RAW = Tried(TrialConfig(), {"leakage": 1.0, "chance_top1": 0.0}, {})


def test_each_stage_is_charged_once_and_a_stopped_trial_for_what_it_has_trained() -> None:
    assert PRICES.of_trials([GOOD, BAD], watched=False) == [5 + 90 + 10, 5 + 2 * 100]
    stopped = replace(BAD, metrics={}, stopped=3)
    assert PRICES.of_trials([stopped, GOOD], watched=True) == [5 + 30 + 0.5, 5 + 30 + 0.5 + 100 + 0.5]
    assert PRICES.of_trials([RAW], watched=True) == [0.0]
    assert PRICES.of_stages([GOOD, BAD, GOOD], "minimax") == 180


def test_prices_are_medians_and_what_a_report_takes_is_no_part_of_the_training(tmp_path: Path) -> None:
    for key, seconds in (("a", 11.0), ("b", 21.0), ("c", 1001.0)):
        for folder, name, content in (
            (f"stages/minimax/{key}", "record.json", f'{{"seconds": {seconds}, "steps": 10}}'),
            (f"reports/{key}", "1.json", '{"seconds": 1.0}'),
        ):
            (tmp_path / folder).mkdir(parents=True)
            (tmp_path / folder / name).write_text(content)
    assert Prices.of(tmp_path) == Prices({"minimax": 2.0}, look=1.0)


def test_one_worker_hears_trials_in_their_order() -> None:
    """The first two go on; the third has two better ones before it, and the one that is better than all before it has none."""
    done = replayed([GOOD, PRIVATE, BAD, WORSE], 1, PRICES)
    assert [(one.place and one.place.anonymizer, one.stopped) for one in done] == [("mg", 0), ("mp", 0), ("mb", 1), ("mw", 1)]
    assert [bool(one.metrics) for one in done] == [True, True, False, False]
    assert [one.stopped for one in replayed([WORSE, BAD, PRIVATE, GOOD], 1, PRICES)] == [0, 0, 0, 0]


def test_several_workers_hear_who_comes_to_a_rung_first() -> None:
    """Two begin together and come to their first rung at 10.25 s; the second rung (30.5 s) is passed by both before another
    begins, at 100.5 s. With four, all come to the first rung at once, in their order, and the last two are stopped there.
    """
    assert [one.stopped for one in replayed([WORSE, BAD, PRIVATE, GOOD], 2, PRICES)] == [0, 0, 0, 0]
    done = replayed([GOOD, PRIVATE, BAD, WORSE], 4, PRICES)
    assert [one.stopped for one in done] == [1, 1, 0, 0], "in the order in which they end"
    late = trial("l", 0.4, 0.6, ((0.95, 0.4), (0.1, 0.9)))
    assert [one.stopped for one in replayed([GOOD, PRIVATE, late], 3, PRICES)] == [3, 0, 0], "at its second rung"


def test_a_front_is_chosen_by_validation_and_measured_by_test_figures() -> None:
    lucky = replace(GOOD, metrics={**GOOD.metrics, "validation_top1": 0.4, "validation_leakage": 0.9})
    assert reached([GOOD, PRIVATE, BAD], RAW) == pytest.approx(0.9 * 0.5 + 0.5 * 0.25)
    assert reached([lucky, PRIVATE], RAW) == pytest.approx(0.5 * 0.75)
    assert reached([replace(GOOD, metrics={}, stopped=1)], RAW) == 0.0
    assert front([GOOD, PRIVATE, BAD]) == {"mg", "mp"}
    assert front([lucky, PRIVATE]) == {"mp"}


def test_a_search_tries_the_points_of_its_space_once_and_then_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a sampler that proposes what nobody has tried: who is as good as the other is not the point."""
    told: list[Mapping[str, float]] = []

    class Proposing:
        def __init__(self, search: Search, points: Sequence[Point], seed: int) -> None:
            assert [point.objectives for point in points] == [(0.5, 0.25)] * 6

        def suggest(self, name: str) -> dict[str, float]:
            return {B: int(name) / 8, LAMBDA: 2.0}

        def on_trial_complete(self, name: str, result: Mapping[str, float]) -> None:
            told.append(result)

    ran: list[TrialConfig] = []
    monkeypatch.setattr(search, "optimiser", Proposing)
    found = Setting(tmp_path, 0)
    metrics = {"validation_top1": 0.5, "validation_leakage": 0.25}

    def run(config: TrialConfig, hear: object) -> Tried:
        ran.append(config)
        return Tried(config, metrics, {})

    found.__dict__["lab"] = SimpleNamespace(run=run)
    tried = found.searched("tpe", 8, None)
    assert [one.config for one in tried] == ran
    points = [(config.minimax.distortion_budget, config.minimax.penalty_weight) for config in ran]
    assert sorted(points[:6]) == [(budget, weight) for budget in (0.0, 0.1, 0.3) for weight in (1.0, 10.0)]
    assert points[6:] == [(0.75, 2.0), (0.875, 2.0)]
    assert told == [metrics] * 2


def test_the_table_compares_for_equal_seconds() -> None:
    """A grid of 105 + 100 + 100 s; a strategy that has its only point after 105 s, when the grid has one of the same."""
    stopped = [GOOD, PRIVATE, replace(BAD, metrics={}, stopped=1)]
    rows = {
        "raw": Row([[[RAW]]]),
        "grid": Row([[[GOOD, PRIVATE, BAD]]]),
        "grid, early stopping": Row([[stopped]], watched=True),
        "other": Row([[[PRIVATE]]]),
    }
    found = Found(rows, PRICES)
    cells = {
        row[0]: row[1:] for row in ([cell.strip() for cell in line.split("|")[1:-1]] for line in found.table().splitlines())
    }
    assert cells["grid"][:3] == ["3", "3", "100"]
    assert [float(cell.split()[0]) for cell in cells["grid"][3:5]] == [0.45, 0.575]
    assert cells["grid, early stopping"][:3] == ["3", "2", f"{100 * (205 + 1 + 10.25) / 305:.0f}"]
    assert float(cells["other"][4].split()[0]) == 0.375
    assert cells["other"][5].startswith("\N{MINUS SIGN}0.075")
    assert "0.00 are stopped" in found.of_early_stopping("grid, early stopping")
    assert "100.0 (n = 1) % of the hypervolume" in found.of_early_stopping("grid, early stopping")


def test_a_replay_stops_whom_a_run_stops(
    tiny_config: TrialConfig, tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By six trials, one after another, whose training is left out: some are stopped, and go on from there when all are run to
    their end; then what they have reported is replayed.
    """
    measured: list[tuple[float, int]] = []

    def run(config: TrialConfig, runtime: object, reporter: object, watch: Watch) -> tuple[SimpleNamespace, None]:
        data, budget = TrialData(config, tiny_data), config.minimax.distortion_budget
        [place] = [found for stage in plan_trial(config, data).stages if (found := place_of(stage, data)) is not None]
        watch.begins(place)
        for epoch in range(1, place.epochs):

            def measure(epoch: int = epoch) -> Figures:
                measured.append((budget, epoch))
                rank = budget if epoch < 3 else 1 - budget  # who is ahead falls behind
                return Figures(1 - rank, rank, 10_000, 10_000)

            watch.after(place, epoch, measure)
        return SimpleNamespace(metrics={"top1": budget}), None

    monkeypatch.setattr(search_trials, "run_trial", run)
    config = with_values(tiny_config, {"minimax.epochs": 9})
    configs = [with_values(config, {"minimax.distortion_budget": budget}) for budget in (0.2, 0.1, 0.5, 0.15, 0.05, 0.4)]
    rungs, lab = Rungs(EarlyStopping("early"), Files(tmp_path / "decided")), Lab(tmp_path, tiny_data)
    found = [lab.run(config, rungs.hear) for config in configs]
    assert [one.stopped for one in found] == [0, 0, 1, 3, 3, 1]
    whole = [lab.run(config) for config in configs]
    assert [one.metrics for one in whole] == [{"top1": config.minimax.distortion_budget} for config in configs]
    assert len(measured) == len(set(measured)) == 12, "each once, at epochs 1 and 3"
    again = replayed(whole, 1, Prices(defaultdict(lambda: 1.0), look=0.0))
    assert [(one.config, one.stopped, one.metrics) for one in again] == [
        (one.config, one.stopped, one.metrics) for one in found
    ]
