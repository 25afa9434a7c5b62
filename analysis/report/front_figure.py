"""The figure of the privacy-utility front: every trial, the mean of each setting, the front, chance, and its labels."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from analysis import text
from analysis.measure.pareto import attainment, step_line, without_gaps
from analysis.measure.plane import Plane, scale
from analysis.measure.settings import DEFAULT, bounds, of
from analysis.measure.unanswered import unanswered
from analysis.read.trials import RAW
from analysis.report.drawing import (
    BLACK,
    DARK,
    GREY,
    LABEL_LENGTH,
    MARKERS,
    NARROW,
    PALETTE,
    STYLE,
    WIDE,
    Mark,
    canvas,
    distinct_part,
    lay_out,
    legend_below,
)
from analysis.report.labels import boxes, boxes_of, place_labels
from trainables.schema import FINAL_METRICS
from trainables.statistics import Estimate

MOST_TOLD = 300  # trials that carry words of their own in the front; each costs half a kilobyte twice
MOST_NAMED = 40  # settings that all get name and interval in the front; beyond, only those on it
STUDY = "study"  # column that names the study of a row, where several are laid over one another

Looks = dict[tuple[str, str], tuple[str, str]]  # colour and marker of a method, in an overlay of a study's raw and the rest


def front_figure(
    trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane = DEFAULT, size: tuple[float, float] = WIDE
) -> tuple[Figure, dict[str, Mark]]:
    """Draws every trial, the mean of every setting with its interval, the front, chance on both axes and, where settings
    of the front share three seeds or more, dashed their median attainment surface.

    The front is what `settings` say is on it; its line is the step line of these settings' figures in `plane.names`, so that
    one chosen on validation data may lie below the line, and one that was not chosen above it. Where the rows name several
    studies (`settings.overlay`), each has its colour, marker and front. Returns the figure and the points in it by their SVG
    id. Without a trial to draw, the figure says so.
    """
    names = list(plane.names)
    with matplotlib.rc_context(STYLE):
        figure = canvas(size)
        axes = figure.subplots()
        axes.set(xlabel=_axis(plane.privacy, across=True), ylabel=_axis(plane.utility, across=False))
        marks: dict[str, Mark] = {}
        trials = trials.dropna(subset=names)
        settings = settings.dropna(subset=names) if set(names) <= set(settings) else settings.iloc[:0]
        if trials.empty or settings.empty:
            axes.text(0.5, 0.5, "no finished trial has both metrics", ha="center", va="center", transform=axes.transAxes)
            return figure, marks
        look = _looks(settings)
        settings = without_doubtful_fronts(settings, plane)
        front = settings["on_front"].astype(bool)
        lines = []
        overlaid = _overlaid(settings)
        surfaces = median_surfaces(trials, settings, plane)
        for number, (protocol, group) in enumerate(settings[front].groupby("protocol")):
            lines.append(step_line(group[names], plane.directions) * _scales(plane))
            colour = look[_key(group.iloc[0])][0] if overlaid else DARK
            axes.plot(lines[-1][:, 0], lines[-1][:, 1], color=colour, lw=1.2, zorder=3)
            if protocol in surfaces:
                steps = step_line(surfaces[str(protocol)], plane.directions) * _scales(plane)
                colour = colour if overlaid else GREY
                axes.plot(steps[:, 0], steps[:, 1], color=colour, lw=1, ls=(0, (4, 2)), zorder=2.5, gid=f"median-{number}")
        named = settings[front | (settings["method"] == RAW)] if len(settings) > MOST_NAMED else settings
        marks = _draw_trials(axes, trials, plane, look) | _draw_means(axes, settings, plane, look, named.index)
        for _, row in named.iterrows():
            _draw_intervals(axes, row, plane, look[_key(row)][0])
        _limits(axes, named, trials, plane)
        chance = _chance_lines(axes, trials, plane)
        axes.set_title(_subtitle(settings, plane, len(named) < len(settings)), fontweight="normal", color=GREY)
        if len(look) > 2 or (len(look) == 2 and ("", RAW) not in look):
            for (study, method), (colour, marker) in look.items():
                if not (study and method == RAW):  # a star in the colour of its study
                    axes.plot([], [], marker, color=colour, label=text.clipped(study or method, 34))
            legend_below(figure, 2 if size == NARROW and not overlaid else 1 if size == NARROW else 4)
        # Raw and the front first: where room is short, they keep their names.
        first = (named["method"] != RAW).astype(int) * (2 - front[named.index])
        named = named.loc[first.sort_values(kind="stable").index]
        lay_out(figure)  # decides where points lie on the canvas
        place_labels(axes, _names(named), _places(named, plane), _taken(axes, named, trials, plane, lines, chance))
        return figure, marks


def without_doubtful_fronts(settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """The settings, none on a front or its knee where their protocol cannot answer (`measure.unanswered`)."""
    doubtful = settings["protocol"].isin(list(unanswered(settings, plane)))
    return settings.assign(on_front=settings["on_front"] & ~doubtful, knee=settings["knee"] & ~doubtful)


def median_surfaces(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> dict[str, NDArray[np.float64]]:
    """Protocol -> corners of what at least half of the seeds attain; only protocols with settings of three seeds or more."""
    return {protocol: surfaces[50] for protocol, surfaces in attained(trials, settings, plane).items()}


def attained(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> dict[str, dict[float, NDArray[np.float64]]]:
    """Protocol -> percent -> corners of that attainment surface, over the settings that all have the same seeds."""
    return {
        protocol: attainment(block[list(plane.names)], block["seed"].tolist(), directions=plane.directions)
        for protocol, block in seeds_alike(trials, settings, plane).items()
    }


def seeds_alike(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> dict[str, pd.DataFrame]:
    """Protocol -> the trials of its front without gaps (`pareto.without_gaps`); only protocols with three seeds or more.

    Of all settings the best of each seed would be chosen by the very figures that are drawn.
    """
    blocks = {
        str(protocol): without_gaps(trials[trials["setting"].isin(group.index)], plane.names)
        for protocol, group in settings[settings["on_front"].astype(bool)].groupby("protocol")
    }
    return {protocol: block for protocol, block in blocks.items() if len(block)}


def chance_levels(frame: pd.DataFrame, metric: str) -> list[float]:
    """Chance as it is drawn, as a list of one, or empty where trials differ in it or have none."""
    chance = FINAL_METRICS[metric].chance
    if isinstance(chance, float):
        return [scale(metric) * chance]
    values = frame[chance].dropna() if chance in frame else pd.Series(dtype=float)
    return [scale(metric) * float(values.mean())] if len(values) and values.max() - values.min() < 0.02 else []


def _overlaid(frame: pd.DataFrame) -> bool:
    return STUDY in frame


def _key(row: pd.Series) -> tuple[str, str]:
    """What a row's look depends on: its method or, in an overlay, its study and whether it is raw."""
    if STUDY not in row.index:
        return "", str(row["method"])
    return str(row[STUDY]), RAW if row["method"] == RAW else ""


