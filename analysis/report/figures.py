"""The figures of a report, drawn once by matplotlib for PNG and SVG. Colours: Okabe-Ito; text never overlaps text.

Everything is plotted in percent, as the tables print it. Labels come from run names: they are never read as mathtext.
"""

from __future__ import annotations

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from analysis.measure.pareto import attainment, non_dominated, step_line, without_gaps
from analysis.measure.plane import CHANCE_IS_ZERO, CHANCE_OF, UNBOUNDED, Plane, scale
from analysis.measure.settings import BUDGET, DEFAULT, WEIGHT, attributes, of, shown
from analysis.read.trials import PARAM, RAW
from trainables.schema import AP, AP_CHANCE, FINAL_METRICS
from trainables.statistics import Estimate, estimate

BLACK, DARK, GREY = "#000000", "#333333", "#666666"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
WIDE, NARROW, PANEL = (7.4, 4.6), (3.7, 4.4), (3.9, 3.1)  # inches; NARROW is for phones
MOST_TOLD = 300  # trials that carry words of their own in the front; each costs half a kilobyte twice
MOST_NAMED = 40  # settings that all get name and interval in the front; beyond, only those on it
LABEL_OFFSETS = [(7, 4), (-7, 4), (7, -4), (-7, -4), (0, 8), (0, -8)]  # points, nearest first
LABEL_OFFSETS += [(side * 16, up * far) for far in (15, 28, 41) for up in (1, -1) for side in (1, -1)]
SYMBOLS = {BUDGET: "B", WEIGHT: "lambda"}
LOSSES = {
    "minimax/loss_anonymizer": "loss of the anonymizer f_A (Eq. 3)",
    "minimax/loss_action": "loss of the action classifier f_T",
    "minimax/loss_privacy": "loss of the privacy encoder f_B (Eq. 6)",
    "minimax/rms_distortion": "RMS distortion of the training clips (Eq. 4)",
}

STUDY = "study"  # column that names the study of a row, where several are laid over one another

Looks = dict[tuple[str, str], tuple[str, str]]  # colour and marker of a method, in an overlay of a study's raw and the rest


@dataclass(frozen=True)
class Mark:
    """A point that a reader can point at: the words it has, and its row in the trials or, for a mean, in the settings."""

    words: str
    row: str
    is_mean: bool


STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,
    "svg.fonttype": "none",
}


def short(text: str, most: int = 26) -> str:
    """A label cut to fit a figure; tables and tooltips carry it whole."""
    return text if len(text) <= most else text[: most - 1] + "…"


def distinct_part(labels: Sequence[str]) -> dict[str, str]:
    """Labels without the words that all of them share: what tells the settings of one study apart."""
    words = [label.split() for label in labels]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return {label: " ".join(word for word in label.split() if word not in shared) or label for label in labels}


