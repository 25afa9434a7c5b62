"""What a reader gets to know when pointing at a mark of the front: its settings, its figures, its runs, its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import pandas as pd

from analysis.measure.plane import Plane
from analysis.measure.settings import of, shown, varying
from analysis.read.store import is_database, shown_uri
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.figures import STUDY, Mark
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
    trials: pd.DataFrame,
    settings: pd.DataFrame,
    plane: Plane,
    marks: Mapping[str, Mark],
    frames: Mapping[str, str],
) -> list[Card]:
    """A card a mark. `frames`: id of a figure by the run it shows; a trial without one has those of another seed."""
    by_name = {study.name: study for study in studies}
    differing = {study.name: list(varying(study.trials))[:_MOST_PARAMS] for study in studies}
    runs_of = trials.groupby("setting", sort=False).indices
    found = []
    for name, mark in marks.items():
        row = cast(pd.Series, (settings if mark.is_mean else trials).loc[mark.row])
        group = trials.iloc[runs_of[str(mark.row if mark.is_mean else row["setting"])]].sort_values("seed")
        study = by_name[str(row[STUDY])] if STUDY in row.index else studies[0]
        told = group if mark.is_mean else trials.loc[[mark.row]]
        where = f" of study {study.name}" if len(studies) > 1 else ""
        seen = [str(run_id) for run_id in (*told.index, *group.index) if str(run_id) in frames]
        found.append(
            Card(
                mark=name,
                title=str(row["label"]),
                subtitle=(f"mean of n = {row['n']}" if mark.is_mean else f"one trial, seed {row['seed']}") + where,
                figures=_figures(row, plane, mark.is_mean),
                settings=[(key, str(row[PARAM + key])) for key in differing[study.name] if PARAM + key in row.index],
                runs=[_link(study, str(run_id), trial["seed"]) for run_id, trial in told.head(_MOST_RUNS).iterrows()],
                frames=frames[seen[0]] if seen else "",
            )
        )
    return found


def where_runs_are(study: RecordedStudy) -> str:
    """The command that shows the runs of a database in a browser; empty where a server does it already."""
    return f"mlflow server --backend-store-uri {shown_uri(study.tracking_uri)}" if is_database(study.tracking_uri) else ""


def _figures(row: pd.Series, plane: Plane, is_mean: bool) -> list[tuple[str, str]]:
    found = []
    for name in dict.fromkeys((plane.utility, plane.privacy, *_TOLD)):
        if name not in row.index or pd.isna(row[name]):
            continue
        text = shown(name, of(row, name) if is_mean else Estimate(float(row[name]), float("nan"), 1))
        unit = " %" if FINAL_METRICS[name].percent else ""
        found.append((FINAL_METRICS[name].label, text.removesuffix(" (n = 1)") + unit))
    return found


def _link(study: RecordedStudy, run_id: str, seed: object) -> RunLink:
    uri = shown_uri(study.tracking_uri).rstrip("/")
    served = uri.startswith(("http://", "https://"))
    return RunLink(f"seed {seed}", run_id, f"{uri}/#/experiments/{study.experiment_id}/runs/{run_id}" if served else "")
