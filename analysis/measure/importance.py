"""How much each axis of a study decides: PED-ANOVA (Watanabe et al., IJCAI 2023, https://arxiv.org/abs/2304.10255)."""

from __future__ import annotations

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT
from analysis.read.trials import PARAM

BEST = 0.25  # the share of trials that count as the best
LEAST_TRIALS = 20  # of fewer the best are less than five, on whose spread the answer rests
_LOG = 30.0  # axes whose largest value is so many times the smallest were varied by factors


def importance(trials: pd.DataFrame, plane: Plane = DEFAULT) -> pd.Series:
    """The share, by parameter, that each numeric axis has in whether a trial is among the best quarter; sums to 1.

    trials: rows of a study, of which those of the penalty method count that have both validation figures of `plane`. The best
    are those of the lowest ranks of non-domination in these figures, ties broken by hypervolume, as Optuna ranks them. Empty
    where fewer than two axes vary, or with fewer than LEAST_TRIALS trials.
    """
    if not {*plane.choosing} <= {*trials.columns}:
        return pd.Series(dtype=float)
    known = trials[trials["method"] == "penalty"].dropna(subset=list(plane.choosing))
    numbers = known[[name for name in map(str, known) if name.startswith(PARAM)]].apply(pd.to_numeric, errors="coerce")
    varied = [name for name in numbers if numbers[name].notna().all() and numbers[name].nunique() > 1]
    axes = [name for name in varied if name != f"{PARAM}seed"]
    if len(known) < LEAST_TRIALS or len(axes) < 2:
        return pd.Series(dtype=float)
    # here: they bring scikit-learn, which the report of a small study would wait for
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.study import StudyDirection
    from optuna.trial import create_trial

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        directions=[StudyDirection.MAXIMIZE if better == "higher" else StudyDirection.MINIMIZE for better in plane.directions]
    )
    spread: dict[str, BaseDistribution] = {}
    for name in axes:
        low, high = float(numbers[name].min()), float(numbers[name].max())
        spread[name] = FloatDistribution(low, high, log=0 < low * _LOG < high)
    objectives = known[list(plane.choosing)].astype(float).to_numpy()
    for params, values in zip(numbers[axes].astype(float).to_dict("records"), objectives, strict=True):
        study.add_trial(create_trial(params=params, distributions=spread, values=values.tolist()))
    found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator(target_quantile=BEST))
    return pd.Series(found, dtype=float)
