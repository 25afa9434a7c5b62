"""The section on sweeps: utility and privacy against the distortion budget B and the penalty weight lambda."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import text
from analysis.measure.plane import Plane, scale
from analysis.measure.settings import BUDGET, DEFAULT, WEIGHT, of
from analysis.read.trials import PARAM, RAW
from analysis.report.drawing import (
    BLACK,
    DARK,
    GREY,
    LABEL_LENGTH,
    MARKERS,
    PALETTE,
    PANEL,
    STYLE,
    STYLES,
    canvas,
    legend_below,
)
from analysis.report.front_figure import chance_levels
from analysis.report.page import Picture, picture
from trainables.schema import FINAL_METRICS

SYMBOLS = {BUDGET: "B", WEIGHT: "lambda"}


def section(settings: pd.DataFrame, plane: Plane, prefix: str) -> list[Picture]:
    """The figures for B and lambda, each only where it takes two values; their files begin with `prefix`."""
    return [
        picture(figure, f"{prefix}{metric}-against-{SYMBOLS[param]}", f"{title}; the numbers are in the table of settings")
        for param in SYMBOLS
        for metric, title, figure in sweep_figures(settings, param, plane)
    ]


def sweep_figures(settings: pd.DataFrame, param: str, plane: Plane = DEFAULT) -> list[tuple[str, str, Figure]]:
    """Draws utility, privacy and, where measured, leakage on clips against one parameter (Figure 3 and Table 3 of the paper),
    with intervals. Returns the metric of each figure, its title and the figure; nothing if the parameter has one value only.

    There is a line for each combination of the other parameters that vary among the settings of the penalty method. With
    several raw settings (other classifiers) the first one's line is drawn.
    """
    found = []
    for metric in dict.fromkeys((plane.utility, plane.privacy, "clip_leakage")):
        groups = sweep_groups(settings, param, metric)
        if groups:
            with matplotlib.rc_context(STYLE):
                figure = canvas(PANEL)
                axes = figure.subplots()
                draw_sweep(axes, settings, groups, param, metric)
                legend_below(figure)
                found.append((metric, axes.get_title(loc="left"), figure))
    return found


def sweep_groups(settings: pd.DataFrame, param: str, metric: str) -> list[tuple[str, pd.DataFrame]]:
    """The lines of a sweep: the values that the settings of a line share, and these settings ordered by the parameter."""
    if param not in settings or metric not in settings:
        return []
    swept = settings[settings["method"] == "penalty"].copy()
    swept[param] = pd.to_numeric(swept[param], errors="coerce")
    swept = swept.dropna(subset=[param])
    if swept[param].nunique() < 2:
        return []
    # A parameter that differs between settings of equal B parts the lines; one that B determines (a weights file, say) does
    # not. lambda always parts them: the setting without a penalty is no further point on the line of those with one.
    others = [name for name in map(str, swept) if name.startswith(PARAM) and name != param]
    others = [name for name in others if swept[name].nunique(dropna=False) > 1]  # of the rest no group has two
    others = [
        name
        for name in others
        if swept.groupby(param)[name].nunique(dropna=False).max() > 1 or (name in SYMBOLS and swept[name].nunique() > 1)
    ]
    called = [SYMBOLS.get(name, name.rpartition(".")[2]) for name in others]
    swept["rest"] = [
        " ".join(f"{name}={text.plain(value)}" for name, value in zip(called, values, strict=True))
        for values in swept[others].astype(object).itertuples(index=False, name=None)
    ]
    lines = swept.dropna(subset=[metric]).groupby("rest")
    return [(str(rest), group.sort_values(param)) for rest, group in lines if group[param].nunique() > 1][: len(PALETTE)]


def draw_sweep(
    axes: Axes,
    settings: pd.DataFrame,
    groups: Sequence[tuple[str, pd.DataFrame]],
    param: str,
    metric: str,
    published: Sequence[tuple[float, float]] = (),
    published_chance: float | None = None,
) -> None:
    """Draws a metric against a parameter with intervals, raw and chance as horizontal lines, and the paper's values.

    `published`: (parameter, fraction of 1) as hollow points; `published_chance`: the chance level of the paper's data.
    """
    better = "higher" if FINAL_METRICS[metric].better == "higher" else "lower"
    title = f"{FINAL_METRICS[metric].label} against {SYMBOLS[param]}"
    factor, unit = scale(metric), "[%], " if FINAL_METRICS[metric].percent else ""
    axes.set(title=title, xlabel=f"{SYMBOLS[param]} ({param.removeprefix(PARAM)})", ylabel=f"{unit}{better} is better")
    for (rest, group), colour, style, marker in zip(groups, PALETTE, STYLES, MARKERS, strict=False):
        half = factor * group[f"{metric}_half_width"].fillna(0)
        name = f"{text.clipped(rest, LABEL_LENGTH) or 'penalty'} (n = {text.n_range(group[f'{metric}_n'])})"
        look: Any = {"color": colour, "ls": style, "marker": marker, "ms": 5, "capsize": 3, "lw": 1.3}
        axes.errorbar(group[param], factor * group[metric], half, label=name, **look)
    low, high = axes.get_ylim()
    points = factor * pd.concat([group[metric] for _, group in groups])
    margin = 0.6 * (points.max() - points.min()) + 0.05 * factor
    low, high = max(low, points.min() - margin), min(high, points.max() + margin)
    levels = []
    if published:
        x, y = zip(*published, strict=True)
        axes.plot(x, [factor * value for value in y], "D", ms=6, mfc="none", mec=DARK, mew=1.2, label="the paper")
        levels += [factor * value for value in y]
        if published_chance is not None:
            axes.axhline(factor * published_chance, color=PALETTE[3], lw=1, ls=":", label="chance, the paper's data")
            levels.append(factor * published_chance)
    for _, row in settings[settings["method"] == RAW].dropna(subset=[metric]).head(1).iterrows():
        axes.axhline(factor * row[metric], color=BLACK, lw=1, ls=(0, (6, 2)), label=f"raw (n = {of(row, metric).n})")
        levels.append(factor * row[metric])
    for value in chance_levels(settings, metric):
        axes.axhline(value, color=GREY, lw=1, ls=":", label="chance")
        levels.append(value)
    low, high = min([low, *levels]), max([high, *levels])
    pad = 0.05 * (high - low)
    axes.set_ylim(low - pad, high + pad)
