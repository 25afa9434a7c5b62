"""From trials to settings: means over seeds with their intervals, changes against raw data, and places on the front."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.measure.pareto import dominated_share, knee, non_dominated
from analysis.measure.plane import Plane
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM, RAW
from trainables.schema import AP, FINAL_METRICS
from trainables.statistics import Estimate, t_half_width

BUDGET, WEIGHT = PARAM + "minimax.distortion_budget", PARAM + "minimax.penalty_weight"
CLASSIFIERS = tuple(
    PARAM + f"evaluate_{branch}.classifier.{field}" for branch in ("action", "privacy") for field in ("name", "weights")
)
# Only the figures of trials that agree in these fields may be compared.
PROTOCOL = ("data.", "clip.", "evaluate_action.", "evaluate_privacy.")
DEFAULT = Plane()
NEAR_CHANCE = 0.1  # with less above chance on raw data there is nothing to lose or to take away


def settings_table(trials: pd.DataFrame, plane: Plane = DEFAULT) -> pd.DataFrame:
    """A row per setting, indexed by `setting`, raw first, then by method, penalty weight and budget.

    For every metric m: `m`, `m_half_width`, `m_n`. For the metrics with a direction also `change_m`,
    `change_m_half_width`, `change_m_n` against the raw setting of the same protocol (`baseline`; empty where there is
    none). `on_front`: not dominated in the plane's two metrics by any setting of the same protocol; `knee`: where
    that front bends most; `dominated`: share of resampled seeds in which another one beats it (`pareto.dominated_share`).
    """
    metrics = [name for name in map(str, trials) if trials[name].dtype == "float64" and not name.startswith(PARAM)]
    changing = [
        name
        for name, metric in FINAL_METRICS.items()
        if name in metrics and (name in plane.names or (metric.better != "neither" and "seconds" not in name))
    ]
    if trials.empty:
        placed = ["on_front", "knee", "dominated"]
        return pd.DataFrame(columns=["label", "method", "n", "baseline", "protocol", "protocol_tag", *placed, *plane.names])
    grouped = trials.groupby("setting", sort=False)
    first = trials.drop_duplicates("setting").set_index("setting")
    settings = first[["label", "method", "protocol_tag"]].assign(n=grouped.size())
    seeds = trials.dropna(subset=["seed"]).sort_values("seed")
    settings["seeds"] = seeds["seed"].astype(str).groupby(seeds["setting"]).agg(" ".join)
    settings["seeds"] = settings["seeds"].fillna("")
    settings["protocol"] = _protocols(first)
    raw_of = {row["protocol"]: setting for setting, row in settings[settings["method"] == RAW].iterrows()}
    settings["baseline"] = settings["protocol"].map(raw_of).astype(object).fillna("")
    settings = settings.assign(on_front=False, knee=False, dominated=math.nan)

    mean, variance, n = grouped[metrics].mean(), grouped[metrics].var(ddof=1), grouped[metrics].count()
    half = pd.DataFrame(t_half_width((variance.to_numpy(), n.to_numpy())), index=n.index, columns=n.columns)
    # raw has no change against itself
    rows = mean.index.get_indexer(pd.Index(settings["baseline"].where(settings["method"] != RAW, "")))
    raw_n = np.where((rows >= 0)[:, None], n[changing].to_numpy()[rows], 0)
    smaller = np.minimum(n[changing].to_numpy(), raw_n)
    difference = np.where(smaller > 0, mean[changing].to_numpy() - mean[changing].to_numpy()[rows], math.nan)
    raw_variance = variance[changing].to_numpy()[rows]
    welch = t_half_width((variance[changing].to_numpy(), n[changing].to_numpy()), (raw_variance, raw_n))
    columns: dict[str, Any] = {}
    for name in metrics:
        columns |= {name: mean[name], f"{name}_half_width": half[name], f"{name}_n": n[name]}
    for i, name in enumerate(changing):
        changed = (difference[:, i], np.where(smaller[:, i] > 1, welch[:, i], math.nan), smaller[:, i])
        columns |= dict(zip((f"change_{name}", f"change_{name}_half_width", f"change_{name}_n"), changed, strict=True))
    params = first[[name for name in map(str, trials) if name.startswith(PARAM) and name != PARAM + "seed"]]
    settings = pd.concat([settings, pd.DataFrame(columns, index=settings.index), params], axis=1)
    for _, group in settings.groupby("protocol"):
        points = group[list(plane.names)]
        settings.loc[group.index, "on_front"] = non_dominated(points, plane.directions)
        bend = knee(points, plane.directions)
        if bend is not None:
            settings.loc[group.index[bend], "knee"] = True
        share = dominated_share(trials[trials["setting"].isin(group.index)], plane.names, plane.directions)
        settings.loc[share.index, "dominated"] = share
    return settings.iloc[_order(settings)]


def _protocols(first: pd.DataFrame) -> pd.Series:
    """The values of all PROTOCOL fields of each setting, as one text."""
    prefixes = tuple(PARAM + part for part in PROTOCOL)
    names = sorted(name for name in map(str, first) if name.startswith(prefixes))
    values = first[names].astype(str)
    return pd.Series([repr(tuple(zip(names, row, strict=True))) for row in values.itertuples(index=False)], index=first.index)


def _order(settings: pd.DataFrame) -> list[int]:
    """Row numbers sorted by raw first, method, penalty weight, budget, and label with its numbers in numerical order."""
    nothing = pd.Series(math.nan, index=settings.index)
    numbers = [pd.to_numeric(settings.get(name, nothing), errors="coerce").fillna(-1).tolist() for name in (WEIGHT, BUDGET)]
    methods = settings["method"].tolist()
    labels = [_natural(label) for label in settings["label"]]
    keys = list(zip([method != RAW for method in methods], methods, *numbers, labels, strict=True))
    return sorted(range(len(keys)), key=keys.__getitem__)


def _natural(label: str) -> list[tuple[int, float, str]]:
    parts = re.findall(r"\d+\.?\d*|[^\d]+", label)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]


def overlay(studies: Sequence[RecordedStudy], each: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The trials and the settings of one study or several, given the settings table of each.

    With several studies a column `study` is added, and settings, baselines and protocols get the study's name in front, so
    that each study keeps a front of its own.
    """
    if len(studies) == 1:
        return studies[0].trials, each[0]
    trials, settings = [], []
    for study, own in zip(studies, each, strict=True):
        apart = f"{study.name}: "
        table = own.copy()
        table.index = pd.Index([apart + str(setting) for setting in table.index], name="setting")
        table["baseline"] = [apart + text if text else "" for text in table["baseline"]]
        table["protocol"] = [apart + text for text in table["protocol"]]
        table.insert(0, "study", study.name)
        settings.append(table)
        trials.append(study.trials.assign(study=study.name, setting=apart + study.trials["setting"]))
    filled = [frame for frame in settings if len(frame)] or settings[:1]
    return pd.concat(trials), pd.concat(filled)


