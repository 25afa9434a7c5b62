"""The search over a space with Optuna through Ray Tune. MLflow is its memory: finished points are told to Optuna again.

A search looks at figures of validation data only; those of test data are reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from search_spaces.registry import Search
from trainables.attacks import attack_names
from trainables.config import ConfigError, TrialConfig, value_of
from trainables.schema import UNTESTED, VALIDATION, config_of, figures_of, is_early

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from ray.tune.search.optuna import OptunaSearch

_STARTUP = 10  # points before a model is fitted; those of a space's own settings count
_POPULATION = 8  # of NSGA-II: several generations within a search of some dozen trials
SAMPLERS = ("gp", "tpe", "nsga2", "random")
CONTROLS = "controls_valid"  # a point whose attacks cannot be believed is no point of the front: see `trainables.attacks`


@dataclass(frozen=True)
class Point:
    """A point of a search: a value for every axis and, once its trial is done, one for every objective.

    controls: of its attacks, 1 where they hold, else 0; None where there are no attacks.
    """

    values: Mapping[str, float]
    objectives: tuple[float, ...] | None = None
    controls: float | None = None


@dataclass(frozen=True)
class Proposals:
    """The rest of a search: `count` points that an optimiser still proposes, who knows the `points` tried so far."""

    search: Search
    points: tuple[Point, ...]
    count: int
    seed: int


def with_options(search: Search, sampler: str | None, trials: int | None, axes: Sequence[str] = ()) -> Search:
    """`search` with what the command line says: `axes` are searched and all others stay; () for those of the space.

    Raises ConfigError for an unknown sampler or axis, or less than one trial.
    """
    every = {**search.axes, **search.further}
    if unknown := [name for name in axes if name not in every]:
        raise ConfigError(f"--axes {unknown[0]}: there are {', '.join(every)}")
    if axes:
        chosen_axes, rest = {name: every[name] for name in axes}, {name: every[name] for name in every if name not in axes}
        search = replace(search, axes=chosen_axes, further=rest)
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
            held = None if point.controls is None else {CONTROLS: 1 - point.controls}
            figures = list(point.objectives)
            study.add_trial(create_trial(params=values, distributions=distributions, values=figures, constraints=held))

    class Constrained(OptunaSearch):
        def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
            if result and CONTROLS in result and trial_id not in self._completed_trials:
                self._ot_trials[trial_id].set_constraint(CONTROLS, 1 - result[CONTROLS])  # above 0 is not feasible
            super().on_trial_complete(trial_id, result, error)

    return Constrained(
        space=distributions,
        metric=list(search.objectives),
        mode=list(search.objectives.values()),
        sampler=_sampler(search.sampler, seed * 100_003 + known),
        storage=storage,
        study_name=name,
    )


def points_of(
    search: Search, runs: Sequence[Any], varied: TrialConfig, if_early: Mapping[str, float] | None = None
) -> list[Point]:
    """The points that MLflow runs (mlflow.entities.Run) have tried, finished or not, whatever started them: those with the
    penalty and the seed of the trial that is `varied`, and with its values on the axes that are not searched.

    if_early: what a point counts as, objectives and controls, whose trial was stopped early; None: as one that did not finish.
    """
    points, fixed = [], {key: value_of(varied, key) for key in search.further}
    for run in runs:
        params = config_of(run.data.params, run.data.tags)
        if params.get("method") != "penalty" or params.get("seed") != str(varied.seed) or run.info.status == "FAILED":
            continue
        elsewhere = any(params.get(key, str(value)) != str(value) for key, value in fixed.items())
        if elsewhere or not all(key in params for key in search.axes):
            continue
        stopped = if_early if is_early(run) else None
        metrics = figures_of(run.data.metrics, run.data.tags) if stopped is None else stopped
        done = (run.info.status == "FINISHED" or stopped is not None) and all(name in metrics for name in search.objectives)
        objectives = tuple(metrics[name] for name in search.objectives) if done else None
        controls = metrics[CONTROLS] if done and CONTROLS in metrics else None
        points.append(Point({key: float(params[key]) for key in search.axes}, objectives, controls))
    return points


def worst(search: Search, varied: TrialConfig) -> dict[str, float]:
    """What a trial reports that failed, or was stopped early: Optuna would leave one without finite objectives running for
    ever.
    """
    figures = {name: 0.0 if mode == "max" else 1.0 for name, mode in search.objectives.items()}
    return {**figures, CONTROLS: 0.0} if attack_names(varied) else figures


def _sampler(name: str, seed: int) -> BaseSampler:
    from optuna.samplers import GPSampler, NSGAIISampler, RandomSampler, TPESampler

    if name == "gp":  # expected improvement of the hypervolume, of what is running besides
        return GPSampler(seed=seed, n_startup_trials=_STARTUP, warn_independent_sampling=False)
    if name == "tpe":
        return TPESampler(seed=seed, n_startup_trials=_STARTUP, multivariate=True)
    if name == "nsga2":
        return NSGAIISampler(seed=seed, population_size=_POPULATION)
    return RandomSampler(seed=seed)