def front_figure(
    trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane = DEFAULT, size: tuple[float, float] = WIDE
) -> tuple[Figure, dict[str, Mark]]:
    """A plane of two metrics: every trial, the mean of every setting with its interval, the front, chance on both axes,
    and dashed the median attainment surface where there are seeds enough (`median_surfaces`).

    Where the rows name several studies (`tables.overlay`), each has its colour, marker and front. Returns the figure and the
    points in it by their id. Without a trial to draw, the figure says so.
    """
    names = list(plane.names)
    with matplotlib.rc_context(STYLE):
        figure = canvas(size)
        axes = figure.subplots()
        axes.set(xlabel=_axis(plane.privacy, across=True), ylabel=_axis(plane.utility, across=False))
        told: dict[str, Mark] = {}
        trials = trials.dropna(subset=names)
        settings = settings.dropna(subset=names) if set(names) <= set(settings) else settings.iloc[:0]
        if trials.empty or settings.empty:
            axes.text(0.5, 0.5, "no finished trial has both metrics", ha="center", va="center", transform=axes.transAxes)
            return figure, told
        look = _looks(settings)
        front = pd.Series(False, index=settings.index)
        lines = []
        overlaid = _overlaid(settings)
        surfaces = median_surfaces(trials, settings, plane)
        for number, (protocol, group) in enumerate(settings.groupby("protocol")):
            front[group.index] = non_dominated(group[names], plane.directions)
            lines.append(step_line(group[names], plane.directions) * _scales(plane))
            colour = look[_key(group.iloc[0])][0] if overlaid else DARK
            axes.plot(lines[-1][:, 0], lines[-1][:, 1], color=colour, lw=1.2, zorder=3)
            if protocol in surfaces:
                steps = step_line(surfaces[str(protocol)], plane.directions) * _scales(plane)
                colour = colour if overlaid else GREY
                axes.plot(steps[:, 0], steps[:, 1], color=colour, lw=1, ls=(0, (4, 2)), zorder=2.5, gid=f"median-{number}")
        named = settings[front | (settings["method"] == RAW)] if len(settings) > MOST_NAMED else settings
        told = _draw_trials(axes, trials, plane, look) | _draw_means(axes, settings, plane, look, named.index)
        for _, row in named.iterrows():
            _draw_intervals(axes, row, plane, look[_key(row)][0])
        _limits(axes, named, trials, plane)
        chance = _chance_lines(axes, trials, plane)
        axes.set_title(_subtitle(settings, len(named) < len(settings)), fontweight="normal", color=GREY)
        if len(look) > 2 or (len(look) == 2 and ("", RAW) not in look):
            for (study, method), (colour, marker) in look.items():
                if not (study and method == RAW):  # a star in the colour of its study
                    axes.plot([], [], marker, color=colour, label=short(study or method, 34))
            legend_below(figure, 2 if size == NARROW and not overlaid else 1 if size == NARROW else 4)
        # Raw and the front first: where room is short, they keep their names.
        first = (named["method"] != RAW).astype(int) * (2 - front[named.index])
        _place_labels(axes, named.loc[first.sort_values(kind="stable").index], trials, plane, lines, chance)
        return figure, told


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
    """Protocol -> its trials without gaps (`pareto.without_gaps`); only protocols with three seeds or more."""
    blocks = {
        str(protocol): without_gaps(trials[trials["setting"].isin(group.index)], plane.names)
        for protocol, group in settings.groupby("protocol")
    }
    return {protocol: block for protocol, block in blocks.items() if len(block)}


def loss_figures(curves: pd.DataFrame) -> list[tuple[str, str, Figure]]:
    """Figure 5: losses per epoch of f_A, f_T, f_B and the RMS distortion, a line per setting, the mean over its seeds.

    Each with the name of its curve and its title.

    Bands are 95 % t intervals. `curves` as `records.read_curves` gives them, of at most as many settings as there are colours.
    """
    found = []
    for name, title in LOSSES.items():
        if curves[curves["name"] == name]["value"].notna().any():
            with matplotlib.rc_context(STYLE):
                figure = canvas(PANEL)
                draw_loss(figure.subplots(), curves, name)
                legend_below(figure)
                found.append((name, title, figure))
    return found


