"""The section on trials that were stopped early: who they are, and who was better."""

from __future__ import annotations

import pandas as pd

from analysis.read.study import RecordedStudy
from analysis.read.trials import EARLY
from analysis.report.page import Section, Table
from analysis.report.selection import MOST_ROWS
from analysis.text import counted


def section(study: RecordedStudy, settings: pd.DataFrame) -> Section | None:
    """None for a study of which no trial was stopped early."""
    early = study.unfinished[study.unfinished["state"] == EARLY]
    if not len(early):
        return None
    rows = [[str(row["name"]), str(row["reason"])] for _, row in early[:MOST_ROWS].iterrows()]
    caption = (
        f"{counted(len(early), 'trial')} ended while the anonymizer was trained, since others were better in both figures"
        " that were looked at then. They are no points of a front, and in no other table; a study without --stop-early goes"
        " on with them."
    )
    if len(rows) < len(early):
        caption += f" {len(rows)} are shown, trials.csv has all."
    return Section("Stopped early", tables=[Table(caption, ["trial", "why"], rows)])
