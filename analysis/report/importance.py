"""The section on axes: which of the parameters that vary decide whether a trial is among the best."""

from __future__ import annotations

import pandas as pd

from analysis import text
from analysis.measure.importance import BEST, importance
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM
from analysis.report.page import Section, Table


def section(study: RecordedStudy, settings: pd.DataFrame) -> Section | None:
    """None for a study that varies fewer than two numbers, or has too few trials to say."""
    found = importance(study.trials)
    if not len(found):
        return None
    penalised = study.trials[study.trials["method"] == "penalty"]
    rows = []
    for name, share in found.items():
        tried = pd.to_numeric(penalised[str(name)])
        values = f"{text.plain(float(tried.min()))} to {text.plain(float(tried.max()))}"
        rows.append([str(name).removeprefix(PARAM), f"{100 * share:.0f} %", values])
    caption = (
        f"The share of each axis in whether a trial of the penalty is among the best {100 * BEST:.0f} % in validation accuracy"
        " and leakage (by rank of non-domination, then hypervolume): PED-ANOVA. Of a grid with few values it says little."
    )
    return Section("Which axis decides", tables=[Table(caption, ["axis", "share", "values tried"], rows)])