def draw_loss(axes: Axes, curves: pd.DataFrame, name: str) -> None:
    """One loss of `LOSSES` over the epochs, a line per setting; a setting keeps its colour from loss to loss."""
    labels = list(dict.fromkeys(curves["label"]))[: len(PALETTE)]
    texts = distinct_part(labels)
    here = curves[curves["name"] == name].dropna(subset=["value"])
    axes.set(title=LOSSES[name], xlabel="epoch")
    for label, colour, style in zip(labels, PALETTE, STYLES, strict=False):
        group = here[here["label"] == label]
        if group.empty:
            continue
        n = group["seed"].nunique(dropna=False)
        per_step = group.groupby("step")["value"].agg(estimate)
        steps, mean = per_step.index.to_numpy(), np.array([value.mean for value in per_step])
        half = np.array([value.half_width for value in per_step])
        marker = "o" if len(steps) == 1 else ""
        axes.plot(steps, mean, color=colour, ls=style, lw=1.5, marker=marker, label=f"{short(texts[label])} (n = {n})")
        axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.15, lw=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def sweep_figures(settings: pd.DataFrame, param: str, plane: Plane = DEFAULT) -> list[tuple[str, str, Figure]]:
    """Utility, privacy and, where measured, leakage on clips against one parameter (Figure 3, Table 3), with intervals.

    Each with its metric and its title.

    A line per combination of the other things that vary among the settings of the penalty method, where the parameter has
    two values or more; nothing where it has not. With several raw settings (other classifiers) the first one's line is drawn.
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
    """The lines of a sweep: what their settings share besides the parameter, and those settings in its order."""
    if param not in settings or metric not in settings:
        return []
    swept = settings[settings["method"] == "penalty"].copy()
    swept[param] = pd.to_numeric(swept[param], errors="coerce")
    swept = swept.dropna(subset=[param])
    if swept[param].nunique() < 2:
        return []
    # What else differs between settings of equal B makes another line; what B decides (a weights file, say) does not. Another
    # lambda always does: the one setting without a penalty is no further point on the line of those with one.
    others = [name for name in map(str, swept) if name.startswith(PARAM) and name != param]
    others = [name for name in others if swept[name].nunique(dropna=False) > 1]  # of the rest no group has two
    others = [
        name
        for name in others
        if swept.groupby(param)[name].nunique(dropna=False).max() > 1 or (name in SYMBOLS and swept[name].nunique() > 1)
    ]
    called = [SYMBOLS.get(name, name.rpartition(".")[2]) for name in others]
    swept["rest"] = [
        " ".join(f"{name}={_plain(value)}" for name, value in zip(called, values, strict=True))
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
    """A metric against a parameter with intervals, raw and chance as level lines; the paper's fractions as hollow points.

    `published_chance` is the chance of the paper's data, which need not be that of ours.
    """
    better = "higher" if FINAL_METRICS[metric].better == "higher" else "lower"
    title = f"{FINAL_METRICS[metric].label} against {SYMBOLS[param]}"
    factor, unit = scale(metric), "[%], " if FINAL_METRICS[metric].percent else ""
    axes.set(title=title, xlabel=f"{SYMBOLS[param]} ({param.removeprefix(PARAM)})", ylabel=f"{unit}{better} is better")
    for (rest, group), colour, style, marker in zip(groups, PALETTE, STYLES, MARKERS, strict=False):
        half = factor * group[f"{metric}_half_width"].fillna(0)
        ns = sorted(set(group[f"{metric}_n"]))
        name = f"{short(rest) or 'penalty'} (n = {ns[0]}{f' to {ns[-1]}' if len(ns) > 1 else ''})"
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
    for value in _chance(settings, metric):
        axes.axhline(value, color=GREY, lw=1, ls=":", label="chance")
        levels.append(value)
    low, high = min([low, *levels]), max([high, *levels])
    pad = 0.05 * (high - low)
    axes.set_ylim(low - pad, high + pad)


def attribute_figure(trials: pd.DataFrame, settings: pd.DataFrame, prefix: str = "") -> Figure | None:
    """Bars of average precision above chance, in points, per private attribute, for a few settings; None without such metrics.

    `prefix` is `clip_` for the attributes of the clips.
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
                label=f"{short(row['label'], 30)} (n = {row['n']})",
            )
        axes.set_yticks(range(len(names)), [short(name, 22) for name in names])
        axes.invert_yaxis()
        axes.axvline(0, color=GREY, lw=1)
        axes.set_xlabel("average precision above chance [points]  ← better")
        legend_below(figure, 2 if settings["label"].str.len().max() < 16 else 1)
        return figure


def save(figure: Figure, stem: FilePath, kinds: Sequence[str] = ("png", "pdf")) -> list[FilePath]:
    """Writes the figure as `<stem>.<kind>` of each kind; returns the files. Equal figures give equal files."""
    with matplotlib.rc_context(STYLE):
        lay_out(figure)
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
        for kind, path in zip(kinds, paths, strict=True):
            figure.savefig(path, dpi=160, metadata={"CreationDate": None} if kind == "pdf" else None)
    return paths


