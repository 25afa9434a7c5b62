"""A section of one's own in the report: how long the trials of each setting took."""

import pandas as pd

from analysis import text
from analysis.measure.settings import of
from analysis.read.study import RecordedStudy
from analysis.report.page import Section, Table
from analysis.report.report import FURTHER_SECTIONS


def section(study: RecordedStudy, settings: pd.DataFrame) -> Section | None:
    rows = [[str(row["label"]), text.metric_mean("seconds", of(row, "seconds"))] for _, row in settings.iterrows()]
    table = Table("Wall time of the stages of a trial, mean over seeds.", ["setting", "seconds"], rows)
    return Section("How long it took", tables=[table]) if rows else None


FURTHER_SECTIONS.append(section)
