"""The answer of a study in two sentences: the setting to look at first, and what it changes against raw data."""

from __future__ import annotations

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT, of
from analysis.read.trials import RAW
from analysis.text import metric_mean, metric_mean_with_n, sentence
from trainables.schema import FINAL_METRICS
from trainables.statistics import Estimate

NEAR_RAW = 0.05  # utility this close to raw counts as kept, in the answer


def headline(settings: pd.DataFrame, plane: Plane = DEFAULT) -> pd.Series | None:
    """The setting the answer is about: the most private of those within NEAR_RAW of raw utility, else the most useful.

    None where no anonymized setting has both metrics.
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
    """Whether a setting loses at most NEAR_RAW of utility against its raw setting, relative where the metric is no share."""
    lost = chosen[f"change_{plane.utility}"] * (1 if plane.directions[1] == "lower" else -1)
    whole = chosen["baseline"].map(settings[plane.utility]) if not FINAL_METRICS[plane.utility].is_share else 1.0
    return (chosen["baseline"] != "") & (lost <= NEAR_RAW * whole)


def near_raw(plane: Plane) -> str:
    """The bound on the loss of utility, in words."""
    if not FINAL_METRICS[plane.utility].is_share:
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
    utility_left, leaked = of(best, plane.utility), of(best, plane.privacy)
    changed, moved_by = of(best, f"change_{plane.utility}"), of(best, f"change_{plane.privacy}")
    if not best["baseline"] or changed.n == 0 or moved_by.n == 0:
        return (
            f"{best['label']} reaches {_said(plane.utility, utility_left)} with {_said(plane.privacy, leaked)}.",
            "What that costs and gains is not known: there is no raw trial measured the same way to compare it with.",
        )
    raw = settings.loc[best["baseline"]]
    kept = (
        f"{best['label']} keeps"
        if _near(best.to_frame().T, settings, plane).all()
        else f"No setting stays within {near_raw(plane)}; {best['label']} keeps most with"
    )
    first = (
        f"{kept} {_said(plane.utility, utility_left)}, where raw video has"
        f" {metric_mean_with_n(plane.utility, of(raw, plane.utility))} ({_difference(plane.utility, changed)})."
    )
    improves = "falls" if privacy.better == "lower" else "rises"
    improved = (moved_by.mean < 0) == (privacy.better == "lower") and moved_by.mean != 0
    moved = improves if improved else f"does not {improves.removesuffix('s')}: it goes"
    second = (
        f"{sentence(privacy.label)} {moved} from {metric_mean_with_n(plane.privacy, of(raw, plane.privacy))}"
        f" to {metric_mean_with_n(plane.privacy, leaked)} ({_difference(plane.privacy, moved_by)})."
    )
    return first, second


def _said(metric: str, value: Estimate) -> str:
    return f"{FINAL_METRICS[metric].label} {metric_mean_with_n(metric, value)}"


def _difference(metric: str, value: Estimate) -> str:
    points = " points" if FINAL_METRICS[metric].percent else ""
    amount = f"change {metric_mean(metric, value, signed=True, count=False)}{points}"
    if value.n == 1:
        return f"{amount}, n = 1: no interval, it may be chance"
    return amount + ("; the interval includes no change" if abs(value.mean) <= value.half_width else "")
