"""The search knows what MLflow knows, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Literal, NoReturn

import pytest

from search_spaces.registry import Range, Search, load_spaces
from study.schedule.search import SAMPLERS, Point, check_objectives, optimiser, points_of, with_sampler, worst
from trainables.config import ConfigError, TrialConfig

B, WEIGHT = "minimax.distortion_budget", "minimax.penalty_weight"
OBJECTIVES: dict[str, Literal["max", "min"]] = {"validation_top1": "max", "validation_leakage": "min"}
SEARCH = Search({B: Range(0.0, 1.0), WEIGHT: Range(0.1, 100.0, log=True)}, 12, OBJECTIVES, "tpe")


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
        run("FINISHED", 0.1, validation_top1=0.9, validation_leakage=0.5),
        run("KILLED", 0.2),
        run("FAILED", 0.3),
        FakeRun("KILLED", {"method": "penalty", "seed": "1", B: "0.4", WEIGHT: "1.0"}),
        FakeRun("FINISHED", {"method": "raw"}, {"validation_top1": 1.0, "validation_leakage": 0.9}),
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
        return {"validation_top1": 1 - abs(values[B] - 0.2), "validation_leakage": abs(values[B] - 0.2)}

    def mean_distance(sampler: str) -> float:
        algorithm = optimiser(with_sampler(SEARCH, sampler, None), [], seed=3)
        proposed = []
        for number in range(40):
            values = algorithm.suggest(str(number))
            proposed.append(abs(values[B] - 0.2))
            algorithm.on_trial_complete(str(number), objectives(values))
        return sum(proposed[20:]) / 20

    assert mean_distance("tpe") < 0.5 * mean_distance("random")


class Poisoned(dict[str, float]):
    """The metrics of a run; whoever reads a test figure fails."""

    def _check(self, name: object) -> None:
        assert str(name).startswith("validation_"), f"the search read the test figure {name}"

    def __getitem__(self, name: str) -> float:
        self._check(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        self._check(name)
        return super().__contains__(name)

    def __iter__(self) -> NoReturn:
        raise AssertionError("the search went through all metrics")

    get = items = values = __iter__  # type: ignore[assignment]


def test_a_search_reads_no_test_figure() -> None:
    """Of every space that searches, with the figures that its trials record."""
    spaces = load_spaces()
    searches = [search for name in spaces if (search := spaces[name].search) is not None]
    assert searches
    for search in searches:
        params = {"method": "penalty", "seed": "0", **{key: str(axis.low) for key, axis in search.axes.items()}}
        found = Poisoned({"top1": 0.1, "leakage": 0.9, "validation_top1": 0.8, "validation_leakage": 0.3})
        (point,) = points_of(search, [FakeRun("FINISHED", params, found)], 0)
        assert point.objectives == (0.8, 0.3)
        optimiser(search, [point], seed=0).suggest("a")


def test_a_search_for_test_figures_is_refused() -> None:
    config = TrialConfig()
    check_objectives(SEARCH, [config])
    check_objectives(replace(SEARCH, objectives={"validation_top1": "max", "seconds": "min"}), [config])
    with pytest.raises(ConfigError, match="has the objective top1, the test figure that is reported; give it validation_top1"):
        check_objectives(replace(SEARCH, objectives={"top1": "max", "validation_leakage": "min"}), [config])
    with pytest.raises(ConfigError, match=r"selection = test .* leaves a search no validation figures"):
        check_objectives(SEARCH, [config, config.model_copy(update={"selection": "test"})])


def test_points_outside_the_axes_are_left_out() -> None:
    algorithm = optimiser(SEARCH, [Point({B: 3.0, WEIGHT: 1.0}), Point({B: 0.3, WEIGHT: 2.0})], seed=0)
    assert algorithm.suggest("a") == {B: 0.3, WEIGHT: 2.0}


def test_a_failed_trial_reports_the_worst_and_wrong_options_are_one_line() -> None:
    assert worst(SEARCH) == {"validation_top1": 0.0, "validation_leakage": 1.0}
    with pytest.raises(ConfigError, match="there are tpe, nsga2, random"):
        with_sampler(SEARCH, "magic", None)
    with pytest.raises(ConfigError, match="at least 1"):
        with_sampler(SEARCH, None, 0)
