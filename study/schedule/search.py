"""The search over a space with Optuna through Ray Tune. MLflow is its memory: finished points are told to Optuna again.

A search looks at figures of validation data only; those of test data are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search_spaces.registry import Search
from trainables.config import ConfigError, TrialConfig
from trainables.schema import UNTESTED, VALIDATION, config_of

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from ray.tune.search.optuna import OptunaSearch

_POPULATION = 8  # of NSGA-II: several generations within a search of some dozen trials
SAMPLERS = ("tpe", "nsga2", "random")


@dataclass(frozen=True)
class Point:
    """A point of a search: a value for every axis and, once its trial is done, one for every objective."""

    values: Mapping[str, float]
    objectives: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Proposals:
    """The rest of a search: `count` points that an optimiser still proposes, who knows the `points` tried so far."""

    search: Search
    points: tuple[Point, ...]
    count: int
    seed: int


def with_sampler(search: Search, sampler: str | None, trials: int | None) -> Search:
    """`search` with what the command line says. Raises ConfigError for an unknown sampler or less than one trial."""
    chosen = search.sampler if sampler is None else sampler
    if chosen not in SAMPLERS:
        raise ConfigError(f"--sampler {chosen}: there are {', '.join(SAMPLERS)}")
    if trials is not None and trials < 1:
        raise ConfigError(f"--trials {trials}: give at least 1")
    return replace(search, sampler=chosen, trials=trials or search.trials)


def check_objectives(search: Search, configs: Iterable[TrialConfig]) -> None:
    """Raises ConfigError where the search would look at test data, of which the best figure of many trials is too good."""
    for name in search.objectives:
        if not name.startswith(VALIDATION) and name not in UNTESTED:
            raise ConfigError(
                f"the search has the objective {name}, the test figure that is reported; give it {VALIDATION}{name}"
            )
    if any(config.selection == "test" for config in configs):
        raise ConfigError(
            "selection = test chooses the epoch of f_T' and f_B' on test data and leaves a search no validation figures;"
            " search with selection = validation or last"
        )


def optimiser(search: Search, points: Sequence[Point], seed: int) -> OptunaSearch:
    """The search algorithm for Tune: knows `points` with objectives, and tries those without before all others.

    Points outside the axes' ranges are left out. The sampler's seed moves on with the points known: a search taken up again
    must not propose its first points a second time.
    """
    # here, not above: a study without a search needs neither
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.storages import InMemoryStorage
    from optuna.study import StudyDirection
    from optuna.trial import create_trial
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions: dict[str, BaseDistribution] = {
        key: FloatDistribution(axis.low, axis.high, log=axis.log) for key, axis in search.axes.items()
    }
    directions = [StudyDirection.MAXIMIZE if mode == "max" else StudyDirection.MINIMIZE for mode in search.objectives.values()]
    storage, name = InMemoryStorage(), "search"
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    known = 0
    for point in points:
        values = dict(point.values)
        if not all(axis.low <= values[key] <= axis.high for key, axis in search.axes.items()):
            continue
        if point.objectives is None:
            study.enqueue_trial(values)
        else:
            known += 1
            study.add_trial(create_trial(params=values, distributions=distributions, values=list(point.objectives)))
    return OptunaSearch(
        space=distributions,
        metric=list(search.objectives),
        mode=list(search.objectives.values()),
        sampler=_sampler(search.sampler, seed * 100_003 + known),
        storage=storage,
        study_name=name,
    )


def points_of(search: Search, runs: Sequence[Any], seed: int) -> list[Point]:
    """The points that MLflow runs (mlflow.entities.Run) of this seed have tried, finished or not; with a penalty only."""
    points = []
    for run in runs:
        params, metrics = config_of(run.data.params, run.data.tags), run.data.metrics
        if params.get("method") != "penalty" or params.get("seed") != str(seed) or run.info.status == "FAILED":
            continue
        if not all(key in params for key in search.axes):
            continue
        done = run.info.status == "FINISHED" and all(name in metrics for name in search.objectives)
        objectives = tuple(metrics[name] for name in search.objectives) if done else None
        points.append(Point({key: float(params[key]) for key in search.axes}, objectives))
    return points


def worst(search: Search) -> dict[str, float]:
    """What a failed trial reports: Optuna would leave a trial without finite objectives running for ever."""
    return {name: 0.0 if mode == "max" else 1.0 for name, mode in search.objectives.items()}


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna.samplers import NSGAIISampler, RandomSampler, TPESampler

    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=10, multivariate=True)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=_POPULATION)
    return RandomSampler(seed=seed)
