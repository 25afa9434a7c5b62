"""The section on the front: what the figure shows, in words: its knee, its area, what is dominated, what most seeds attain."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
from pandas.api.typing import DataFrameGroupBy

from analysis import text
from analysis.measure.pareto import covered
from analysis.measure.plane import Plane, corner
from analysis.measure.settings import DEFAULT, placed
from analysis.measure.validation import not_validated
from analysis.report.drawing import NARROW, WIDE, image_uri
from analysis.report.front_figure import attained, front_figure, seeds_alike, without_doubtful_fronts
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
    known = without_doubtful_fronts(known, plane)
    if not known["on_front"].any():
        return f"{axes}: none, {_no_front(settings, plane)}"
    bends = text.listed(known.loc[known["knee"].astype(bool), "label"]) or "none"
    areas = []
    for _, group in _fronts(known):
        area, words = _hypervolume(group, plane)
        areas.append(f"hypervolume {text.percent(area, space=' ')} from {words}")
    return f"{axes}: {'; '.join([_chosen(known, plane), _share_beaten(known), f'knee {bends}', *areas])}"


def how_to_read(plane: Plane, overlaid: bool) -> str:
    """What the edged marks and the steps of the figure are, and towards which corner of it settings are better."""
    among = " of the same study" if overlaid else ""
    front = (
        f"Marks with a dark edge: the front, the settings that no other one{among} beats on {plane.chosen_on} data;"
        " solid steps: what these reach on test data."
    )
    up = "Up" if plane.directions[1] == "higher" else "Down"
    return f"{front} {up} and to the {'left' if plane.directions[0] == 'lower' else 'right'} is better."


def notes(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> list[str]:
    """Sentences on the knee of the front, the settings off it, its area, and what most seeds attain."""
    known = settings.dropna(subset=list(plane.names))
    if known.empty:
        return []
    known = without_doubtful_fronts(known, plane)
    if not known["on_front"].any():
        return [f"No front is drawn: {_no_front(settings, plane)}."]
    return [
        f"{text.sentence(_chosen(known, plane))}. {_knee_note(known)} {text.sentence(_share_beaten(known))}.",
        *_hypervolume_notes(known, plane),
        _attainment_note(trials, known, plane),
    ]


def _no_front(settings: pd.DataFrame, plane: Plane) -> str:
    lacking = not_validated(settings.dropna(subset=list(plane.names)), plane.names, plane.chosen_on)
    return lacking or "raw data are not surely above chance (see the answer)"


def _fronts(known: pd.DataFrame) -> DataFrameGroupBy:
    """The settings of each protocol that has a front."""
    return known[known["protocol"].isin(known.loc[known["on_front"], "protocol"])].groupby("protocol", sort=False)


def _chosen(known: pd.DataFrame, plane: Plane) -> str:
    on, every = known["on_front"].sum(), text.counted(len(known), "setting")
    return f"{on} of {every} on the front, chosen on {plane.chosen_on} data"


def _share_beaten(known: pd.DataFrame) -> str:
    """How many settings another one dominates in the figures of the test data, which had no part in choosing the front."""
    beaten = known.loc[known["beaten"].astype(bool)]
    count = f"on test data {len(beaten)} of {text.counted(len(known), 'setting')} dominated"
    if beaten.empty:
        return count
    how = "with no confidence (n = 1)"
    if beaten["dominated"].notna().any():
        how = f"{(beaten['dominated'] >= CONFIDENCE).sum()} of them in 95 % of resamples of the seeds or more"
    names = text.listed(beaten.loc[beaten["on_front"], "label"], MOST_NAMED)
    return f"{count}, {how}" + (f"; of the front: {names}" if names else "")


def _knee_note(known: pd.DataFrame) -> str:
    """Which setting is the knee; where there are several protocols, the knee of each."""
    bends = [str(label) for label in known.loc[known["knee"].astype(bool), "label"]]
    if known["on_front"].sum() == 1:
        return f"The front is one setting: {text.listed(bends)}."
    if not bends:
        return "No knee: the front nowhere bends beyond the line through its ends."
    return f"Knee, furthest beyond the line through the ends of the front: {text.listed(bends)}."


def _hypervolume(settings: pd.DataFrame, plane: Plane) -> tuple[float, str]:
    """The share of the rectangle between the fixed corner and the ideal that the front of one protocol's settings dominates,
    and the corner in words."""
    at = corner(plane, settings)
    front = settings.loc[settings["on_front"], list(plane.names)]
    return covered(front, at.reference, at.ideal, plane.directions), at.words


def _hypervolume_notes(known: pd.DataFrame, plane: Plane) -> list[str]:
    """One sentence for each protocol."""
    found = []
    for _, group in _fronts(known):
        area, words = _hypervolume(group, plane)
        where = f" ({text.listed(group['label'], MOST_NAMED)})" if known["protocol"].nunique() > 1 else ""
        counts = ", ".join(f"n = {n}" for n in sorted(set(group["n"])))
        if math.isnan(area):
            found.append(f"No hypervolume{where}: nothing lies between {words} and the best there can be.")
        else:
            found.append(
                f"Hypervolume{where}: the front covers {text.percent(area, space=' ')} of the rectangle from the fixed corner,"
                f" {words}, to the best there can be (of the test means over {counts}, without interval)."
            )
    return found


def _attainment_note(trials: pd.DataFrame, known: pd.DataFrame, plane: Plane) -> str:
    blocks = seeds_alike(trials, known, plane)
    if not blocks:
        return "No median attainment surface: it takes settings of the front that share three seeds."
    on = known[known["on_front"]]
    counts = " and ".join(
        f"{block['seed'].nunique()} seeds, {block['setting'].nunique()} of {(on['protocol'] == protocol).sum()} settings"
        for protocol, block in blocks.items()
    )
    return (
        f"Dashed: median attainment surface, what at least half of the seeds attain ({counts} of the front, those with"
        " all these seeds);"
        " the quartiles are in attainment.csv."
    )


def surfaces(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """The corners of the attainment surfaces, one row each; empty where settings do not share three seeds."""
    known = without_doubtful_fronts(settings.dropna(subset=list(plane.names)), plane)
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
    clips = Plane(plane.utility, "clip_leakage", plane.chosen_on)
    settings = without_doubtful_fronts(placed(settings, trials, clips), clips)
    wide, narrow = (front_figure(trials, settings, clips, size)[0] for size in (WIDE, NARROW))
    label = FINAL_METRICS[plane.utility].label
    alt = f"{text.sentence(label)} against leakage measured on the action clips; the numbers are in the table of settings"
    dashed = "Dashed: median attainment surface, as above." if seeds_alike(trials, settings, clips) else ""
    return replace(picture(wide, "front-on-clips", alt, dashed), narrow_uri=image_uri(narrow))
