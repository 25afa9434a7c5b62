"""From trials to settings: means over seeds with their intervals, changes against raw data, the answer, the warnings."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.measure.pareto import dominated_share, knee, non_dominated
from analysis.measure.plane import CHANCE_IS_ZERO, UNBOUNDED, Plane, scale
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM, RAW
from trainables.schema import AP, FINAL_METRICS
from trainables.statistics import Estimate, t_half_width

BUDGET, WEIGHT = PARAM + "minimax.distortion_budget", PARAM + "minimax.penalty_weight"
CLASSIFIERS = tuple(
    PARAM + f"evaluate_{branch}.classifier.{field}" for branch in ("action", "privacy") for field in ("name", "weights")
)
# Trials that agree in these are measured alike, so that their figures may be compared.
PROTOCOL = ("data.", "clip.", "evaluate_action.", "evaluate_privacy.")

DEFAULT = Plane()
NEAR_RAW = 0.05  # utility this close to raw counts as kept, in the answer
BARELY_ACTIVE = 0.01  # a penalty active in fewer steps than this trained nothing
NEAR_CHANCE = 0.1  # raw data this little above chance (of the way to perfect) leaves nothing to lose or to take away


def settings_table(trials: pd.DataFrame, plane: Plane = DEFAULT) -> pd.DataFrame:
    """A row per setting, indexed by `setting`, raw first, then by method, penalty weight and budget.

    For every metric m: `m`, `m_half_width`, `m_n`. For the metrics with a direction also `change_m`,
    `change_m_half_width`, `change_m_n` against the raw setting measured by the same protocol (`baseline`; empty where
    there is none). `on_front`: not beaten in the plane's two metrics by any setting of the same protocol; `knee`: where
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


