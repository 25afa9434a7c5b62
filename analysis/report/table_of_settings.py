"""The table of settings."""

from __future__ import annotations

import math

import pandas as pd

from analysis import text
from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT, bounds, of
from analysis.measure.unanswered import unanswered
from analysis.read.trials import RAW
from analysis.report.front_figure import STUDY
from analysis.report.page import Table
from analysis.terminal import table_text
from trainables.schema import FINAL_METRICS


def table(settings: pd.DataFrame, plane: Plane) -> Table:
    """One row a setting with the metrics that every study has; other metrics of the plane come first."""
    with_clips = "clip_leakage" in settings and settings["clip_leakage"].notna().any()
    standing = ["top1", "leakage", *(["clip_leakage"] if with_clips else [])]
    added = [name for name in (plane.utility, plane.privacy) if name not in standing]
    overlaid = STUDY in settings
    columns = [*(["study"] if overlaid else []), "setting", "n"]
    for name in added:
        columns += [f"{FINAL_METRICS[name].label}{text.unit(name, ' ')}", "against raw"]
    columns += ["top-1 %", "chance %", "against raw", "cMAP %", "chance %", "leakage %", "against raw"]
    columns += ["leakage on clips %", "against raw"] if with_clips else []
    columns += [] if "macro_f1" in added else ["macro F1"]
    columns += ["RMS distortion", "penalty active %", "front", "dominated, % of resamples"]
    rows, doubtful = [], unanswered(settings, plane)
    for _, row in settings.iterrows():
        cells = [*([str(row[STUDY])] if overlaid else []), str(row["label"]), str(row["n"])]
        for name in added:
            cells += [_brief(row, name, count=True), _against_raw(row, name)]
        cells += [
            _brief(row, "top1", count=True),
            chance(row, "chance_top1"),
            _against_raw(row, "top1"),
            text.metric_mean("cmap", of(row, "cmap")),
            chance(row, "chance_cmap"),
            _brief(row, "leakage", count=True),
            _against_raw(row, "leakage"),
        ]
        if with_clips:
            cells += [_brief(row, "clip_leakage", count=True), _against_raw(row, "clip_leakage")]
        cells += [] if "macro_f1" in added else [text.metric_mean("macro_f1", of(row, "macro_f1"))]
        cells += [
            text.metric_mean("rms_distortion", of(row, "rms_distortion")),
            text.metric_mean("penalty_active", of(row, "penalty_active")),
            _place(row, answered=str(row["protocol"]) not in doubtful),
            _dominated(row, plane),
        ]
        rows.append(cells)
    caption = (
        "Settings, by their figures of test data: mean over seeds ± half of the 95 % t interval; n finished trials. With n = 1,"
        " in brackets, the 95 % interval over the test items of that seed, where it was recorded: what other items would give,"
        " not what another training would. Changes against the raw setting measured the same way, in points, paired by seed"
        " where both have two seeds in common (paired t), else with Welch's interval and marked so. cMAP stands beside what a"
        f" random scorer gets. Front: chosen on {plane.chosen_on} data."
        " Dominated: in how many resamples of the seeds (drawn with replacement, alike for all settings) another setting is"
        " no worse in both metrics of the front and better in one; few seeds make it too sure."
        " n = 1: no confidence, of a setting with one seed, or one that only such a setting beats."
    )
    return Table(caption, columns, rows)


def settings_text(settings: pd.DataFrame, plane: Plane = DEFAULT) -> str:
    """The settings with the metrics of the plane and leakage on clips, in 100 columns; the page has the rest. Figures are
    means ± half of the 95 % t interval; of one seed, with the 95 % interval over test items in brackets.
    """
    if settings.empty:
        return "no finished trials"
    with_clips = "clip_leakage" in settings and settings["clip_leakage"].notna().any()
    names = dict.fromkeys((plane.utility, plane.privacy, *(["clip_leakage"] if with_clips else [])))
    overlaid = STUDY in settings
    titles = [f"{_TITLES.get(name, FINAL_METRICS[name].label)}{text.unit(name, ' ')}" for name in names]
    rows, doubtful = [], unanswered(settings, plane)
    for _, row in settings.iterrows():
        place = _place(row, answered=str(row["protocol"]) not in doubtful)
        study = [str(row[STUDY])] if overlaid else []
        rows.append([*study, str(row["label"]), str(row["n"]), *(_brief(row, name) for name in names), place])
    return table_text([*(["study"] if overlaid else []), "setting", "n", *titles, "front"], rows)


_TITLES = {"top1": "top-1", "leakage": "leakage", "clip_leakage": "leakage on clips"}


def _brief(row: pd.Series, metric: str, *, count: bool = False) -> str:
    return text.brief(metric, of(row, metric), bounds(row, metric), count=count)


def _against_raw(row: pd.Series, metric: str) -> str:
    if row["method"] == RAW:
        return "baseline"
    changed = of(row, f"change_{metric}")
    unpaired = " (Welch)" if changed.n > 1 and not row[f"change_{metric}_paired"] else ""
    return text.metric_mean(metric, changed, signed=True) + unpaired


def _place(row: pd.Series, *, answered: bool) -> str:
    if not answered:
        return text.DASH
    return "yes, knee" if row["knee"] else "yes" if row["on_front"] else ""


def _dominated(row: pd.Series, plane: Plane) -> str:
    if not math.isnan(row["dominated"]):
        return text.number(100 * row["dominated"], 0)
    return "n = 1" if all(of(row, name).n for name in plane.names) else text.DASH


def chance(row: pd.Series, metric: str) -> str:
    """A chance level in percent, without an interval: it depends on the data, not on the seed."""
    return text.number(100 * of(row, metric).mean)