def image_uri(figure: Figure) -> str:
    """The figure as SVG in a data URI: an image that needs no second file."""
    return "data:image/svg+xml;base64," + base64.b64encode(_svg(figure, "figure").encode()).decode()


def inline_svg(figure: Figure, prefix: str, marks: Mapping[str, Mark]) -> str:
    """The figure as an SVG element whose points can be reached by pointer and screen reader, the means also by keyboard.

    `marks`: the points by their id, which each carries as `data-card`. `prefix` keeps the ids of two figures on one page
    apart.
    """
    svg = _svg(figure, prefix)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    for name, mark in marks.items():
        words = html.escape(mark.words, quote=True)
        role = 'role="button" tabindex="0"' if mark.is_mean else 'role="img"'
        svg = svg.replace(
            f'<g id="{prefix}-{name}">',
            f'<g id="{prefix}-{name}" class="point" data-card="{name}" aria-label="{words}" {role}>',
            1,
        )
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*" ([^>]*?)width="[^"]*"', _unsized, svg, count=1
    )


def _unsized(match: re.Match[str]) -> str:
    return f"<svg {match.group(1) or match.group(2) or ''}"


def _svg(figure: Figure, salt: str) -> str:
    out = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        lay_out(figure)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


def canvas(size: tuple[float, float]) -> Figure:
    """An empty figure that draws without a display; size in inches."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def lay_out(figure: Figure) -> None:
    """Decides where everything in the figure lies, once: a figure that keeps its layout engine is drawn twice for each file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


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


def _half_widths(row: pd.Series, plane: Plane) -> tuple[float, float]:
    dx, dy = (float(np.nan_to_num(scale(name) * of(row, name).half_width)) for name in plane.names)
    return dx, dy


def _draw_trials(axes: Axes, trials: pd.DataFrame, plane: Plane, look: Looks) -> dict[str, Mark]:
    """Hollow marks; up to MOST_TOLD of them carry an id and words. More are one picture: the page would grow too large."""
    style: Any = {"ls": "", "ms": 4, "mfc": "none", "mew": 0.8, "alpha": 0.7}
    told: dict[str, Mark] = {}
    if len(trials) > MOST_TOLD:
        for _, group in trials.groupby([name for name in (STUDY, "method") if name in trials]):
            colour, marker = look[_key(group.iloc[0])]
            x, y = (scale(name) * group[name] for name in plane.names)
            axes.plot(x, y, marker=marker, mec=colour, rasterized=True, **style)
        return told
    for number, (run_id, trial) in enumerate(trials.iterrows()):
        colour, marker = look[_key(trial)]
        (mark,) = axes.plot(*_at(trial, plane), marker=marker, mec=colour, **style)
        mark.set_gid(f"trial-{number}")
        once = {name: shown(name, Estimate(trial[name], math.nan, 1)).removesuffix(" (n = 1)") for name in plane.names}
        words = f"{_named(trial)}, seed {trial['seed']}: {_words(plane, once)}"
        told[f"trial-{number}"] = Mark(words, str(run_id), is_mean=False)
    return told


def _draw_means(axes: Axes, settings: pd.DataFrame, plane: Plane, look: Looks, large: pd.Index) -> dict[str, Mark]:
    """Filled marks; with more than MOST_TOLD of them, those that are not `large` are one picture without words."""
    told: dict[str, Mark] = {}
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
            "mec": "white",
            "mew": 0.8,
        }
        (mark,) = axes.plot(*_at(row, plane), zorder=5 if raw else 4 if setting in large else 2, **style)
        mark.set_gid(f"mean-{number}")
        means = {name: shown(name, of(row, name)) for name in plane.names}
        words = f"{_named(row)}, mean of {row['n']}: {_words(plane, means)}"
        told[f"mean-{number}"] = Mark(words, str(setting), is_mean=True)
    return told


def _named(row: pd.Series) -> str:
    return f"{row[STUDY]}, {row['label']}" if STUDY in row.index else str(row["label"])


