"""The section on private attributes: average precision of each, drawn and as tables."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import text
from analysis.measure.plane import Plane
from analysis.measure.settings import attributes, of
from analysis.read.trials import RAW
from analysis.report.drawing import BLACK, GREY, PALETTE, STYLE, canvas, legend_below
from analysis.report.page import Picture, Section, Table, picture
from analysis.report.selection import MOST_ROWS, left_out, of_interest
from analysis.report.table_of_settings import chance
from trainables.schema import AP, AP_CHANCE, CLIP
from trainables.statistics import estimate


def section(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane, file_prefix: str) -> Section | None:
    """Figures and tables for the images and the clips; None where no average precision by attribute was recorded."""
    tables = [found for prefix in ("", CLIP) if (found := table(trials, settings, plane, prefix))]
    few = of_interest(settings.dropna(subset=[plane.privacy]), 4, plane)
    drawn = _pictures(trials, few, file_prefix)
    return Section("Which attributes leak", pictures=drawn, tables=tables) if tables else None


def _pictures(trials: pd.DataFrame, settings: pd.DataFrame, file: str) -> list[Picture]:
    found = []
    for prefix, where in (("", "images"), (CLIP, "clips")):
        figure = figure_of(trials, settings, prefix)
        if figure:
            caption = f"Private attributes of the {where}: average precision above chance."
            name = f"{file}attributes-of-{where}"
            found.append(picture(figure, name, f"{caption} The numbers are in the table below.", caption))
    return found


def table(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane, prefix: str) -> Table | None:
    names = attributes(trials, prefix)
    if not names:
        return None
    measured = settings.dropna(subset=[prefix + AP + name for name in names], how="all")
    levels = [[chance(row, prefix + AP_CHANCE + name) for _, row in measured.iterrows()] for name in names]
    rows = [["chance", "", *(next((level for level in found if level != text.DASH), text.DASH) for found in levels)]]
    shown = of_interest(measured, MOST_ROWS, plane)
    for _, row in shown.iterrows():
        rows.append([str(row["label"]), str(row["n"]), *[text.mean(of(row, prefix + AP + name)) for name in names]])
    where = "action clips" if prefix else "privacy images"
    caption = f"Average precision per attribute on the {where}, percent. {left_out(len(measured), 'settings', 'settings.csv')}"
    return Table(caption.strip(), ["setting", "n", *names], rows)


def figure_of(trials: pd.DataFrame, settings: pd.DataFrame, prefix: str = "") -> Figure | None:
    """Draws bars of average precision above chance, in points, per private attribute, for a few settings; None without such
    metrics. `prefix` is `clip_` for the attributes of the clips.
    """
    names = attributes(trials, prefix)
    if not names or settings.empty:
        return None
    colours = [BLACK if row["method"] == RAW else None for _, row in settings.iterrows()]
    fresh = iter(PALETTE)
    with matplotlib.rc_context(STYLE):
        figure = canvas((4.4, 1.2 + 0.12 * len(names) * (len(settings) + 1)))
        axes = figure.subplots()
        thickness = 0.8 / len(settings)
        for number, ((setting, row), colour) in enumerate(zip(settings.iterrows(), colours, strict=True)):
            group = trials[trials["setting"] == setting]
            above = [estimate(100 * (group[prefix + AP + name] - group[prefix + AP_CHANCE + name])) for name in names]
            axes.barh(
                np.arange(len(names)) + thickness * (number - (len(settings) - 1) / 2),
                [value.mean for value in above],
                height=thickness * 0.9,
                xerr=[0 if math.isnan(value.half_width) else value.half_width for value in above],
                error_kw={"lw": 0.8, "ecolor": GREY},
                color=colour or next(fresh),
                label=f"{text.clipped(row['label'], 30)} (n = {row['n']})",
            )
        axes.set_yticks(range(len(names)), [text.clipped(name, 22) for name in names])
        axes.invert_yaxis()
        axes.axvline(0, color=GREY, lw=1)
        axes.set_xlabel("average precision above chance [points]  ← better")
        legend_below(figure, 2 if settings["label"].str.len().max() < 16 else 1)
        return figure
