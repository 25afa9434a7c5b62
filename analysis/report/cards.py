"""The cards that the page shows when a reader points at a mark of the front: parameters, figures, runs and frames."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from analysis import text
from analysis.measure.plane import Plane
from analysis.measure.settings import of, varying
from analysis.read.store import is_database, shown_uri
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.drawing import Mark
from analysis.report.front_figure import STUDY
from trainables.schema import FINAL_METRICS
from trainables.statistics import Estimate

_TOLD = ("top1", "leakage", "clip_leakage", "worst_leakage", "deployed_top1", "cmap", "rms_distortion", "penalty_active")
_MOST_RUNS, _MOST_PARAMS = 12, 14


@dataclass(frozen=True)
class RunLink:
    """A run of MLflow; `href` is empty where no server shows it."""

    text: str
    run_id: str
    href: str


@dataclass(frozen=True)
class Card:
    """`mark`: the point of the front it belongs to; `frames`: id of the figure on the page that shows them, or empty."""

    mark: str
    title: str
    subtitle: str
    figures: Sequence[tuple[str, str]]
    settings: Sequence[tuple[str, str]]
    runs: Sequence[RunLink]
    frames: str


def cards(
    studies: Sequence[RecordedStudy],
    overlaid: tuple[pd.DataFrame, pd.DataFrame],
    plane: Plane,
    marks: Mapping[str, Mark],
    frames: Mapping[str, str],
) -> list[Card]:
    """One card for each mark. `overlaid`: trials and settings as `settings.overlay` gives them.

    `frames`: run id -> id of the figure that shows its frames; a trial without frames has those of another seed.
    """
    trials, settings = overlaid
    by_name = {study.name: study for study in studies}
    differing = {study.name: list(varying(study.trials))[:_MOST_PARAMS] for study in studies}
    runs_of = trials.groupby("setting", sort=False).indices
    found = []
    for name, mark in marks.items():
        row = cast(pd.Series, (settings if mark.is_mean else trials).loc[mark.row])
        group = trials.iloc[runs_of[str(mark.row if mark.is_mean else row["setting"])]].sort_values("seed")
        study = by_name[str(row[STUDY])] if STUDY in row.index else studies[0]
        members = group if mark.is_mean else trials.loc[[mark.row]]
        where = f" of study {study.name}" if len(studies) > 1 else ""
        seen = [str(run_id) for run_id in (*members.index, *group.index) if str(run_id) in frames]
        found.append(
            Card(
                mark=name,
                title=str(row["label"]),
                subtitle=(f"mean of n = {row['n']}" if mark.is_mean else f"one trial, seed {row['seed']}") + where,
                figures=_figures(row, plane, mark.is_mean),
                settings=[(key, str(row[PARAM + key])) for key in differing[study.name] if PARAM + key in row.index],
                runs=[_link(study, str(run_id), trial["seed"]) for run_id, trial in members.head(_MOST_RUNS).iterrows()],
                frames=frames[seen[0]] if seen else "",
            )
        )
    return found


def where_runs_are(study: RecordedStudy) -> str:
    """The command that serves the runs of a database to a browser; empty where a server does so already."""
    return f"mlflow server --backend-store-uri {shown_uri(study.tracking_uri)}" if is_database(study.tracking_uri) else ""


def _figures(row: pd.Series, plane: Plane, is_mean: bool) -> list[tuple[str, str]]:
    found = []
    for name in dict.fromkeys((plane.utility, plane.privacy, *_TOLD)):
        if name not in row.index or pd.isna(row[name]):
            continue
        value = of(row, name) if is_mean else Estimate(float(row[name]), math.nan, 1)
        found.append((FINAL_METRICS[name].label, text.metric_mean(name, value, count=False) + text.unit(name, " ")))
    return found


def _link(study: RecordedStudy, run_id: str, seed: object) -> RunLink:
    uri = shown_uri(study.tracking_uri).rstrip("/")
    served = uri.startswith(("http://", "https://"))
    return RunLink(f"seed {seed}", run_id, f"{uri}/#/experiments/{study.experiment_id}/runs/{run_id}" if served else "")
