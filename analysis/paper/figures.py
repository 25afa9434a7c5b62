"""The paper's figures from our studies: 3 (accuracy and leakage against B), 5 (losses) and the frames of 2 and 6 to 8."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from analysis.measure.settings import BUDGET, settings_table
from analysis.paper.cells import report_blocks
from analysis.read.artifacts import fetch_artifact, read_curves
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.read.trials import RAW
from analysis.report.drawing import GREY, PALETTE, STYLE, canvas, legend_below
from analysis.report.losses import LOSSES, draw_loss
from analysis.report.sweeps import draw_sweep, sweep_groups
from analysis.text import clipped
from trainables.schema import ARTIFACT_FRAMES

FIGURES = ("3", "5", "frames")
_LOSSES = tuple(name for name in LOSSES if "loss" in name)
_WIDTH, _LABEL = 7.4, 1.5  # inches: the picture, and the names at its left

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Drawn:
    """A figure, its file name, and notes that are printed beside it."""

    name: str
    figure: Figure
    notes: tuple[str, ...] = ()


def known_figure(which: str) -> str:
    """Returns the name of a figure; raises AnalysisError for one that is not drawn here."""
    if which not in FIGURES:
        raise AnalysisError(f"no figure {which!r}; give one of {', '.join(FIGURES)}")
    return which


def draw(which: str, study: RecordedStudy) -> list[Drawn]:
    """Draws one of FIGURES; raises AnalysisError where the study has nothing to draw in it."""
    found = {"3": figure_3, "5": figure_5, "frames": frames}[which](study)
    if not found:
        lacking = {
            "3": "no two settings of the penalty method with different B and both metrics",
            "5": "no finished trial with loss curves",
            "frames": f"no finished trial whose {ARTIFACT_FRAMES} can be read",
        }
        raise AnalysisError(f"study {study.name} has nothing for figure {which}: {lacking[which]}")
    return found


def save(drawn: Drawn, folder: str | Path) -> list[Path]:
    """Writes a figure as PNG and SVG; raises AnalysisError where the folder cannot be written."""
    paths = [Path(folder) / f"{drawn.name}.{suffix}" for suffix in ("png", "svg")]
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        with matplotlib.rc_context({**STYLE, "svg.hashsalt": drawn.name}):
            for path in paths:
                drawn.figure.savefig(path, dpi=160, metadata={"Date": None} if path.suffix == ".svg" else None)
    except OSError as error:
        raise AnalysisError(
            f"{drawn.name} cannot be written to {folder} ({error.strerror or error}); give another --out"
        ) from None
    return paths


def figure_3(study: RecordedStudy) -> list[Drawn]:
    """Top-1 and cMAP against B with 95 % intervals, raw and chance as lines; the paper's points where it prints any."""
    settings = settings_table(study.trials)
    panels = [(metric, groups) for metric in ("top1", "cmap") if (groups := sweep_groups(settings, BUDGET, metric))]
    if not panels:
        return []
    blocks = report_blocks(study.space, study.profile, settings)
    with matplotlib.rc_context(STYLE):
        figure = canvas((_WIDTH, 3.6))
        for axes, (metric, groups) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
            published = [
                (float(line.row.budget), cell.printed.value)
                for block in blocks
                for line in block.lines
                if line.row.budget is not None
                and line.row.weight == 1.0  # the paper's sweep
                and (cell := line.cells.get(metric)) is not None
                and cell.printed is not None
            ]
            chance = next((block.chance_of_paper for block in blocks), None) if metric == "cmap" else None
            draw_sweep(axes, settings, groups, BUDGET, metric, sorted(set(published)), chance)
        _one_legend(figure)
    notes = ("the paper's points are on its own data and networks",) if blocks and study.profile != "paper" else ()
    return [Drawn(f"figure3_{study.name}", figure, notes)]


