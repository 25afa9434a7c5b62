"""The section on training: losses and distortion over the epochs (Figure 5 of the paper)."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis import text
from analysis.measure.plane import Plane
from analysis.read.artifacts import read_curves
from analysis.read.study import RecordedStudy
from analysis.read.trials import RAW
from analysis.report.drawing import LABEL_LENGTH, PALETTE, PANEL, STYLE, STYLES, canvas, distinct_part, legend_below
from analysis.report.page import Section, picture
from analysis.report.selection import of_interest
from trainables.statistics import estimate

LOSSES = {
    "minimax/loss_anonymizer": "loss of the anonymizer f_A (Eq. 3)",
    "minimax/loss_action": "loss of the action classifier f_T",
    "minimax/loss_privacy": "loss of the privacy encoder f_B (Eq. 6)",
    "minimax/rms_distortion": "RMS distortion of the training clips (Eq. 4)",
}


def section(study: RecordedStudy, settings: pd.DataFrame, plane: Plane, prefix: str) -> Section | None:
    """The curves of the anonymized settings of most interest; None where none were recorded. Files begin with `prefix`."""
    trained = settings[settings["method"] != RAW]
    shown = of_interest(trained, len(PALETTE), plane)
    run_ids = [str(run_id) for setting in shown.index for run_id in study.trials.index[study.trials["setting"] == setting]]
    pictures = [
        picture(figure, prefix + name.replace("/", "-"), f"{title}, per epoch of the minimax stage")
        for name, title, figure in loss_figures(read_curves(study, LOSSES, run_ids))
    ]
    if not pictures:
        return None
    left_out = f" Drawn: {len(shown)} of {len(trained)} settings, the front first." if len(trained) > len(shown) else ""
    return Section("How the training went", pictures=pictures, notes=[f"Mean over seeds, bands: 95 % t interval.{left_out}"])


def loss_figures(curves: pd.DataFrame) -> list[tuple[str, str, Figure]]:
    """Draws the losses of f_A, f_T, f_B and the RMS distortion per epoch: a line per setting, the mean over its seeds, in a
    band of 95 % t intervals. Returns the name of each curve, its title and its figure.

    `curves` comes from `read_curves`; settings beyond the number of colours are not drawn.
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
    """Draws one curve of `LOSSES`, a line per setting; a setting has the same colour in every curve."""
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
        axes.plot(
            steps,
            mean,
            color=colour,
            ls=style,
            lw=1.5,
            marker=marker,
            label=f"{text.clipped(texts[label], LABEL_LENGTH)} (n = {n})",
        )
        axes.fill_between(steps, mean - half, mean + half, color=colour, alpha=0.15, lw=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