def _words(plane: Plane, amounts: Mapping[str, str]) -> str:
    """Utility first, as the text of a report has it."""
    units = {name: " %" if FINAL_METRICS[name].percent else "" for name in plane.names}
    return ", ".join(f"{FINAL_METRICS[name].label} {amounts[name]}{units[name]}" for name in (plane.utility, plane.privacy))


def _draw_intervals(axes: Axes, row: pd.Series, plane: Plane, colour: str) -> None:
    if any(of(row, name).n > 1 for name in plane.names):
        dx, dy = _half_widths(row, plane)
        axes.errorbar(*_at(row, plane), dy, dx, color=colour, lw=0.9, capsize=2, alpha=0.6, zorder=2)


def _plain(value: object) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _chance(frame: pd.DataFrame, metric: str) -> list[float]:
    """Chance as it is drawn, as a list of one, or empty where trials differ in it or have none."""
    if metric in CHANCE_IS_ZERO:
        return [0.0]
    name = CHANCE_OF.get(metric)
    values = frame[name].dropna() if name in frame else pd.Series(dtype=float)
    return [scale(metric) * float(values.mean())] if len(values) and values.max() - values.min() < 0.02 else []


def _chance_lines(axes: Axes, trials: pd.DataFrame, plane: Plane) -> list[Text]:
    """Draws chance on both axes; returns the texts, which other labels must not cross."""
    texts = []
    look: Any = {"color": GREY, "fontsize": 8}
    for value in _chance(trials, plane.privacy):
        if value < axes.get_xlim()[0]:
            texts.append(
                axes.text(0.01, 0.01, f"← chance {value:.0f}", ha="left", va="bottom", transform=axes.transAxes, **look)
            )
            continue
        axes.axvline(value, color=GREY, lw=1, ls=":")
        at = axes.get_xaxis_transform()
        texts.append(axes.text(value, 0.5, " chance", rotation=90, ha="right", va="center", transform=at, **look))
    for value in _chance(trials, plane.utility):
        text = f"chance {value:.1f} %"
        if value < axes.get_ylim()[0]:
            texts.append(axes.text(0.99, 0.01, f"↓ {text}", ha="right", va="bottom", transform=axes.transAxes, **look))
            continue
        axes.axhline(value, color=GREY, lw=1, ls=":")
        texts.append(axes.text(0.99, value, text, ha="right", va="bottom", transform=axes.get_yaxis_transform(), **look))
    return texts


def _limits(axes: Axes, settings: pd.DataFrame, trials: pd.DataFrame, plane: Plane) -> None:
    """Room for every point, for intervals as far as they stay between nothing and everything, and for chance.

    Chance that is so far off that the points would huddle in a corner stays outside; `_chance_lines` then says where it is.
    """
    for metric, set_limit in ((plane.privacy, axes.set_xlim), (plane.utility, axes.set_ylim)):
        factor = scale(metric)
        most = math.inf if metric in UNBOUNDED else factor
        values = list(factor * trials[metric])
        least = min(0.0, *values)
        for _, row in settings.iterrows():
            value = of(row, metric)
            if value.n > 1:
                low, high = factor * (value.mean - value.half_width), factor * (value.mean + value.half_width)
                values += [max(least, low), min(most, high)]
        span = max(max(values) - min(values), 0.05 * factor)
        values += [level for level in _chance(trials, metric) if min(values) - level < 2 * span]
        pad = 0.07 * max(max(values) - min(values), 0.05 * max(factor, *values))
        set_limit(min(values) - pad, max(values) + pad)


def _subtitle(settings: pd.DataFrame, some_left_out: bool) -> str:
    counts = sorted(set(settings["n"]))
    n = f"n = {counts[0]}" + (f" to {counts[-1]}" if len(counts) > 1 else "") + " per setting"
    bars = ": no intervals" if counts == [1] else "; bars: 95 % t interval"
    return n + bars + ("; names and bars: front and raw only" if some_left_out else "")