def of(row: pd.Series, metric: str) -> Estimate:
    """The estimate of one metric in a row of the settings table; absent metrics have n = 0."""
    if metric not in row.index:
        return Estimate(math.nan, math.nan, 0)
    return Estimate(float(row[metric]), float(row[f"{metric}_half_width"]), int(row[f"{metric}_n"]))


def attributes(trials: pd.DataFrame, prefix: str = "") -> list[str]:
    """Names of the private attributes that any trial has an average precision for; prefix `clip_` for the clips."""
    return [
        str(name).removeprefix(prefix + AP)
        for name in trials
        if str(name).startswith(prefix + AP) and trials[name].notna().any()
    ]


def varying(trials: pd.DataFrame) -> dict[str, list[str]]:
    """The values, as text, of each parameter with more than one; the seed is left out."""
    return {name: values for name, values in _values(trials).items() if len(values) > 1}


def common(trials: pd.DataFrame) -> dict[str, str]:
    """The value, as text, of each parameter that is equal in all trials."""
    return {name: values[0] for name, values in _values(trials).items() if len(values) == 1}


def _values(trials: pd.DataFrame) -> dict[str, list[str]]:
    columns = [str(name) for name in trials if str(name).startswith(PARAM) and name != PARAM + "seed"]
    found = {name.removeprefix(PARAM): trials[name].drop_duplicates().sort_values() for name in sorted(columns)}
    return {name: [str(value) for value in values] for name, values in found.items()}
