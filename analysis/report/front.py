"""The section on the front: what the figure shows, in words: its knee, its area, what is dominated, what most seeds attain."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd

from analysis import text
from analysis.measure.pareto import covered
from analysis.measure.plane import Plane, corner
from analysis.measure.settings import DEFAULT
from analysis.report.drawing import NARROW, WIDE, image_uri
from analysis.report.front_figure import attained, front_figure, seeds_alike
from analysis.report.page import Picture, picture
from analysis.report.selection import MOST_NAMED
from trainables.schema import FINAL_METRICS
from trainables.statistics import CONFIDENCE


def front_text(settings: pd.DataFrame, plane: Plane = DEFAULT) -> str:
    """The front in one line for a terminal."""
    known = settings.dropna(subset=list(plane.names))
    axes = f"front ({FINAL_METRICS[plane.utility].label} against {FINAL_METRICS[plane.privacy].label})"
    if known.empty:
        return f"{axes}: no finished trial has both metrics"
    bends = text.listed(known.loc[known["knee"].astype(bool), "label"]) or "none"
    areas = []
    for _, group in known.groupby("protocol", sort=False):
        area, words = _hypervolume(group, plane)
        areas.append(f"hypervolume {text.percent(area, space=' ')} from {words}")
    return f"{axes}: {'; '.join([_share_dominated(known), f'knee {bends}', *areas])}"


def how_to_read(plane: Plane) -> str:
    """Towards which corner of the figure settings are better."""
    up = "Up" if plane.directions[1] == "higher" else "Down"
    return f"{up} and to the {'left' if plane.directions[0] == 'lower' else 'right'} is better."


def notes(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> list[str]:
    """Sentences on the knee of the front, the settings off it, its area, and what most seeds attain."""
    known = settings.dropna(subset=list(plane.names))
    if known.empty:
        return []
    return [
        f"{_knee_note(known)} {_share_dominated(known)}.",
        *_hypervolume_notes(known, plane),
        _attainment_note(trials, known, plane),
    ]


def _share_dominated(known: pd.DataFrame) -> str:
    off = known.loc[~known["on_front"].astype(bool), "dominated"]
    count = f"{len(off)} of {text.counted(len(known), 'setting')} dominated"
    if off.empty:
        return count
    if off.isna().all():
        return f"{count}, with no confidence (n = 1)"
    return f"{count}, {(off >= CONFIDENCE).sum()} of them in 95 % of resamples of the seeds or more"


def _knee_note(known: pd.DataFrame) -> str:
    """Which setting is the knee; where there are several protocols, the knee of each."""
    bends = [str(label) for label in known.loc[known["knee"].astype(bool), "label"]]
    if known["on_front"].sum() == 1:
        return f"The front is one setting: {text.listed(bends)}."
    if not bends:
        return "No knee: the front nowhere bends beyond the line through its ends."
    return f"Knee, furthest beyond the line through the ends of the front: {text.listed(bends)}."


def _hypervolume(settings: pd.DataFrame, plane: Plane) -> tuple[float, str]:
    """The share of the rectangle between the fixed corner and the ideal that the front of settings of one protocol dominates,
    and the corner in words."""
    at = corner(plane, settings)
    return covered(settings[list(plane.names)], at.reference, at.ideal, plane.directions), at.words


def _hypervolume_notes(known: pd.DataFrame, plane: Plane) -> list[str]:
    """One sentence for each protocol."""
    found = []
    for _, group in known.groupby("protocol", sort=False):
        area, words = _hypervolume(group, plane)
        where = f" ({text.listed(group['label'], MOST_NAMED)})" if known["protocol"].nunique() > 1 else ""
        counts = ", ".join(f"n = {n}" for n in sorted(set(group["n"])))
        if math.isnan(area):
            found.append(f"No hypervolume{where}: nothing lies between {words} and the best there can be.")
        else:
            found.append(
                f"Hypervolume{where}: the front covers {text.percent(area, space=' ')} of the rectangle from the fixed corner,"
                f" {words}, to the best there can be (of the means over {counts}, without interval)."
            )
    return found


def _attainment_note(trials: pd.DataFrame, known: pd.DataFrame, plane: Plane) -> str:
    blocks = seeds_alike(trials, known, plane)
    if not blocks:
        return "No median attainment surface: it takes settings that share three seeds."
    counts = " and ".join(
        f"{block['seed'].nunique()} seeds, {block['setting'].nunique()} of {(known['protocol'] == protocol).sum()} settings"
        for protocol, block in blocks.items()
    )
    return (
        f"Dashed: median attainment surface, what at least half of the seeds attain ({counts}, those with all these seeds);"
        " the quartiles are in attainment.csv."
    )


def surfaces(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """The corners of the attainment surfaces, one row each; empty where settings do not share three seeds."""
    known = settings.dropna(subset=list(plane.names))
    rows = [
        (protocol, percent, *point)
        for protocol, surfaces in attained(trials, known, plane).items()
        for percent, corners in surfaces.items()
        for point in corners.tolist()
    ]
    return pd.DataFrame(rows, columns=["protocol", "percent", *plane.names])


def clip_front(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> Picture | None:
    """The figure of the same utility against leakage on the clips; None where that was not measured or is the front itself."""
    if "clip_leakage" in plane.names or trials["clip_leakage"].isna().all():
        return None
    clips = Plane(plane.utility, "clip_leakage")
    wide, narrow = (front_figure(trials, settings, clips, size)[0] for size in (WIDE, NARROW))
    label = FINAL_METRICS[plane.utility].label
    alt = f"{text.sentence(label)} against leakage measured on the action clips; the numbers are in the table of settings"
    dashed = "Dashed: median attainment surface, as above." if seeds_alike(trials, settings, clips) else ""
    return replace(picture(wide, "front-on-clips", alt, dashed), narrow_uri=image_uri(narrow))