def _looks(settings: pd.DataFrame) -> Looks:
    # Colours and markers turn at different paces: past six no pair comes back.
    pairs = [(PALETTE[i % 6], MARKERS[(i + i // 6) % 6]) for i in range(36)]
    if _overlaid(settings):
        studies = list(dict.fromkeys(map(str, settings[STUDY])))
        looks: Looks = {}
        for study, (colour, marker) in zip(studies, pairs, strict=False):
            looks |= {(study, ""): (colour, marker), (study, RAW): (colour, "*")}
        return looks
    methods = sorted(set(map(str, settings["method"])) - {RAW}, key=lambda method: (method != "penalty", method))
    looks = {("", method): pair for method, pair in zip(methods, pairs, strict=False)}
    return ({("", RAW): (BLACK, "*")} if RAW in set(settings["method"]) else {}) | looks


def _scales(plane: Plane) -> NDArray[np.float64]:
    return np.array([scale(name) for name in plane.names])


def _axis(metric: str, across: bool) -> str:
    """The name of an axis with its unit, and an arrow to the side that is better."""
    unit = " [%]" if FINAL_METRICS[metric].percent else ""
    if FINAL_METRICS[metric].better == "higher":
        return f"{FINAL_METRICS[metric].label}{unit}  better →"
    # On the upright axis the text reads upwards: its start is below.
    return f"{FINAL_METRICS[metric].label}{unit}  ← better" if across else f"← better  {FINAL_METRICS[metric].label}{unit}"


def _at(row: pd.Series, plane: Plane) -> tuple[float, float]:
    """Where a trial or setting lies, in the units of the figure."""
    x, y = plane.names
    return scale(x) * row[x], scale(y) * row[y]


def _arms(row: pd.Series, plane: Plane) -> NDArray[np.float64]:
    """(2, 2): how far the 95 % intervals of x and y reach down (first row) and up; 0 where there is none.

    Over seeds, with one seed over the test items.
    """
    arms = []
    for name in plane.names:
        value, (low, high) = of(row, name), bounds(row, name)
        down_up = (value.mean - low, high - value.mean) if value.n == 1 else (value.half_width, value.half_width)
        arms.append([max(0.0, scale(name) * float(np.nan_to_num(arm))) for arm in down_up])
    return np.array(arms).T


def _draw_trials(axes: Axes, trials: pd.DataFrame, plane: Plane, look: Looks) -> dict[str, Mark]:
    """Hollow marks; up to MOST_TOLD of them carry an id and words. More are one picture: the page would grow too large."""
    style: Any = {"ls": "", "ms": 4, "mfc": "none", "mew": 0.8, "alpha": 0.7}
    marks: dict[str, Mark] = {}
    if len(trials) > MOST_TOLD:
        for _, group in trials.groupby([name for name in (STUDY, "method") if name in trials]):
            colour, marker = look[_key(group.iloc[0])]
            x, y = (scale(name) * group[name] for name in plane.names)
            axes.plot(x, y, marker=marker, mec=colour, rasterized=True, **style)
        return marks
    for number, (run_id, trial) in enumerate(trials.iterrows()):
        colour, marker = look[_key(trial)]
        (mark,) = axes.plot(*_at(trial, plane), marker=marker, mec=colour, **style)
        mark.set_gid(f"trial-{number}")
        once = {name: text.metric_mean(name, Estimate(trial[name], math.nan, 1), count=False) for name in plane.names}
        words = f"{_named(trial)}, seed {trial['seed']}: {_words(plane, once)}"
        marks[f"trial-{number}"] = Mark(words, str(run_id), is_mean=False)
    return marks


def _draw_means(axes: Axes, settings: pd.DataFrame, plane: Plane, look: Looks, large: pd.Index) -> dict[str, Mark]:
    """Filled marks; with more than MOST_TOLD of them, those that are not `large` are one picture without words."""
    marks: dict[str, Mark] = {}
    crowd = settings[~settings.index.isin(large)] if len(settings) > MOST_TOLD else settings.iloc[:0]
    for _, group in crowd.groupby([name for name in (STUDY, "method") if name in crowd]):
        colour, marker = look[_key(group.iloc[0])]
        x, y = (scale(name) * group[name] for name in plane.names)
        small: Any = {"marker": marker, "ms": 4, "color": colour, "mec": "white", "mew": 0.8}
        axes.plot(x, y, ls="", zorder=2, rasterized=True, **small)
    for number, (setting, row) in enumerate(settings[~settings.index.isin(crowd.index)].iterrows()):
        colour, marker = look[_key(row)]
        raw = row["method"] == RAW
        style: Any = {
            "marker": marker,
            "ms": 11 if raw else 7 if setting in large else 4,
            "color": colour,
            "mec": DARK if row["on_front"] else "white",
            "mew": 1.4 if row["on_front"] else 0.8,
        }
        (mark,) = axes.plot(*_at(row, plane), zorder=5 if raw else 4 if setting in large else 2, **style)
        mark.set_gid(f"mean-{number}")
        means = {name: text.metric_mean(name, of(row, name)) for name in plane.names}
        words = f"{_named(row)}, mean of {row['n']}: {_words(plane, means)}"
        marks[f"mean-{number}"] = Mark(words, str(setting), is_mean=True)
    return marks


def _named(row: pd.Series) -> str:
    return f"{row[STUDY]}, {row['label']}" if STUDY in row.index else str(row["label"])


def _words(plane: Plane, amounts: Mapping[str, str]) -> str:
    """Utility first, as the text of a report has it."""
    return ", ".join(
        f"{FINAL_METRICS[name].label} {amounts[name]}{text.unit(name, ' ')}" for name in (plane.utility, plane.privacy)
    )


def _draw_intervals(axes: Axes, row: pd.Series, plane: Plane, colour: str) -> None:
    arms = _arms(row, plane)
    if arms.any():
        x, y = arms[:, :1], arms[:, 1:]
        axes.errorbar(*_at(row, plane), y, x, color=colour, lw=0.9, capsize=2, alpha=0.6, zorder=2)


def _chance_lines(axes: Axes, trials: pd.DataFrame, plane: Plane) -> list[Text]:
    """Draws chance on both axes; returns the texts, which other labels must not cross."""
    texts = []
    look: Any = {"color": GREY, "fontsize": 8}
    for value in chance_levels(trials, plane.privacy):
        if value < axes.get_xlim()[0]:
            texts.append(
                axes.text(0.01, 0.01, f"← chance {value:.0f}", ha="left", va="bottom", transform=axes.transAxes, **look)
            )
            continue
        axes.axvline(value, color=GREY, lw=1, ls=":")
        at = axes.get_xaxis_transform()
        texts.append(axes.text(value, 0.5, " chance", rotation=90, ha="right", va="center", transform=at, **look))
    for value in chance_levels(trials, plane.utility):
        words = f"chance {value:.1f} %"
        if value < axes.get_ylim()[0]:
            texts.append(axes.text(0.99, 0.01, f"↓ {words}", ha="right", va="bottom", transform=axes.transAxes, **look))
            continue
        axes.axhline(value, color=GREY, lw=1, ls=":")
        texts.append(axes.text(0.99, value, words, ha="right", va="bottom", transform=axes.get_yaxis_transform(), **look))
    return texts


def _limits(axes: Axes, settings: pd.DataFrame, trials: pd.DataFrame, plane: Plane) -> None:
    """Room for every point, for intervals as far as they stay between nothing and everything, and for chance.

    Chance that is so far off that the points would huddle in a corner stays outside; `_chance_lines` then says where it is.
    """
    for metric, set_limit in ((plane.privacy, axes.set_xlim), (plane.utility, axes.set_ylim)):
        factor = scale(metric)
        most = factor if FINAL_METRICS[metric].is_share else math.inf
        values = list(factor * trials[metric])
        least = min(0.0, *values)
        for _, row in settings.iterrows():
            (down, up), at = _arms(row, plane)[:, plane.names.index(metric)], factor * row[metric]
            values += [max(least, at - down), min(most, at + up)]
        span = max(max(values) - min(values), 0.05 * factor)
        values += [level for level in chance_levels(trials, metric) if min(values) - level < 2 * span]
        pad = 0.07 * max(max(values) - min(values), 0.05 * max(factor, *values))
        set_limit(min(values) - pad, max(values) + pad)


def _subtitle(settings: pd.DataFrame, plane: Plane, some_left_out: bool) -> str:
    once, arms = set(settings["n"]) == {1}, any(_arms(row, plane).any() for _, row in settings.iterrows())
    bars = "; bars: 95 % t interval" if not once else "; bars: 95 % interval over test items" if arms else ": no intervals"
    few = "; names and bars: front and raw only" if some_left_out else ""
    return f"n = {text.n_range(settings['n'])} per setting{bars}{few}"


def _names(settings: pd.DataFrame) -> list[str]:
    """What is written at the means: the part of the label that tells settings apart, with n where it differs."""
    parts = distinct_part(list(settings.loc[settings["method"] != RAW, "label"]))
    counted = settings["n"].nunique() > 1
    return [
        text.clipped(parts.get(row["label"], row["label"]), LABEL_LENGTH) + (f" (n = {row['n']})" if counted else "")
        for _, row in settings.iterrows()
    ]


def _places(frame: pd.DataFrame, plane: Plane) -> NDArray[np.float64]:
    """(rows, 2): where trials or settings lie, in the units of the figure."""
    return frame[list(plane.names)].to_numpy(float) * _scales(plane)


def _taken(
    axes: Axes,
    settings: pd.DataFrame,
    trials: pd.DataFrame,
    plane: Plane,
    fronts: Sequence[NDArray[np.float64]],
    texts: Sequence[Text],
) -> NDArray[np.float64]:
    """(m, 4): the boxes on the canvas that marks, intervals, fronts and texts take up."""
    places = _places(settings, plane)
    arms = np.array([_arms(row, plane) for _, row in settings.iterrows()])  # (settings, down and up, x and y)
    found = boxes_of(axes, texts)
    found += [boxes(axes, _places(trials.head(MOST_TOLD), plane), 3), boxes(axes, places, 6)]
    found += [boxes(axes, places - arms[:, 0] * along, 1, places + arms[:, 1] * along) for along in ((1, 0), (0, 1))]
    found += [boxes(axes, front[:-1], 1, front[1:]) for front in fronts]
    return np.concatenate(found)
