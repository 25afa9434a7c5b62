"""A study from Python: plan it, run it, read its records as tables, draw its front, choose a setting.

    from study.api import Options, choose, draw_front, plan, records, run

    options = Options(space="demo", profile="generated", storage="demo")
    plan(options)                                   # a row a trial: what would run
    run(options)                                    # 0: every trial is done
    trials = records("demo", tracking_uri=options.places.tracking_uri)
    draw_front(trials).savefig("front.png")
    choose("demo", at_most={"leakage": 0.5}, prefer="top1", tracking_uri=options.places.tracking_uri).trials

`analysis/from_study_to_anonymizer.ipynb` goes this way. Errors are ConfigError, DataError and AnalysisError, one line each.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import settings_table
from analysis.read.study import read_study
from study.backend.base import Backend
from study.options import Options
from study.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.deploy.select import Choice

__all__ = ["Options", "choose", "draw_front", "plan", "records", "run", "settings"]

ChosenOn = Literal["validation", "test"]


def plan(options: Options) -> pd.DataFrame:
    """What a study would run, in the order of the space: a row a trial, indexed by its name, with `setting`, `seed`, `method`,
    the number of its `stages`, how many of them are `stored`, and the `steps` (batches) that all of its stages take.

    Starts nothing; generated data are made if they are not there. Raises ConfigError or DataError for what cannot run.
    """
    study = Study(options)
    rows = [
        {
            "trial": trial.name,
            "setting": trial.setting,
            "seed": trial.config.seed,
            "method": trial.config.method,
            "stages": len(staged.stages),
            "stored": sum(stage.key in study.stored for stage in staged.stages),
            "steps": sum(stage.steps for stage in staged.stages),
        }
        for trial, staged in zip(study.plan.trials, study.trial_plans, strict=True)
        if study.only is None or trial.name in study.only
    ]
    return pd.DataFrame(rows).set_index("trial")


def run(options: Options, backend: Backend | None = None) -> int:
    """Runs what is left of a study and writes its report, as `python study/run.py` does. Returns 0 if every trial is done, 1 if
    one is not. `backend` None: Ray. Raises ConfigError or DataError for what cannot run.
    """
    return Study(options, backend).run()


def records(space: str, profile: str | None = None, tracking_uri: str | None = None) -> pd.DataFrame:
    """The finished trials of a study: a row a run of MLflow, indexed by its id, with final metrics under their names
    (fractions, NaN where absent), `setting`, `label`, `seed`, `method`, and the configuration as `params.<dotted key>`.

    `profile` may be None where the space has run with one only; `tracking_uri` None stands for MLFLOW_TRACKING_URI. Raises
    AnalysisError for a study that is not there.
    """
    return read_study(space, profile, tracking_uri).trials


def settings(
    trials: pd.DataFrame, utility: str = "top1", privacy: str = "leakage", chosen_on: ChosenOn = "validation"
) -> pd.DataFrame:
    """The settings of `records`: a row each, with the mean over seeds of every metric m as `m`, half of its 95 % interval as
    `m_half_width`, the number of seeds as `m_n`, and whether it is `on_front` of these two metrics, by figures of `chosen_on`.
    """
    return settings_table(trials, Plane(utility, privacy, chosen_on))


def draw_front(
    trials: pd.DataFrame, utility: str = "top1", privacy: str = "leakage", chosen_on: ChosenOn = "validation"
) -> Figure:
    """The figure of the report: every trial of `records`, the settings with their intervals, the front, and chance."""
    from analysis.report.front_figure import front_figure

    plane = Plane(utility, privacy, chosen_on)
    return front_figure(trials, settings_table(trials, plane), plane)[0]


def choose(
    space: str,
    profile: str | None = None,
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    prefer: str | None = None,
    chosen_on: ChosenOn = "validation",
    tracking_uri: str | None = None,
) -> Choice:
    """The setting that is best in `prefer` among those that keep to the bounds (metrics in their own units, fractions for
    shares); with `prefer` None the knee of the front. `analysis.deploy.choice_text.choice_text` says why, and
    `analysis.deploy.select.median_trial` names the run whose anonymizer is to be exported.

    Raises AnalysisError where nothing can be chosen.
    """
    from analysis.deploy import select

    upper, lower = ([f"{name}={value!r}" for name, value in (bounds or {}).items()] for bounds in (at_most, at_least))
    rule = select.parse_rule(upper, lower, prefer, prefer is None, chosen_on)
    return select.choose(read_study(space, profile, tracking_uri), rule)
