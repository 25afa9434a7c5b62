"""The answer of a study in two sentences: the setting to look at first, and what it changes against raw data."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT, bounds, of, shown_by_no_image
from analysis.measure.unanswered import CANNOT, HELP, reasons, unanswered
from analysis.measure.validation import not_validated
from analysis.read.trials import RAW
from analysis.text import brief, metric_mean, n_range, sentence, unit
from trainables.schema import CLIP, FINAL_METRICS

NEAR_RAW = 0.05  # utility this close to raw counts as kept, in the answer


def headline(settings: pd.DataFrame, plane: Plane = DEFAULT) -> pd.Series | None:
    """The setting the answer is about: the most private of those within NEAR_RAW of raw utility, else the most useful.

    It is chosen by the figures of `plane.choosing` alone, where images can show what it leaves. None where no anonymized
    setting has both of them, or where no protocol of such a setting can answer (`unanswered`).
    """
    privacy, utility = plane.choosing
    known = settings[(settings["method"] != RAW) & ~settings["protocol"].isin(list(unanswered(settings, plane)))]
    known = known.dropna(subset=list(plane.choosing))
    known = known[~shown_by_no_image(known, plane)]
    if len(known):
        known = known[(known["baseline"] == "") | known[f"change_{utility}"].notna()]
    if known.empty:
        return None
    near = known[_near(known, settings, plane, utility)]
    private, useful = (direction == "lower" for direction in plane.directions)
    if len(near):
        return near.sort_values(privacy, ascending=private, kind="stable").iloc[0]
    return known.sort_values(utility, ascending=useful, kind="stable").iloc[0]


def _near(chosen: pd.DataFrame, settings: pd.DataFrame, plane: Plane, metric: str) -> pd.Series:
    """Whether a setting loses at most NEAR_RAW of `metric`, the utility or its twin, against its raw setting.

    The loss is relative where the metric is no share.
    """
    lost = chosen[f"change_{metric}"] * (1 if plane.directions[1] == "lower" else -1)
    whole = chosen["baseline"].map(settings[metric]) if not FINAL_METRICS[plane.utility].is_share else 1.0
    return (chosen["baseline"] != "") & (lost <= NEAR_RAW * whole)


def near_raw(plane: Plane) -> str:
    """The bound on the loss of utility, in words."""
    if not FINAL_METRICS[plane.utility].is_share:
        return f"{NEAR_RAW * 100:.0f} % of raw"
    return f"{NEAR_RAW * 100:.0f} points of raw" if FINAL_METRICS[plane.utility].percent else f"{NEAR_RAW:g} of raw"


def answer(settings: pd.DataFrame, plane: Plane = DEFAULT) -> tuple[str, str]:
    """The study's answer in two sentences, with its numbers: those of test data, of a setting that others chose.

    Where the study cannot answer, what it lacks and what would help.
    """
    utility, privacy = FINAL_METRICS[plane.utility], FINAL_METRICS[plane.privacy]
    if lacking := reasons(settings, plane):
        return f"{CANNOT} {' '.join(lacking)}", HELP
    best = headline(settings, plane)
    if best is None:
        return "This study gives no answer yet.", _why_none(settings, plane)
    utility_left, leaked = of(best, plane.utility), of(best, plane.privacy)
    changed, moved_by = of(best, f"change_{plane.utility}"), of(best, f"change_{plane.privacy}")
    if not utility_left.n or not leaked.n:
        chosen = f"{best['label']} is the setting chosen on {plane.chosen_on} data."
        return chosen, f"Its {utility.label} or {privacy.label} on test data was not recorded."
    if not best["baseline"] or changed.n == 0 or moved_by.n == 0:
        return (
            f"{best['label']} reaches {_said(plane.utility, best)} with {_said(plane.privacy, best)}.",
            "What that costs and gains is not known: there is no raw trial measured the same way to compare it with."
            + _how_sure([utility_left.n, leaked.n]),
        )
    raw = settings.loc[best["baseline"]]
    on_validation, on_test = (_near(best.to_frame().T, settings, plane, m).all() for m in (plane.choosing[1], plane.utility))
    kept = f"{best['label']} keeps"
    if not on_validation:
        kept = f"No setting stays within {near_raw(plane)}; {best['label']} keeps most with"
    elif not on_test:
        kept = f"{best['label']}, within {near_raw(plane)} on validation data, has on test data"
    first = (
        f"{kept} {_said(plane.utility, best)}, where raw video has"
        f" {_measured(plane.utility, raw)} ({_difference(plane.utility, best)})."
    )
    improves = "falls" if privacy.better == "lower" else "rises"
    improved = (moved_by.mean < 0) == (privacy.better == "lower") and moved_by.mean != 0
    moved = improves if improved else f"does not {improves.removesuffix('s')}: it goes"
    second = (
        f"{sentence(privacy.label)} {moved} from {_measured(plane.privacy, raw)}"
        f" to {_measured(plane.privacy, best)} ({_difference(plane.privacy, best)})."
    )
    counts = [of(row, name).n for row in (best, raw) for name in plane.names]
    return first, second + _how_sure(counts)


def _why_none(settings: pd.DataFrame, plane: Plane) -> str:
    """Why there is no setting to recommend, where raw data do hold something to recognise and to hide."""
    utility, privacy = FINAL_METRICS[plane.utility], FINAL_METRICS[plane.privacy]
    both = "top-1 accuracy and leakage" if plane.names == DEFAULT.names else f"{utility.label} and {privacy.label}"
    known = settings[settings["method"] != RAW].dropna(subset=list(plane.names))
    if len(known) and shown_by_no_image(known, plane).all():
        return f"Images show nothing of any anonymized setting: --privacy {CLIP}{plane.privacy} compares what is read of clips."
    if known.empty:
        return f"No finished trial of an anonymized setting carries both {both}."
    if lacking := not_validated(known, plane.names, plane.chosen_on):
        return f"Settings are chosen on validation data, and {lacking}."
    return "No anonymized setting can be compared with raw data."


def _said(metric: str, row: pd.Series) -> str:
    return f"{FINAL_METRICS[metric].label} {_measured(metric, row)}"


def _measured(metric: str, row: pd.Series) -> str:
    """The mean over seeds with half of its interval or, with one seed, the interval over test items in brackets."""
    return brief(metric, of(row, metric), bounds(row, metric)) + unit(metric)


def _difference(metric: str, row: pd.Series) -> str:
    value, paired = of(row, f"change_{metric}"), bool(row[f"change_{metric}_paired"])
    points = " points" if FINAL_METRICS[metric].percent else ""
    amount = f"change {metric_mean(metric, value, signed=True, count=False)}{points}"
    if value.n == 1:
        return amount
    how = ", paired by seed" if paired else ", Welch's interval"
    return amount + how + ("; the interval includes no change" if abs(value.mean) <= value.half_width else "")


def _how_sure(counts: Sequence[int]) -> str:
    """What the figures before it are means of: said once, behind all of them."""
    seeds = n_range(counts)
    if max(counts) > 1:
        return f" Means over {seeds} seeds with 95 % intervals" + (
            "; in brackets over test items." if min(counts) == 1 else "."
        )
    return " One seed: in brackets the 95 % intervals over test items; a change may be chance, as another training may differ."
