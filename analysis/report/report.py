"""`report.html`: one study or several as a short paper in one file that opens from disk without a network, and beside it its
tables as CSV and its figures as PNG and PDF. Each section of the page is a module of this package."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis.measure.answer import answer as answer_of
from analysis.measure.answer import headline
from analysis.measure.plane import Plane
from analysis.measure.settings import DEFAULT, overlay, settings_table
from analysis.measure.warnings import warnings_of
from analysis.paper.cells import report_blocks
from analysis.read.store import shown_uri
from analysis.read.study import RecordedStudy
from analysis.report import (
    answer,
    attacks,
    attributes,
    drawing,
    frames,
    front,
    importance,
    losses,
    measured,
    published_comparison,
    runs,
    stopped_early,
    sweeps,
    table_of_settings,
)
from analysis.report.cards import Card, cards, where_runs_are
from analysis.report.front_figure import front_figure
from analysis.report.page import Picture, Section, Table, cannot_write, render
from analysis.report.selection import MOST_ROWS, left_out, of_interest
from trainables.schema import FINAL_METRICS

MakeSection = Callable[[RecordedStudy, pd.DataFrame], Section | None]  # study, table of settings -> None for nothing to show
# printed after the attributes, in this order
FURTHER_SECTIONS: list[MakeSection] = [attacks.section, importance.section, stopped_early.section]


@dataclass(frozen=True)
class StudyPart:
    """What the page says of one study, in reading order."""

    study: RecordedStudy
    store: str
    where_runs_are: str
    answer: tuple[str, str]
    warnings: list[str]
    front_notes: list[str]
    sweeps: list[Picture]
    attributes: Section | None
    further: list[Section]
    published: Section | None
    losses: Section | None
    frames: Section | None
    runs: Section
    measured: Section
    common: Table | None

    @property
    def pictures(self) -> Iterator[Picture]:
        """All pictures that are written to files of their own."""
        yield from self.sweeps
        for section in (self.attributes, self.losses, *self.further):
            yield from section.pictures if section else ()


@dataclass(frozen=True)
class Page:
    """Everything on the page: what concerns all studies, and the part of each."""

    title: str
    parts: list[StudyPart]
    rule: str  # by which the answer's setting was chosen; empty where none was
    front: Markup
    front_narrow: Markup
    front_figure: Figure
    front_reads: str
    cards: list[Card]
    opened: str  # the mark of the answer's setting, whose card is there from the beginning; empty where there is no answer
    settings: Table
    settings_note: str
    clip_front: Picture | None
    metrics: Table

    @property
    def pictures(self) -> Iterator[Picture]:
        """All pictures but the front that are written to files of their own."""
        if self.clip_front:
            yield self.clip_front
        for part in self.parts:
            yield from part.pictures


def write_report(
    study: RecordedStudy,
    out: str | Path,
    plane: Plane = DEFAULT,
    compared: Sequence[RecordedStudy] = (),
    each: Sequence[pd.DataFrame] = (),
) -> Path:
    """Writes report.html, its figures as PNG and PDF, trials.csv, settings.csv and, where settings share three seeds,
    attainment.csv into `out`; returns the path of the page. The studies in `compared` are drawn over the first one.

    `each` may hold the settings of every study in that plane, where the caller has made them already. A study with nothing
    to show gets a page that says so. Raises AnalysisError when `out` cannot be written.
    """
    folder, studies = Path(out), [study, *compared]
    each = each or [settings_table(one.trials, plane) for one in studies]
    trials, table = overlay(studies, each)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        runs.every_run(studies).to_csv(folder / "trials.csv")
        table.to_csv(folder / "settings.csv")
        surfaces = front.surfaces(trials, table, plane)
        if len(surfaces):
            surfaces.to_csv(folder / "attainment.csv", index=False)
        else:
            (folder / "attainment.csv").unlink(missing_ok=True)  # an earlier report in other axes may have left one
        content = build_page(studies, each, plane)
        drawing.save(content.front_figure, folder / "front")
        for drawn in content.pictures:
            if drawn.figure is not None:
                drawing.save(drawn.figure, folder / drawn.file)
        page = folder / "report.html"
        page.write_text(render("report", "report.js", page=content), encoding="utf-8")
    except OSError as error:
        raise cannot_write("the report", folder, error) from None
    return page.absolute()


def build_page(studies: Sequence[RecordedStudy], each: Sequence[pd.DataFrame], plane: Plane = DEFAULT) -> Page:
    """Gathers the page; reads curves, frames and records of the settings that are shown. `each`: the settings of each study."""
    trials, table = overlay(studies, each)
    wide, marks = front_figure(trials, table, plane)
    narrow, narrow_marks = front_figure(trials, table, plane, drawing.NARROW)
    prefixes = [f"{study.name}-" if len(studies) > 1 else "" for study in studies]
    parts = [_part(study, own, plane, prefix) for study, own, prefix in zip(studies, each, prefixes, strict=True)]
    best = headline(table, plane)
    frames_of = {drawn.of: drawn.id for part in parts if part.frames for drawn in part.frames.pictures}
    return Page(
        title=" and ".join(study.name for study in studies),
        parts=parts,
        rule="" if best is None else answer.rule(plane),
        front=Markup(drawing.inline_svg(wide, "wide", marks)),
        front_narrow=Markup(drawing.inline_svg(narrow, "narrow", narrow_marks)),
        front_figure=wide,
        front_reads=front.how_to_read(plane, len(studies) > 1),
        cards=cards(studies, (trials, table), plane, marks, frames_of),
        opened=next((name for name, mark in marks.items() if best is not None and mark.is_mean and mark.row == best.name), ""),
        settings=table_of_settings.table(of_interest(table, MOST_ROWS, plane), plane),
        settings_note=left_out(len(table), "settings", "settings.csv"),
        clip_front=front.clip_front(trials, table, plane),
        metrics=Table(
            "What each figure is. Shares are printed in percent, changes in percentage points.",
            ("figure", "meaning", "better"),
            [(metric.label, metric.meaning, metric.better) for metric in FINAL_METRICS.values()],
        ),
    )


def _part(study: RecordedStudy, table: pd.DataFrame, plane: Plane, prefix: str) -> StudyPart:
    """The sections of one study; the files of its figures begin with `prefix`."""
    return StudyPart(
        study=study,
        store=shown_uri(study.tracking_uri),
        where_runs_are=where_runs_are(study),
        answer=answer_of(table, plane),
        warnings=[
            *attacks.warnings_of(study.trials),
            *warnings_of(study, table, plane),
            *measured.missing_weights_of(study.trials),
        ],
        front_notes=front.notes(study.trials, table, plane),
        sweeps=sweeps.section(table, plane, prefix),
        attributes=attributes.section(study.trials, table, plane, prefix),
        further=[section for make in FURTHER_SECTIONS if (section := make(study, table))],
        published=published_comparison.section(study, report_blocks(study.space, study.profile, table)),
        losses=losses.section(study, table, plane, prefix),
        frames=frames.section(study, table, plane),
        runs=runs.section(study),
        measured=measured.section(study, table, plane),
        common=measured.common_parameters(study.trials),
    )
