"""From trials to settings: means over seeds with their intervals, changes against raw data, and places on the front."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.measure.pareto import dominated_share, knee, non_dominated
from analysis.measure.plane import Plane
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM, RAW
from trainables.methods import OF_DIFFERENCES
from trainables.schema import AP, ATTACK, ATTACK_HIGH, ATTACK_LOW, FINAL_METRICS, HIGH, LOW
from trainables.statistics import Estimate, change, estimate, t_half_width

BUDGET, WEIGHT = PARAM + "minimax.distortion_budget", PARAM + "minimax.penalty_weight"
CLASSIFIERS = tuple(
    PARAM + f"evaluate_{branch}.classifier.{field}" for branch in ("action", "privacy") for field in ("name", "weights")
)
# Only the figures of trials that agree in these fields may be compared.
PROTOCOL = ("data.", "clip.", "evaluate_at", "evaluate_action.", "evaluate_privacy.")
DEFAULT = Plane()
OF_IMAGES = ("cmap", "leakage", "macro_f1")  # figures of privacy that are measured on single images
NEAR_CHANCE = 0.1  # with less above chance on raw data there is nothing to lose or to take away


def settings_table(trials: pd.DataFrame, plane: Plane = DEFAULT) -> pd.DataFrame:
    """A row per setting with its figures (`setting_means`) and its places on the front (`placed`)."""
    return placed(setting_means(trials, plane), trials, plane)


def setting_means(trials: pd.DataFrame, plane: Plane = DEFAULT) -> pd.DataFrame:
    """A row per setting, indexed by `setting`, raw first, then by method, penalty weight and budget.

    For every metric m: `m`, `m_half_width`, `m_n`. For the metrics with a direction also `change_m`,
    `change_m_half_width`, `change_m_n` against the raw setting of the same protocol (`baseline`; empty where there is
    none), and `change_m_paired`: whether it is the mean over the seeds that both have, with the t interval of the pairs.
    With less than two seeds in common it is the difference of the two means, with Welch's interval.
    """
    metrics = [name for name in map(str, trials) if trials[name].dtype == "float64" and not name.startswith(PARAM)]
    if trials.empty:
        known = ["label", "method", "n", "baseline", "protocol", "protocol_tag", *plane.names, *plane.choosing]
        return pd.DataFrame(columns=list(dict.fromkeys(known)))
    absent = pd.DataFrame(math.nan, trials.index, [name for name in dict.fromkeys(plane.choosing) if name not in metrics])
    trials, metrics = pd.concat([trials, absent], axis=1), [*metrics, *absent]
    directed = [name for name, metric in FINAL_METRICS.items() if metric.better != "neither" and "seconds" not in name]
    changing = [name for name in dict.fromkeys((*directed, *plane.names, *plane.choosing)) if name in metrics]
    grouped = trials.groupby("setting", sort=False)
    first = trials.drop_duplicates("setting").set_index("setting")
    settings = first[["label", "method", "protocol_tag"]].assign(n=grouped.size())
    seeds = trials.dropna(subset=["seed"]).sort_values("seed")
    settings["seeds"] = seeds["seed"].astype(str).groupby(seeds["setting"]).agg(" ".join)
    settings["seeds"] = settings["seeds"].fillna("")
    settings["protocol"] = _protocols(first)
    raw_of = {row["protocol"]: setting for setting, row in settings[settings["method"] == RAW].iterrows()}
    settings["baseline"] = settings["protocol"].map(raw_of).astype(object).fillna("")

    mean, variance, n = grouped[metrics].mean(), grouped[metrics].var(ddof=1), grouped[metrics].count()
    half = pd.DataFrame(t_half_width((variance.to_numpy(), n.to_numpy())), index=n.index, columns=n.columns)
    columns: dict[str, Any] = {}
    for name in metrics:
        columns |= {name: mean[name], f"{name}_half_width": half[name], f"{name}_n": n[name]}
    # raw has no change against itself
    rows = mean.index.get_indexer(pd.Index(settings["baseline"].where(settings["method"] != RAW, "")))
    changes = _changes(seeds, (mean[changing], variance[changing], n[changing]), rows)
    for i, name in enumerate(changing):
        columns |= {f"change_{name}{what}": values[:, i] for what, values in changes.items()}
    params = first[[name for name in map(str, trials) if name.startswith(PARAM) and name != PARAM + "seed"]]
    settings = pd.concat([settings, pd.DataFrame(columns, index=settings.index), params], axis=1)
    return settings.iloc[_order(settings)]


def placed(settings: pd.DataFrame, trials: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """The settings with their places in a plane, each among the settings of its own protocol.

    `on_front`: not dominated in the figures of `plane.choosing`, and so never where these are missing; `knee`: where that
    front bends most. Where images show nothing (`shown_by_no_image`) there is no place. In the figures that are reported,
    `plane.names`, which had no part in that choice: `beaten`, whether another setting dominates, and `dominated`, in which
    share of the resampled seeds (`pareto.dominated_share`).
    """
    settings = settings.assign(on_front=False, knee=False, beaten=False, dominated=math.nan)
    for _, group in settings[~shown_by_no_image(settings, plane)].groupby("protocol"):
        points, known = (group.reindex(columns=list(names)) for names in (plane.choosing, plane.names))
        settings.loc[group.index, "on_front"] = non_dominated(points, plane.directions)
        bend = knee(points, plane.directions)
        if bend is not None:
            settings.loc[group.index[bend], "knee"] = True
        settings.loc[group.index, "beaten"] = ~non_dominated(known, plane.directions) & known.notna().all(axis=1)
        share = dominated_share(trials[trials["setting"].isin(group.index)], plane.names, plane.directions)
        settings.loc[share.index, "dominated"] = share
    return settings


def _changes(
    seeds: pd.DataFrame, moments: tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame], rows: NDArray[np.intp]
) -> dict[str, NDArray[Any]]:
    """Change against raw, half-width, n and whether it is paired, each (settings, metrics), by the end of the column's name.

    `seeds`: the trials that have a seed. `moments`: mean, variance and n by setting. `rows`: the place of each setting's raw
    setting, -1 for none.
    """
    mean, variance, n = (moment.to_numpy() for moment in moments)
    index, metrics = moments[0].index, list(moments[0])
    has_raw = (rows >= 0)[:, None]
    raw_n = np.where(has_raw, n[rows], 0)
    smaller = np.minimum(n, raw_n)
    welch = np.where(smaller > 1, t_half_width((variance, n), (variance[rows], raw_n)), math.nan)
    by_seed = [part.set_index("setting").reindex(index)[metrics].to_numpy(float) for _, part in seeds.groupby("seed")]
    pairs = np.array([np.where(has_raw, part - part[rows], math.nan) for part in by_seed]).reshape(-1, *mean.shape)
    common = (~np.isnan(pairs)).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        paired_mean = np.nansum(pairs, axis=0) / common
        paired_variance = np.nansum((pairs - paired_mean) ** 2, axis=0) / (common - 1)
    paired = (common > 1) | ((common == 1) & (smaller == 1))
    half_width = np.where(common > 1, t_half_width((paired_variance, common)), math.nan)
    return {
        "": np.where(paired, paired_mean, np.where(smaller > 0, mean - mean[rows], math.nan)),
        "_half_width": np.where(paired, half_width, welch),
        "_n": np.where(paired, common, smaller),
        "_paired": paired & (common > 1),
    }


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


def shown_by_no_image(settings: pd.DataFrame, plane: Plane) -> pd.Series:
    """Whether the privacy of `plane` is measured on single images, of which the anonymizer of a setting, made of differences of
    frames, shows nothing: that little is read of them says nothing of its videos.
    """
    name, target = PARAM + "anonymizer.name", PARAM + "anonymizer.target"
    found = pd.Series(False, index=settings.index)
    if plane.privacy in OF_IMAGES and name in settings:
        found = settings[name].isin(OF_DIFFERENCES)
        found |= settings[target].eq("difference") if target in settings else False
    return found & (settings["method"] != RAW)


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


def change_by_seed(ours: pd.DataFrame, theirs: pd.DataFrame, metric: str) -> tuple[Estimate, bool]:
    """The mean of a metric over our trials minus that over theirs, and whether it is paired by seed.

    As in `settings_table`: over the seeds in common where these are two or more, otherwise of the means, Welch's interval.
    """
    both = [trials.dropna(subset=["seed", metric]).set_index("seed")[metric] for trials in (ours, theirs)]
    common = both[0].index.intersection(both[1].index)
    if len(common) > 1 or (len(common) == 1 and min(map(len, both)) == 1):
        return estimate(both[0][common] - both[1][common]), len(common) > 1
    return change(ours[metric], theirs[metric]), False


def bounds(row: pd.Series, metric: str) -> tuple[float, float]:
    """The ends of a metric's 95 % interval over the test items, each the mean over the seeds; NaN where none was recorded.

    They say what other test items would give, to the same networks; the interval of `of` says what other trainings would.
    """
    name = metric.removeprefix(ATTACK)
    low, high = (ATTACK_LOW + name, ATTACK_HIGH + name) if metric.startswith(ATTACK) else (metric + LOW, metric + HIGH)
    return float(row.get(low, math.nan)), float(row.get(high, math.nan))


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
