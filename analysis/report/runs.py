"""The section on runs: what ran, what failed, what is missing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from analysis import text
from analysis.measure.warnings import missing_seeds
from analysis.read.attacks import invalid
from analysis.read.study import RecordedStudy
from analysis.read.trials import EARLY, REPLACED
from analysis.report.front_figure import STUDY
from analysis.report.page import Section, Table
from analysis.report.selection import MOST_ROWS, left_out

_MOST_MISSING = 40  # settings named that lack a seed


def section(study: RecordedStudy) -> Section:
    """Tables of the runs and of those without a result, and the seeds that settings lack."""
    missing = missing_seeds(study)
    more = len(missing) - _MOST_MISSING
    notes = [*missing[:_MOST_MISSING], *([f"and {more} more; trials.csv has all runs"] if more > 0 else [])]
    return Section("What ran, failed, is missing", tables=[*_ran(study), *_unfinished(study)], notes=notes)


def every_run(studies: Sequence[RecordedStudy]) -> pd.DataFrame:
    """Trials and unfinished runs in one table with a column `state`; it holds every run of the studies."""
    found = []
    for study in studies:
        extra = study.unfinished.set_index("run_id")
        done = study.trials.assign(state="finished")
        done.loc[invalid(done), "state"] = "invalid"
        done.loc[done.index.isin(extra.index), "state"] = "incomplete"
        rest = extra[~extra.index.isin(done.index)]
        runs = pd.concat([done, rest]) if len(rest) else done
        found.append(runs.assign(**{STUDY: study.name}) if len(studies) > 1 else runs)
    return pd.concat(found)


def _ran(study: RecordedStudy) -> list[Table]:
    states = every_run([study])
    rows = []
    labels = states["label"].unique()
    for label, group in states[states["label"].isin(labels[:MOST_ROWS])].groupby("label", sort=False):
        count = group["state"].value_counts()
        finished = group[group["state"] == "finished"]
        rows.append(
            [
                str(label),
                str(len(finished)),
                " ".join(str(seed) for seed in sorted(finished["seed"].dropna())) or text.DASH,
                ", ".join(f"{n} {state}" for state, n in count.items() if state != "finished") or text.DASH,
                text.number(finished["seconds"].mean() if "seconds" in finished else math.nan, 0),
            ]
        )
    caption = f"Runs of this study. {left_out(len(labels), 'settings', 'trials.csv')}".strip()
    return [Table(caption, ("setting", "finished", "seeds", "otherwise", "seconds a trial"), rows)] if rows else []


def _unfinished(study: RecordedStudy) -> list[Table]:
    """The runs that do not count with every reason, but for those stopped early; of many with one reason, the first few."""
    every = unfinished = study.unfinished[study.unfinished["state"] != EARLY]
    if len(unfinished) > MOST_ROWS:
        kind = unfinished.groupby(["state", "reason"], sort=False)
        each = max(1, MOST_ROWS // kind.ngroups)
        unfinished = kind.head(each)[:MOST_ROWS]
    rows = [
        [str(row["name"]), str(row["state"]), str(row["reason"]), _when(row["started"])] for _, row in unfinished.iterrows()
    ]
    replaced = every["state"].isin(REPLACED).any()
    caption = "Runs that do not count: without a usable result, or replaced." if replaced else "Runs without a usable result."
    if len(unfinished) < len(every):
        counts = ", ".join(f"{n} {state}" for state, n in every["state"].value_counts().items())
        caption += f" {counts}; {len(unfinished)} are shown, trials.csv has all."
    return [Table(caption, ("trial", "state", "reason", "started (UTC)"), rows)] if rows else []


def _when(started: pd.Timestamp) -> str:
    return text.DASH if pd.isna(started) else f"{started:%Y-%m-%d %H:%M}"