def overlay(studies: Sequence[RecordedStudy], each: Sequence[pd.DataFrame]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Trials and settings of one study or several, given the settings of each. Of several, `study` names each row's, and
    settings, baselines and protocols of different studies stay apart: their fronts lie beside one another, not in one."""
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
    """Parameters with more than one value, the seed left out, and their values as text."""
    return {name: values for name, values in _values(trials).items() if len(values) > 1}


def common(trials: pd.DataFrame) -> dict[str, str]:
    """Parameters that all trials agree in."""
    return {name: values[0] for name, values in _values(trials).items() if len(values) == 1}


def headline(settings: pd.DataFrame, plane: Plane = DEFAULT) -> pd.Series | None:
    """The setting the answer is about: the most privacy among those within NEAR_RAW of raw utility, else the most utility.

    None when no anonymized setting has both metrics.
    """
    known = settings[(settings["method"] != RAW)].dropna(subset=list(plane.names))
    if known.empty:
        return None
    near = known[_near(known, settings, plane)]
    private, useful = (direction == "lower" for direction in plane.directions)
    if len(near):
        return near.sort_values(plane.privacy, ascending=private).iloc[0]
    return known.sort_values(plane.utility, ascending=useful).iloc[0]


def _near(chosen: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> pd.Series:
    """Which settings have the utility of their raw setting but for NEAR_RAW, of raw's own figure where that is no share."""
    lost = chosen[f"change_{plane.utility}"] * (1 if plane.directions[1] == "lower" else -1)
    whole = chosen["baseline"].map(settings[plane.utility]) if plane.utility in UNBOUNDED else 1.0
    return (chosen["baseline"] != "") & (lost <= NEAR_RAW * whole)


def near_raw(plane: Plane) -> str:
    """What counts as kept, in words."""
    if plane.utility in UNBOUNDED:
        return f"{NEAR_RAW * 100:.0f} % of raw"
    return f"{NEAR_RAW * 100:.0f} points of raw" if FINAL_METRICS[plane.utility].percent else f"{NEAR_RAW:g} of raw"


def answer(settings: pd.DataFrame, plane: Plane = DEFAULT) -> tuple[str, str]:
    """The study's answer in two sentences, with its numbers."""
    utility, privacy = FINAL_METRICS[plane.utility], FINAL_METRICS[plane.privacy]
    best = headline(settings, plane)
    if best is None:
        both = "top-1 accuracy and leakage" if plane == DEFAULT else f"{utility.label} and {privacy.label}"
        return (
            "This study gives no answer yet.",
            f"No finished trial of an anonymized setting carries both {both}.",
        )
    kept_amount, told_amount = of(best, plane.utility), of(best, plane.privacy)
    changed, moved_by = of(best, f"change_{plane.utility}"), of(best, f"change_{plane.privacy}")
    if not best["baseline"] or changed.n == 0 or moved_by.n == 0:
        return (
            f"{best['label']} reaches {_said(plane.utility, kept_amount)} with {_said(plane.privacy, told_amount)}.",
            "What that costs and gains is not known: there is no raw trial measured the same way to compare it with.",
        )
    raw = settings.loc[best["baseline"]]
    kept = (
        f"{best['label']} keeps"
        if _near(best.to_frame().T, settings, plane).all()
        else f"No setting stays within {near_raw(plane)}; {best['label']} keeps most with"
    )
    first = (
        f"{kept} {_said(plane.utility, kept_amount)}, where raw video has {_amount(plane.utility, of(raw, plane.utility))}"
        f" ({_difference(plane.utility, changed)})."
    )
    improves = "falls" if privacy.better == "lower" else "rises"
    improved = (moved_by.mean < 0) == (privacy.better == "lower") and moved_by.mean != 0
    moved = improves if improved else f"does not {improves.removesuffix('s')}: it goes"
    second = (
        f"{sentence(privacy.label)} {moved} from {_amount(plane.privacy, of(raw, plane.privacy))}"
        f" to {_amount(plane.privacy, told_amount)} ({_difference(plane.privacy, moved_by)})."
    )
    return first, second


def warnings_of(study: RecordedStudy, settings: pd.DataFrame, plane: Plane = DEFAULT) -> list[str]:
    """What a reader must know before trusting the numbers, each as one sentence."""
    found = _warnings_of_runs(study)
    if study.trials.empty:
        return found
    found += _warnings_of_plane(study, plane)
    found += _warnings_of_raw(settings, plane)
    single = settings[settings["n"] == 1]
    if len(single) == len(settings):
        found.append("Every setting ran with one seed (n = 1): there are no intervals, and small differences may be chance.")
    elif len(single):
        found.append(f"One seed only (n = 1, no interval): {_names(single)}.")
    idle = settings[(settings["method"] != RAW) & (settings["penalty_active"] < BARELY_ACTIVE)]
    if WEIGHT in idle:
        idle = idle[pd.to_numeric(idle[WEIGHT], errors="coerce").fillna(0) > 0]
        if len(idle):
            found.append(
                f"The penalty never bound (active in under 1 % of steps): {_names(idle)}. B and lambda changed nothing there."
            )
    return found + _warnings_of_protocol(study.trials)


def _warnings_of_plane(study: RecordedStudy, plane: Plane) -> list[str]:
    """Trials with a result that have no place in the plane; those without a result are counted elsewhere."""
    complete = study.complete
    found = []
    for name in (plane.utility, plane.privacy):
        lacking = int(complete[name].isna().sum())
        if lacking:
            found.append(
                f"{lacking} of {_count(len(complete), 'trial')} with a result have no {FINAL_METRICS[name].label} ({name}):"
                " no place on the front."
            )
    return found


def _warnings_of_raw(settings: pd.DataFrame, plane: Plane) -> list[str]:
    found = []
    raw = settings[settings["method"] == RAW]
    if raw.empty:
        found.append("There is no raw trial: nothing says what anonymizing costs or gains.")
    elif (settings["baseline"] == "").any():
        names = _names(settings[settings["baseline"] == ""])
        found.append(f"No raw trial was measured the same way as {names}; no change is given there.")
    unlearned = raw[(raw["top1"] - raw["chance_top1"]) / (1 - raw["chance_top1"]) < NEAR_CHANCE]
    if len(unlearned):
        top1 = _amount("top1", of(unlearned.iloc[0], "top1"))
        found.append(
            f"The action classifier is near chance on raw clips already (top-1 {top1}, chance"
            f" {100 * unlearned['chance_top1'].iloc[0]:.1f}\N{NO-BREAK SPACE}%): no setting can then be seen to cost accuracy."
        )
    for name, where in zip(CHANCE_IS_ZERO, ("raw data", "raw clips"), strict=True):
        weak = raw[raw[name] < NEAR_CHANCE]
        if len(weak):
            found.append(
                f"The attacker on {where} is near chance already (leakage {_amount(name, of(weak.iloc[0], name))}):"
                " a low leakage of the settings then shows a weak attacker, not a good anonymizer."
            )
    return found


def _warnings_of_protocol(trials: pd.DataFrame) -> list[str]:
    """In what trials were measured differently: the classifiers, and everything else that parts the fronts."""
    prefixes = tuple(PARAM + part for part in PROTOCOL)
    differing = [
        name
        for name in map(str, trials)
        if (name.startswith(prefixes) or name in CLASSIFIERS) and trials[name].astype(str).nunique() > 1
    ]
    classifiers = [name.removeprefix(PARAM) for name in CLASSIFIERS if name in differing]
    others = [name.removeprefix(PARAM) for name in differing if name not in CLASSIFIERS]
    found = []
    if classifiers:
        found.append(
            f"Trials differ in their classifiers ({', '.join(classifiers)}): compare only settings with equal ones."
            " Changes and fronts are taken among those only."
        )
    if others:
        named = ", ".join(others[:6]) + (f" and {len(others) - 6} more" if len(others) > 6 else "")
        found.append(f"Trials are measured differently ({named}): changes and fronts are taken among equal ones only.")
    return found


def missing_seeds(study: RecordedStudy) -> list[str]:
    """Settings that lack a seed other settings have, each as one sentence."""
    runs = pd.concat([study.trials[["label", "seed"]], study.unfinished[["label", "seed"]]], ignore_index=True).dropna()
    done = study.complete.groupby("label")["seed"].agg(set).to_dict()
    every = set(runs["seed"])
    lacking = {str(label): sorted(every - done.get(str(label), set())) for label in runs["label"].unique()}
    return [
        f"{label}: no result for seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        for label, seeds in lacking.items()
        if seeds
    ]


def _warnings_of_runs(study: RecordedStudy) -> list[str]:
    found = []
    if study.profile == "generated":
        found.append("The clips and images are generated: the figures show that the method runs, and nothing about real video.")
    lost = study.unfinished["state"].isin(["failed", "killed", "incomplete"]).sum()
    if lost:
        found.append(f"{_count(lost, 'trial')} failed, stopped or finished without a result; they are listed under “What ran”.")
    pending = study.unfinished["state"].isin(["running", "scheduled"]).sum()
    if pending:
        found.append(f"{_count(pending, 'trial')} not finished: the figures may still change.")
    return found


def _protocols(first: pd.DataFrame) -> pd.Series:
    """Of each setting, what must be equal for its figures to be compared, as one text."""
    prefixes = tuple(PARAM + part for part in PROTOCOL)
    names = sorted(name for name in map(str, first) if name.startswith(prefixes))
    values = first[names].astype(str)
    return pd.Series([repr(tuple(zip(names, row, strict=True))) for row in values.itertuples(index=False)], index=first.index)


def _order(settings: pd.DataFrame) -> list[int]:
    """Rows with raw first, then by method, penalty weight, budget, and names as a person counts them."""
    nothing = pd.Series(math.nan, index=settings.index)
    numbers = [pd.to_numeric(settings.get(name, nothing), errors="coerce").fillna(-1).tolist() for name in (WEIGHT, BUDGET)]
    methods = settings["method"].tolist()
    labels = [_natural(label) for label in settings["label"]]
    keys = list(zip([method != RAW for method in methods], methods, *numbers, labels, strict=True))
    return sorted(range(len(keys)), key=keys.__getitem__)


def _natural(label: str) -> list[tuple[int, float, str]]:
    parts = re.findall(r"\d+\.?\d*|[^\d]+", label)
    return [(0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts]


def _values(trials: pd.DataFrame) -> dict[str, list[str]]:
    columns = [str(name) for name in trials if str(name).startswith(PARAM) and name != PARAM + "seed"]
    found = {name.removeprefix(PARAM): trials[name].drop_duplicates().sort_values() for name in sorted(columns)}
    return {name: [str(value) for value in values] for name, values in found.items()}


def shown(metric: str, value: Estimate, signed: bool = False) -> str:
    """An estimate as the tables print that metric: percent, or the figure itself."""
    return value.text(scale(metric) == 100, signed, 1 if scale(metric) == 100 or metric in UNBOUNDED else 3)


def _said(metric: str, value: Estimate) -> str:
    return f"{FINAL_METRICS[metric].label} {_amount(metric, value)}"


def _amount(metric: str, value: Estimate) -> str:
    unit = "\N{NO-BREAK SPACE}%" if FINAL_METRICS[metric].percent else ""
    return f"{shown(metric, value).removesuffix(' (n = 1)')}{unit} (n = {value.n})"


def _difference(metric: str, value: Estimate) -> str:
    points = " points" if FINAL_METRICS[metric].percent else ""
    if value.n == 1:
        amount = shown(metric, value, signed=True).removesuffix(" (n = 1)")
        return f"change {amount}{points}, n = 1: no interval, it may be chance"
    unsure = "; the interval includes no change" if abs(value.mean) <= value.half_width else ""
    return f"change {shown(metric, value, signed=True)}{points}{unsure}"


def sentence(text: str) -> str:
    """With a capital in front, but for words like cMAP."""
    return text if text[1:2].isupper() else text[:1].upper() + text[1:]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _names(settings: pd.DataFrame, most: int = 6) -> str:
    names = list(settings["label"])
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
