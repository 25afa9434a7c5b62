"""The search knows what MLflow knows, and nothing twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Literal, NoReturn

import pytest

from search_spaces.registry import Range, Search, load_spaces
from study.schedule.search import SAMPLERS, Point, check_objectives, optimiser, points_of, with_options, worst
from trainables.config import ConfigError, TrialConfig, with_values
from trainables.schema import UNTESTED

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
    points = points_of(SEARCH, runs, TrialConfig())
    assert points == [Point({B: 0.1, WEIGHT: 1.0}, (0.9, 0.5)), Point({B: 0.2, WEIGHT: 1.0}, None)]
    algorithm = optimiser(SEARCH, points, seed=0)
    assert algorithm.suggest("a") == {B: 0.2, WEIGHT: 1.0}
    proposed = algorithm.suggest("b")
    assert 0 <= proposed[B] <= 1
    assert 0.1 <= proposed[WEIGHT] <= 100


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_taken_up_again_proposes_other_points(sampler: str) -> None:
    search = with_options(SEARCH, sampler, None)
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
        algorithm = optimiser(with_options(SEARCH, sampler, None), [], seed=3)
        proposed = []
        for number in range(24):
            values = algorithm.suggest(str(number))
            proposed.append(abs(values[B] - 0.2))
            algorithm.on_trial_complete(str(number), objectives(values))
        return sum(proposed[14:]) / 10

    assert mean_distance("tpe") < 0.5 * mean_distance("random")
    assert mean_distance("gp") < 0.5 * mean_distance("random")


def test_axes_are_chosen_and_points_elsewhere_on_the_others_do_not_count() -> None:
    """Whatever started their trials, a grid or another search."""
    temperature = "minimax.temperature"
    search = replace(SEARCH, further={temperature: Range(0.02, 1.0, log=True)})
    every = with_options(search, None, None, (WEIGHT, temperature))
    assert (list(every.axes), list(every.further)) == ([WEIGHT, temperature], [B])
    figures = {"validation_top1": 0.9, "validation_leakage": 0.5}

    def run(**more: str) -> FakeRun:
        params = {"method": "penalty", "seed": "0", B: "0.3", WEIGHT: "1.0", temperature: "0.1", **more}
        return FakeRun("FINISHED", params, figures)

    runs = [run(), run(**{temperature: "0.2"}), run(**{WEIGHT: "2.0"}), run(**{B: "0.4"})]
    assert [point.values[WEIGHT] for point in points_of(search, runs, TrialConfig())] == [1.0, 2.0, 1.0]
    assert [point.values[temperature] for point in points_of(every, runs, TrialConfig())] == [0.1, 0.2, 0.1]


@pytest.mark.parametrize("sampler", ["gp", "tpe"])
def test_points_whose_controls_do_not_hold_are_no_points_of_the_front(sampler: str) -> None:
    """Where everything seems best, near a budget of 0.8, no attack can be believed: it is left after a while."""

    def result(values: Mapping[str, float]) -> dict[str, float]:
        believed = float(values[B] < 0.6)
        return {"validation_top1": values[B], "validation_leakage": 1 - values[B], "controls_valid": believed}

    search = with_options(SEARCH, sampler, None)
    known = [{B: number / 10, WEIGHT: 1.0} for number in range(10)]

    def proposed(names: tuple[str, ...]) -> list[bool]:
        """Whether each of the last of its proposals can be believed."""
        points = []
        for values in known:
            found = result(values)
            controls = found["controls_valid"] if "controls_valid" in names else None
            points.append(Point(values, (found["validation_top1"], found["validation_leakage"]), controls))
        algorithm, believed = optimiser(search, points, seed=1), []
        for number in range(8):
            values = algorithm.suggest(str(number))
            believed.append(values[B] < 0.6)
            algorithm.on_trial_complete(str(number), {name: result(values)[name] for name in names})
        return believed[2:]

    assert sum(proposed((*OBJECTIVES, "controls_valid"))) >= 4
    assert sum(proposed(tuple(OBJECTIVES))) <= 1, "without the controls it goes where everything seems best"


class Poisoned(dict[str, float]):
    """The metrics of a run; whoever reads a test figure fails."""

    def _check(self, name: object) -> None:
        assert str(name).startswith("validation_") or name in UNTESTED, f"the search read the test figure {name}"

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
        (point,) = points_of(search, [FakeRun("FINISHED", params, found)], TrialConfig())
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
    assert worst(SEARCH, TrialConfig()) == {"validation_top1": 0.0, "validation_leakage": 1.0}
    attacked = with_values(TrialConfig(), {"attacks.names": ("retrained",)})
    assert worst(SEARCH, attacked) == {"validation_top1": 0.0, "validation_leakage": 1.0, "controls_valid": 0.0}
    with pytest.raises(ConfigError, match="there are gp, tpe, nsga2, random"):
        with_options(SEARCH, "magic", None)
    with pytest.raises(ConfigError, match=rf"--axes minimax\.epochs: there are {B}, {WEIGHT}"):
        with_options(SEARCH, None, None, ("minimax.epochs",))
    with pytest.raises(ConfigError, match="at least 1"):
        with_options(SEARCH, None, 0)