def figure_5(study: RecordedStudy) -> list[Drawn]:
    """The losses of f_A, f_T and f_B over the epochs of the minimax stage, mean over seeds; six settings a figure."""
    settings = settings_table(study.trials)
    names = [str(setting) for setting in settings.index[settings["method"] != RAW]]
    run_ids = {name: [str(run) for run in study.trials.index[study.trials["setting"] == name]] for name in names}
    curves = read_curves(study, _LOSSES, [run for name in names for run in run_ids[name]])
    drawn_names = [name for name in names if name in set(curves["setting"])]
    pages = [drawn_names[first : first + len(PALETTE)] for first in range(0, len(drawn_names), len(PALETTE))]
    found = []
    for number, page in enumerate(pages, start=1):
        here = curves[curves["setting"].isin(page)]
        with matplotlib.rc_context({**STYLE, "axes.titlesize": 8}):
            figure = canvas((_WIDTH * 1.3, 3.4))
            for axes, name in zip(figure.subplots(1, len(_LOSSES)), _LOSSES, strict=True):
                draw_loss(axes, here, name)
            _one_legend(figure)
        lacking = [str(settings.loc[name, "label"]) for name in names if name not in drawn_names]
        notes = (f"no loss curves: {', '.join(lacking)}",) if lacking and number == 1 else ()
        found.append(Drawn(f"figure5_{study.name}" + (f"_{number}" if len(pages) > 1 else ""), figure, notes))
    return found


def frames(study: RecordedStudy) -> list[Drawn]:
    """Raw frames once, then a row of anonymized ones for each setting, of its first seed that has them.

    Settings tested on other videos follow under a raw row of their own.
    """
    settings = settings_table(study.trials)
    strips: list[tuple[str, str, Pixels, Pixels]] = []
    lacking = []
    for setting, row in settings.iterrows():
        halves = _halves(study, str(setting))
        if halves is None:
            lacking.append(str(row["label"]))
        else:
            strips.append((str(row["label"]), str(row["method"]), *halves))
    rows: list[tuple[str, Pixels]] = []
    seen: list[Pixels] = []
    for _, _, raw, _ in strips:
        if any(np.array_equal(raw, other) for other in seen):
            continue
        seen.append(raw)
        rows.append(("raw", raw))
        rows += [(label, below) for label, method, above, below in strips if method != RAW and np.array_equal(above, raw)]
    notes = (f"no frames: {', '.join(lacking)}",) if lacking else ()
    return [Drawn(f"frames_{study.name}", _strip_figure(rows), notes)] if rows else []


def _halves(study: RecordedStudy, setting: str) -> tuple[Pixels, Pixels] | None:
    """Upper and lower half of the picture of a setting: raw and anonymized frames."""
    trials: pd.DataFrame = study.trials[study.trials["setting"] == setting].sort_values("seed")
    for run_id in trials.index:
        with tempfile.TemporaryDirectory() as folder:
            try:
                with Image.open(fetch_artifact(study, str(run_id), ARTIFACT_FRAMES, folder)) as opened:
                    pixels = np.asarray(opened.convert("RGB"), dtype=np.uint8)
            except (AnalysisError, OSError, UnidentifiedImageError):
                continue
        middle = len(pixels) // 2
        return pixels[:middle], pixels[middle : 2 * middle]
    return None


def _strip_figure(rows: Sequence[tuple[str, Pixels]]) -> Figure:
    heights = [(_WIDTH - _LABEL) * pixels.shape[0] / pixels.shape[1] for _, pixels in rows]
    gap = 0.06
    total = sum(heights) + gap * (len(rows) + 1)
    with matplotlib.rc_context(STYLE):
        figure = canvas((_WIDTH, total))
        figure.set_layout_engine("none")  # every row has its place
        top = total - gap
        for (label, pixels), height in zip(rows, heights, strict=True):
            axes = figure.add_axes((_LABEL / _WIDTH, (top - height) / total, 1 - (_LABEL + gap) / _WIDTH, height / total))
            axes.imshow(pixels, interpolation="nearest", aspect="auto")
            axes.set_axis_off()
            middle = (top - height / 2) / total
            figure.text(gap / _WIDTH, middle, clipped(label, 24), va="center", color=GREY if label == "raw" else "black")
            top -= height + gap
    return figure


def _one_legend(figure: Figure) -> None:
    """Draws one legend for all panels, with each label once."""
    named: dict[str, object] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if label in named:
                handle.set_label("_")
            named[label] = handle
    legend_below(figure, 4)