def _place_labels(
    axes: Axes,
    settings: pd.DataFrame,
    trials: pd.DataFrame,
    plane: Plane,
    fronts: Iterable[NDArray[np.float64]],
    fixed: Iterable[Text],
) -> None:
    """Writes each setting's name at the first free place around its mean; one that fits nowhere is left to the tooltip.

    A name that had to go further away gets a thin line to its mark. Taken are marks, the `fronts` and the texts in `fixed`.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    lay_out(figure)  # which decides where points land
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = axes.get_window_extent(renderer)
    places = _places(settings, plane)
    half_widths = np.array([_half_widths(row, plane) for _, row in settings.iterrows()])
    boxes = [np.array(text.get_window_extent(renderer).extents).reshape(1, 4) for text in fixed]
    boxes += [_pixels(axes, _places(trials.head(MOST_TOLD), plane), 3), _pixels(axes, places, 6)]
    boxes += [_pixels(axes, places - arm, 1, places + arm) for arm in (half_widths * (1, 0), half_widths * (0, 1))]
    boxes += [_pixels(axes, front[:-1], 1, front[1:]) for front in fronts]
    taken = np.concatenate(boxes)

    texts = distinct_part(list(settings.loc[settings["method"] != RAW, "label"]))
    offsets = np.array(LABEL_OFFSETS, float)
    names: list[Bbox] = []
    lines: list[Path] = []
    counted = settings["n"].nunique() > 1 or settings["n"].iloc[0] == 1
    for (_, row), place in zip(settings.iterrows(), places, strict=True):
        text = short(texts.get(row["label"], row["label"])) + (f" (n = {row['n']})" if counted else "")
        extent = Text(0, 0, text, fontsize=8, figure=figure).get_window_extent(renderer)
        size = np.array([extent.width, extent.height])
        mark = axes.transData.transform(place)
        # A name at the right of its mark begins there, one at the left ends there; above and below likewise.
        corners = mark + offsets * figure.dpi / 72 + (np.sign(offsets) - 1) / 2 * size
        for (dx, dy), corner in zip(LABEL_OFFSETS, corners, strict=True):
            box = Bbox(np.array([corner, corner + size]))
            fits = inside.containsx(box.x0) and inside.containsx(box.x1) and inside.containsy(box.y1)
            if not fits or _overlaps(box, taken):
                continue
            line = Path(np.array([mark, corner + size / 2]))
            if any(line.intersects_bbox(name) for name in names) or any(other.intersects_bbox(box) for other in lines):
                continue
            axes.annotate(
                text,
                (place[0], place[1]),
                (dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="bottom" if dy > 0 else "top",
                color=DARK,
                fontsize=8,
                zorder=6,
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GREY, "shrinkA": 0} if max(abs(dx), abs(dy)) > 9 else None,
            )
            names.append(box)
            lines.append(line)
            taken = np.vstack([taken, box.extents])
            break


def _places(frame: pd.DataFrame, plane: Plane) -> NDArray[np.float64]:
    """(rows, 2): where trials or settings lie, in the units of the figure."""
    return frame[list(plane.names)].to_numpy(float) * _scales(plane)


def _pixels(axes: Axes, at: NDArray[np.float64], margin: float, end: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """(n, 4): the boxes x0, y0, x1, y1 on the canvas around points (n, 2), or around the level or upright lines to `end`, in
    data coordinates."""
    ends = np.stack([axes.transData.transform(at), axes.transData.transform(at if end is None else end)])
    return np.hstack([ends.min(axis=0) - margin, ends.max(axis=0) + margin])


def _overlaps(box: Bbox, others: NDArray[np.float64]) -> bool:
    x0, y0, x1, y1 = others.T
    return bool(((box.x0 <= x1) & (x0 <= box.x1) & (box.y0 <= y1) & (y0 <= box.y1)).any())


def legend_below(figure: Figure, columns: int = 2) -> None:
    """The legend of all axes under them, where it covers nothing."""
    figure.legend(loc="outside lower left", frameon=False, ncols=columns, fontsize=8, handlelength=2.4, columnspacing=1)
