"""The report of a study and the evidence on one of its anonymizers, as pages that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ReportOptions:
    """Which studies a report covers, each a search space with its profile (None: the only one there is), and where it goes.

    `utility` and `privacy` name the final metrics of the front's axes, `chosen_on` the data by whose figures settings are
    chosen; `tracking_uri` None stands for MLFLOW_TRACKING_URI.
    """

    studies: Sequence[tuple[str, str | None]]
    out: str | Path
    tracking_uri: str | None = None
    utility: str = "top1"
    privacy: str = "leakage"
    chosen_on: Literal["validation", "test"] = "validation"


def report_studies(options: ReportOptions) -> Path:
    """Writes the report, prints its tables of settings and what the fronts amount to, and returns the path of the page.

    Raises `analysis.read.store.AnalysisError`, a message of one line, for a study that is not there, a metric that has no
    place on an axis, or an output that cannot be written.
    """
    from analysis.measure.answer import answer
    from analysis.measure.plane import Plane
    from analysis.measure.settings import settings_table
    from analysis.measure.warnings import seeds_beyond_the_plan
    from analysis.read.attacks import not_recorded
    from analysis.read.store import AnalysisError
    from analysis.read.study import read_study
    from analysis.read.trials import EARLY, REPLACED
    from analysis.report.front import front_text
    from analysis.report.report import write_report
    from analysis.report.table_of_settings import settings_text
    from analysis.text import counted

    plane = Plane(options.utility, options.privacy, options.chosen_on)
    studies = [read_study(space, profile, options.tracking_uri) for space, profile in options.studies]
    for study in studies:
        for metric in plane.names:
            if problem := not_recorded(study.trials, metric):
                raise AnalysisError(f"{study.name}: {problem}")
    each = [settings_table(study.trials, plane) for study in studies]
    page = write_report(studies[0], options.out, plane, studies[1:], each)
    for study, settings in zip(studies, each, strict=True):
        if len(studies) > 1:
            print(study.name)
        print(*answer(settings, plane))
        print(settings_text(settings, plane))
        print(front_text(settings, plane))
        if study.other_seeds:
            print(seeds_beyond_the_plan(study))
        replaced = int(study.unfinished["state"].isin(REPLACED).sum())
        early = int((study.unfinished["state"] == EARLY).sum())
        if early:
            print(f"{counted(early, 'trial')} stopped early, which do not count; the report lists them")
        if lacking := len(study.unfinished) - replaced - early:
            print(f"{counted(lacking, 'trial')} without a usable result; the report says why")
        if replaced:
            print(f"{counted(replaced, 'older run')} replaced or planned anew, which do not count; the report lists them")
    return page


def report_study(space: str, profile: str, tracking_uri: str, out: str | Path) -> Path:
    """Writes the report of one study with the default axes; see `report_studies` for what it prints and raises."""
    return report_studies(ReportOptions([(space, profile)], out, tracking_uri))
