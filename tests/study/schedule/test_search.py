"""The search knows what MLflow knows, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from search_spaces.registry import Range, Search
from study.schedule.search import SAMPLERS, Point, optimiser, points_of, with_sampler, worst
from trainables.config import ConfigError

B, WEIGHT = "minimax.distortion_budget", "minimax.penalty_weight"
SEARCH = Search({B: Range(0.0, 1.0), WEIGHT: Range(0.1, 100.0, log=True)}, 12, {"top1": "max", "leakage": "min"}, "tpe")


@dataclass
class FakeRun:
    status: str
    params: dict[str, str]
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def info(self) -> SimpleNamespace:
        return SimpleNamespace(status=self.status)

    @property
    def data(self) -> SimpleNamespace:
        return SimpleNamespace(params=self.params, metrics=self.metrics, tags=self.tags)


def test_finished_runs_are_known_and_interrupted_ones_come_first() -> None:
    def run(status: str, budget: float, **more: object) -> FakeRun:
        return FakeRun(status, {"method": "penalty", "seed": "0", B: str(budget), WEIGHT: "1.0"}, more)  # type: ignore[arg-type]

    runs = [
        run("FINISHED", 0.1, top1=0.9, leakage=0.5),
        run("KILLED", 0.2),
        run("FAILED", 0.3),
        FakeRun("KILLED", {"method": "penalty", "seed": "1", B: "0.4", WEIGHT: "1.0"}),
        FakeRun("FINISHED", {"method": "raw"}, {"top1": 1.0, "leakage": 0.9}),
    ]
    points = points_of(SEARCH, runs, 0)
    assert points == [Point({B: 0.1, WEIGHT: 1.0}, (0.9, 0.5)), Point({B: 0.2, WEIGHT: 1.0}, None)]
    algorithm = optimiser(SEARCH, points, seed=0)
    assert algorithm.suggest("a") == {B: 0.2, WEIGHT: 1.0}
    proposed = algorithm.suggest("b")
    assert 0 <= proposed[B] <= 1
    assert 0.1 <= proposed[WEIGHT] <= 100


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_taken_up_again_proposes_other_points(sampler: str) -> None:
    search = with_sampler(SEARCH, sampler, None)
    first = optimiser(search, [], seed=0).suggest("a")
    again = optimiser(search, [], seed=0).suggest("a")
    later = optimiser(search, [Point(first, (0.5, 0.5))], seed=0).suggest("a")
    assert first == again
    assert later != first


def test_the_optimiser_learns_where_the_front_is() -> None:
    """Leakage and accuracy rise as B falls to 0.2; below nothing is gained: the search must leave the rest alone."""

    def objectives(values: dict[str, float]) -> dict[str, float]:
        return {"top1": 1 - abs(values[B] - 0.2), "leakage": abs(values[B] - 0.2)}

    def mean_distance(sampler: str) -> float:
        algorithm = optimiser(with_sampler(SEARCH, sampler, None), [], seed=3)
        proposed = []
        for number in range(40):
            values = algorithm.suggest(str(number))
            proposed.append(abs(values[B] - 0.2))
            algorithm.on_trial_complete(str(number), objectives(values))
        return sum(proposed[20:]) / 20

    assert mean_distance("tpe") < 0.5 * mean_distance("random")


def test_points_outside_the_axes_are_left_out() -> None:
    algorithm = optimiser(SEARCH, [Point({B: 3.0, WEIGHT: 1.0}), Point({B: 0.3, WEIGHT: 2.0})], seed=0)
    assert algorithm.suggest("a") == {B: 0.3, WEIGHT: 2.0}


def test_a_failed_trial_reports_the_worst_and_wrong_options_are_one_line() -> None:
    assert worst(SEARCH) == {"top1": 0.0, "leakage": 1.0}
    with pytest.raises(ConfigError, match="there are tpe, nsga2, random"):
        with_sampler(SEARCH, "magic", None)
    with pytest.raises(ConfigError, match="at least 1"):
        with_sampler(SEARCH, None, 0)
