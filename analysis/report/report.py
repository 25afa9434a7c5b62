"""`report.html`: one study or several as a short paper in one file that opens from disk without a network, and beside it
its tables as CSV and its figures as PNG and PDF."""

from __future__ import annotations

import base64
import hashlib
import io
import math
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image, UnidentifiedImageError

from analysis.measure import settings as tables
from analysis.measure.pareto import covered
from analysis.measure.plane import Plane, corner
from analysis.paper import cells
from analysis.paper.published import Printed
from analysis.read.artifacts import fetch_artifact, read_curves, read_records
from analysis.read.attacks import invalid
from analysis.read.store import AnalysisError, shown_uri
from analysis.read.study import RecordedStudy
from analysis.read.trials import PARAM, RAW
from analysis.report import attacks, figures
from analysis.report.cards import Card, cards, where_runs_are
from analysis.report.page import Picture, Section, Table, picture
from trainables.schema import AP, AP_CHANCE, ARTIFACT_FRAMES, CLIP, CPU_HOURS, FINAL_METRICS, GPU_HOURS
from trainables.statistics import CONFIDENCE

DEFAULT = tables.DEFAULT
_HERE = Path(__file__).parent
_MOST_FRAMES, _FRAMES_BYTES, _FRAMES_WIDTH = 48, 2_500_000, 900
_MOST_NAMED = 4  # settings named with a remark on some of them
_MOST_ROWS = 150  # of a table on the page; the CSV files have all
_MOST_RECORDS = 24  # trials asked for what they were measured with
_MOST_VALUES = 12  # of a parameter that varies
_IDLE = {"starting": "starting workers", "waiting": "waiting for stages of other trials", "unused": "held by no trial"}


@dataclass(frozen=True)
class Part:
    """What the page says of one study, in reading order."""

    study: RecordedStudy
    store: str
    where_runs_are: str
    answer: tuple[str, str]
    warnings: list[str]
    front_notes: list[str]
    sweeps: list[Picture]
    attribute_pictures: list[Picture]
    attribute_tables: list[Table]
    evidence: list[Section]
    published: Table | None
    published_note: str
    losses: list[Picture]
    losses_note: str
    frames: list[Picture]
    frames_note: str
    ran: Table
    unfinished: Table | None
    missing: list[str]
    measured: Table
    varying: Table | None
    common: Table | None

    @property
    def pictures(self) -> Iterator[Picture]:
        yield from (*self.sweeps, *self.attribute_pictures, *self.losses)
        for section in self.evidence:
            yield from section.pictures


@dataclass(frozen=True)
class Page:
    """Everything on the page: what concerns all studies, and each one's own part."""

    title: str
    parts: list[Part]
    plane: Plane
    rule: str
    front: Markup
    front_narrow: Markup
    front_figure: figures.Figure
    front_reads: str
    cards: list[Card]
    settings: Table
    settings_note: str
    clip_front: Picture | None
    metrics: Table


def write_report(
    study: RecordedStudy,
    out: str | Path,
    plane: Plane = DEFAULT,
    compared: Sequence[RecordedStudy] = (),
    each: Sequence[pd.DataFrame] = (),
) -> Path:
    """Writes report.html, its figures as PNG and PDF, trials.csv, settings.csv and, with seeds enough, attainment.csv into
    `out`; returns the path of the page. Studies in `compared` are laid over the first one. `each`: the settings of every
    study in that plane, where they are made already.

    A study with nothing to show gets a page that says so. Raises AnalysisError when `out` cannot be written.
    """
    folder, studies = Path(out), [study, *compared]
    each = each or [tables.settings_table(one.trials, plane) for one in studies]
    trials, settings = tables.overlay(studies, each)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        every_run(studies).to_csv(folder / "trials.csv")
        settings.to_csv(folder / "settings.csv")
        surfaces = _surfaces(trials, settings, plane)
        if len(surfaces):
            surfaces.to_csv(folder / "attainment.csv", index=False)
        else:
            (folder / "attainment.csv").unlink(missing_ok=True)  # of a report made before in other axes
        content = build_page(studies, each, plane)
        figures.save(content.front_figure, folder / "front")
        for drawn in _pictures(content):
            if drawn.figure is not None:
                figures.save(drawn.figure, folder / drawn.file)
        page = folder / "report.html"
        page.write_text(render(content), encoding="utf-8")
    except OSError as error:
        raise AnalysisError(
            f"the report cannot be written to {folder} ({error.strerror or error}); give another --out"
        ) from None
    return page.absolute()


def _pictures(page: Page) -> Iterator[Picture]:
    if page.clip_front:
        yield page.clip_front
    for part in page.parts:
        yield from part.pictures


def every_run(studies: Sequence[RecordedStudy]) -> pd.DataFrame:
    """Trials and unfinished runs in one table, with `state`: no run is missing from trials.csv."""
    found = []
    for study in studies:
        extra = study.unfinished.set_index("run_id")
        done = study.trials.assign(state="finished")
        done.loc[invalid(done), "state"] = "invalid"
        done.loc[done.index.isin(extra.index), "state"] = "incomplete"
        rest = extra[~extra.index.isin(done.index)]
        runs = pd.concat([done, rest]) if len(rest) else done
        found.append(runs.assign(**{figures.STUDY: study.name}) if len(studies) > 1 else runs)
    return pd.concat(found)


def front_text(settings: pd.DataFrame, plane: Plane = DEFAULT) -> str:
    """The front in one line for a terminal."""
    known = settings.dropna(subset=list(plane.names))
    axes = f"front ({FINAL_METRICS[plane.utility].label} against {FINAL_METRICS[plane.privacy].label})"
    if known.empty:
        return f"{axes}: no finished trial has both metrics"
    bends = ", ".join(map(str, known.loc[known["knee"].astype(bool), "label"])) or "none"
    areas = []
    for _, group in known.groupby("protocol", sort=False):
        area, words = _hypervolume(group, plane)
        areas.append(f"hypervolume {'–' if math.isnan(area) else f'{100 * area:.1f} %'} from {words}")
    return f"{axes}: {'; '.join([_share_dominated(known), f'knee {bends}', *areas])}"


def settings_text(settings: pd.DataFrame, plane: Plane = DEFAULT) -> str:
    """The settings table for a terminal."""
    table = _settings_table(settings, plane)
    if not table.rows:
        return "no finished trials"
    lines = [list(table.columns), *[list(row) for row in table.rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def render(page: Page) -> str:
    """The page as HTML, every text in it escaped; its policy lets nothing load and no script run but its own."""
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    script = (_HERE / "report.js").read_text(encoding="utf-8").strip()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    style = Markup((_HERE / "report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html.j2").render(page=page, script=Markup(script), script_hash=digest, style=style)


def build_page(studies: Sequence[RecordedStudy], each: Sequence[pd.DataFrame], plane: Plane = DEFAULT) -> Page:
    """Gathers the page: reads curves, frames and records of the settings that are shown. `each`: the settings of each."""
    trials, settings = tables.overlay(studies, each)
    wide, marks = figures.front_figure(trials, settings, plane)
    narrow, narrow_marks = figures.front_figure(trials, settings, plane, figures.NARROW)
    parts = [
        _part(study, own, plane, f"{study.name}-" if len(studies) > 1 else "") for study, own in zip(studies, each, strict=True)
    ]
    return Page(
        title=" and ".join(study.name for study in studies),
        parts=parts,
        plane=plane,
        rule=_rule(plane),
        front=Markup(figures.inline_svg(wide, "wide", marks)),
        front_narrow=Markup(figures.inline_svg(narrow, "narrow", narrow_marks)),
        front_figure=wide,
        front_reads=_front_reads(plane),
        cards=cards(studies, trials, settings, plane, marks, {drawn.of: drawn.id for part in parts for drawn in part.frames}),
        settings=_settings_table(_of_interest(settings, _MOST_ROWS, plane), plane),
        settings_note=_left_out(len(settings), "settings", "settings.csv"),
        clip_front=_clip_front(trials, settings, plane),
        metrics=Table(
            "What each figure is. Shares are printed in percent, changes in percentage points.",
            ("figure", "meaning", "better"),
            [(metric.label, metric.meaning, metric.better) for metric in FINAL_METRICS.values()],
        ),
    )


def _part(study: RecordedStudy, settings: pd.DataFrame, plane: Plane, prefix: str) -> Part:
    """One study's own sections; the files of its figures begin with `prefix`."""
    trials = study.trials
    losses, losses_note = _losses(study, settings, plane)
    frames, frames_note = _frames(study, settings, plane)
    blocks = cells.report_blocks(study.space, study.profile, settings)
    beside = _published_table(blocks)
    sweeps = [
        picture(
            figure, f"{prefix}{metric}-against-{figures.SYMBOLS[param]}", f"{title}; the numbers are in the table of settings"
        )
        for param in figures.SYMBOLS
        for metric, title, figure in figures.sweep_figures(settings, param, plane)
    ]
    few = _of_interest(settings.dropna(subset=[plane.privacy]), 4, plane)
    return Part(
        study=study,
        store=shown_uri(study.tracking_uri),
        where_runs_are=where_runs_are(study),
        answer=tables.answer(settings, plane),
        warnings=[*attacks.warnings_of(study.trials), *tables.warnings_of(study, settings, plane)],
        front_notes=_front_notes(trials, settings, plane),
        sweeps=sweeps,
        attribute_pictures=_attribute_pictures(trials, few, prefix),
        attribute_tables=[table for clips in ("", CLIP) if (table := _attribute_table(trials, settings, plane, clips))],
        evidence=_evidence(study, settings),
        published=beside,
        published_note=_published_note(study, blocks) if beside else "",
        losses=[replace(drawn, file=prefix + drawn.file) for drawn in losses],
        losses_note=losses_note,
        frames=frames,
        frames_note=frames_note,
        ran=_ran_table(study),
        unfinished=_unfinished_table(study),
        missing=_at_most(tables.missing_seeds(study), 40),
        measured=_measured_table(study, settings, plane),
        varying=_params_table(
            "Parameters that differ between trials.", {k: _listed(v) for k, v in tables.varying(trials).items()}
        ),
        common=_params_table("Parameters that all finished trials share.", tables.common(trials)),
    )


def _evidence(study: RecordedStudy, settings: pd.DataFrame) -> list[Section]:
    """Sections that other modules have to say on a study, after the attributes: a function each, None where it has nothing."""
    return [section] if (section := attacks.section(study.trials, settings)) else []


def _listed(values: Sequence[str]) -> str:
    if len(values) <= _MOST_VALUES:
        return ", ".join(values)
    return f"{', '.join(values[:3])} … {values[-1]} ({len(values)} values)"


def _at_most(texts: Sequence[str], most: int) -> list[str]:
    return [*texts[:most], *([f"and {len(texts) - most} more; trials.csv has all runs"] if len(texts) > most else [])]


def _left_out(count: int, what: str, file: str) -> str:
    return f"{_MOST_ROWS} of {count} {what} are shown, the front first; {file} has all." if count > _MOST_ROWS else ""


def _of_interest(settings: pd.DataFrame, most: int, plane: Plane) -> pd.DataFrame:
    """Up to `most` settings, in the table's order, where room is short: raw, the answer's, the front, then the rest."""
    best = tables.headline(settings, plane)
    chosen = settings.index == (None if best is None else best.name)
    rank = (settings["method"] != RAW).astype(int) * (4 - 2 * chosen.astype(int) - settings["on_front"].astype(int))
    return settings.loc[settings.index.isin(rank.sort_values(kind="stable").index[:most])]


def _rule(plane: Plane) -> str:
    if plane == DEFAULT:
        chosen = f"least leakage among the settings within {tables.near_raw(plane)} top-1, else the highest top-1."
    else:
        least, most = ("least" if direction == "lower" else "most" for direction in plane.directions)
        privacy, utility = FINAL_METRICS[plane.privacy].label, FINAL_METRICS[plane.utility].label
        chosen = (
            f"{least} {privacy} among the settings within {tables.near_raw(plane)} in {utility}, else the {most} {utility}."
        )
    return (
        f"Chosen by rule from the figures below: {chosen}"
        " The choice looks at the test figures, so it flatters the chosen setting a little."
    )


def _settings_table(settings: pd.DataFrame, plane: Plane) -> Table:
    """The figures every study has; a metric of the plane that is not among them comes first."""
    with_clips = "clip_leakage" in settings and settings["clip_leakage"].notna().any()
    standing = ["top1", "leakage", *(["clip_leakage"] if with_clips else [])]
    added = [name for name in (plane.utility, plane.privacy) if name not in standing]
    overlaid = figures.STUDY in settings
    columns = [*(["study"] if overlaid else []), "setting", "n"]
    for name in added:
        columns += [f"{FINAL_METRICS[name].label}{' %' if FINAL_METRICS[name].percent else ''}", "against raw"]
    columns += ["top-1 %", "chance %", "against raw", "cMAP %", "chance %", "leakage %", "against raw"]
    columns += ["leakage on clips %", "against raw"] if with_clips else []
    columns += [] if "macro_f1" in added else ["macro F1"]
    columns += ["RMS distortion", "penalty active %", "front", "dominated, % of resamples"]
    rows = []
    for _, row in settings.iterrows():
        cells = [*([str(row[figures.STUDY])] if overlaid else []), str(row["label"]), str(row["n"])]
        for name in added:
            cells += [tables.shown(name, tables.of(row, name)), _against_raw(row, name)]
        cells += [
            tables.of(row, "top1").text(),
            _plain(row, "chance_top1"),
            _against_raw(row, "top1"),
            tables.of(row, "cmap").text(),
            _plain(row, "chance_cmap"),
            tables.of(row, "leakage").text(),
            _against_raw(row, "leakage"),
        ]
        if with_clips:
            cells += [tables.of(row, "clip_leakage").text(), _against_raw(row, "clip_leakage")]
        cells += [] if "macro_f1" in added else [tables.shown("macro_f1", tables.of(row, "macro_f1"))]
        cells += [
            tables.of(row, "rms_distortion").text(percent=False, digits=3),
            tables.of(row, "penalty_active").text(),
            "yes, knee" if row["knee"] else "yes" if row["on_front"] else "",
            _dominated(row, plane),
        ]
        rows.append(cells)
    caption = (
        "Settings: mean over seeds ± half of the 95 % t interval; n finished trials. Changes against the raw setting"
        " measured the same way, in points, with Welch's interval. cMAP stands beside what a random scorer gets."
        " Dominated: in how many resamples of the seeds (drawn with replacement, alike for all settings) another setting is"
        " no worse in both metrics of the front and better in one; few seeds make it too sure."
        " n = 1: no confidence, of a setting with one seed, or one that only such a setting beats."
    )
    return Table(caption, columns, rows)


def _against_raw(row: pd.Series, metric: str) -> str:
    return "baseline" if row["method"] == RAW else tables.shown(metric, tables.of(row, f"change_{metric}"), signed=True)


def _dominated(row: pd.Series, plane: Plane) -> str:
    if not math.isnan(row["dominated"]):
        return f"{100 * row['dominated']:.0f}"
    return "n = 1" if all(tables.of(row, name).n for name in plane.names) else "–"


def _plain(row: pd.Series, metric: str) -> str:
    """Chance levels belong to the data, not to the seed: printed without interval."""
    value = tables.of(row, metric)
    return f"{100 * value.mean:.1f}" if value.n else "–"


def _front_reads(plane: Plane) -> str:
    """Where on the figure it is better, and what the lines in it are."""
    up = "Up" if plane.directions[1] == "higher" else "Down"
    return f"{up} and to the {'left' if plane.directions[0] == 'lower' else 'right'} is better."


def _front_notes(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> list[str]:
    """What the front amounts to, a sentence or two each: its knee, its area, what is off it, its median over seeds."""
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
    count = f"{len(off)} of {len(known)} setting{'' if len(known) == 1 else 's'} dominated"
    if off.empty:
        return count
    if off.isna().all():
        return f"{count}, with no confidence (n = 1)"
    return f"{count}, {(off >= CONFIDENCE).sum()} of them in 95 % of resamples of the seeds or more"


def _knee_note(known: pd.DataFrame) -> str:
    """By protocol, where there are several."""
    bends = [str(label) for label in known.loc[known["knee"].astype(bool), "label"]]
    if known["on_front"].sum() == 1:
        return f"The front is one setting: {', '.join(bends)}."
    if not bends:
        return "No knee: the front nowhere bends beyond the line through its ends."
    return f"Knee, furthest beyond the line through the ends of the front: {', '.join(bends)}."


def _hypervolume(settings: pd.DataFrame, plane: Plane) -> tuple[float, str]:
    """Share of the rectangle between the fixed corner and the best there can be, of settings measured alike; the corner."""
    at = corner(plane, settings)
    return covered(settings[list(plane.names)], at.reference, at.ideal, plane.directions), at.words


def _hypervolume_notes(known: pd.DataFrame, plane: Plane) -> list[str]:
    """A sentence per protocol, with its corner in words."""
    found = []
    for _, group in known.groupby("protocol", sort=False):
        area, words = _hypervolume(group, plane)
        where = f" ({_few(list(group['label']))})" if known["protocol"].nunique() > 1 else ""
        counts = ", ".join(f"n = {n}" for n in sorted(set(group["n"])))
        if math.isnan(area):
            found.append(f"No hypervolume{where}: nothing lies between {words} and the best there can be.")
        else:
            found.append(
                f"Hypervolume{where}: the front covers {100 * area:.1f} % of the rectangle from the fixed corner, {words}, to"
                f" the best there can be (of the means over {counts}, without interval)."
            )
    return found


def _few(labels: list[str]) -> str:
    return ", ".join(labels[:_MOST_NAMED]) + (f" and {len(labels) - _MOST_NAMED} more" if len(labels) > _MOST_NAMED else "")


def _attainment_note(trials: pd.DataFrame, known: pd.DataFrame, plane: Plane) -> str:
    blocks = figures.seeds_alike(trials, known, plane)
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


def _surfaces(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> pd.DataFrame:
    """Corners of the attainment surfaces, a row each; empty where there are too few seeds."""
    known = settings.dropna(subset=list(plane.names))
    rows = [
        (protocol, percent, *point)
        for protocol, surfaces in figures.attained(trials, known, plane).items()
        for percent, corners in surfaces.items()
        for point in corners.tolist()
    ]
    return pd.DataFrame(rows, columns=["protocol", "percent", *plane.names])


def _clip_front(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane) -> Picture | None:
    """The same utility against leakage on the clips, unless the front itself is drawn in that."""
    if "clip_leakage" in plane.names or trials["clip_leakage"].isna().all():
        return None
    clips = Plane(plane.utility, "clip_leakage")
    wide, narrow = (figures.front_figure(trials, settings, clips, size)[0] for size in (figures.WIDE, figures.NARROW))
    label = FINAL_METRICS[plane.utility].label
    alt = f"{tables.sentence(label)} against leakage measured on the action clips; the numbers are in the table of settings"
    dashed = "Dashed: median attainment surface, as above." if figures.seeds_alike(trials, settings, clips) else ""
    return replace(picture(wide, "front-on-clips", alt, dashed), narrow_uri=figures.image_uri(narrow))


def _attribute_pictures(trials: pd.DataFrame, settings: pd.DataFrame, file: str) -> list[Picture]:
    found = []
    for prefix, where in (("", "images"), (CLIP, "clips")):
        figure = figures.attribute_figure(trials, settings, prefix)
        if figure:
            caption = f"Private attributes of the {where}: average precision above chance."
            name = f"{file}attributes-of-{where}"
            found.append(picture(figure, name, f"{caption} The numbers are in the table below.", caption))
    return found


def _attribute_table(trials: pd.DataFrame, settings: pd.DataFrame, plane: Plane, prefix: str) -> Table | None:
    names = tables.attributes(trials, prefix)
    if not names:
        return None
    measured = settings.dropna(subset=[prefix + AP + name for name in names], how="all")
    chance = [
        next((cell for _, row in measured.iterrows() if (cell := _plain(row, prefix + AP_CHANCE + name)) != "–"), "–")
        for name in names
    ]
    rows = [["chance", "", *chance]]
    shown = _of_interest(measured, _MOST_ROWS, plane)
    for _, row in shown.iterrows():
        rows.append([str(row["label"]), str(row["n"]), *[tables.of(row, prefix + AP + name).text() for name in names]])
    where = "action clips" if prefix else "privacy images"
    caption = f"Average precision per attribute on the {where}, percent. {_left_out(len(measured), 'settings', 'settings.csv')}"
    return Table(caption.strip(), ["setting", "n", *names], rows)


def _losses(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> tuple[list[Picture], str]:
    trained = settings[settings["method"] != RAW]
    shown = _of_interest(trained, len(figures.PALETTE), plane)
    run_ids = [str(run_id) for setting in shown.index for run_id in study.trials.index[study.trials["setting"] == setting]]
    curves = read_curves(study, figures.LOSSES, run_ids)
    pictures = [
        picture(figure, name.replace("/", "-"), f"{title}, per epoch of the minimax stage")
        for name, title, figure in figures.loss_figures(curves)
    ]
    note = "Mean over seeds, bands: 95 % t interval."
    return pictures, note + (
        f" Drawn: {len(shown)} of {len(trained)} settings, the front first." if len(trained) > len(shown) else ""
    )


def _frames(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> tuple[list[Picture], str]:
    """Raw above anonymized frames, of the first seed of each setting that has them; what is left out is said."""
    pictures: list[Picture] = []
    lacking, size = [], 0
    chosen = _of_interest(settings, _MOST_FRAMES, plane)
    with tempfile.TemporaryDirectory() as folder:
        for setting in chosen.index:
            trial = study.trials[study.trials["setting"] == setting].sort_values("seed").iloc[0]
            try:
                target = Path(folder) / str(trial.name)
                target.mkdir()
                shown = _embedded(fetch_artifact(study, str(trial.name), ARTIFACT_FRAMES, target), trial)
            except (AnalysisError, OSError, UnidentifiedImageError):
                lacking.append(str(trial["label"]))
                continue
            size += len(shown.uri)
            if size > _FRAMES_BYTES:
                lacking.append(f"{trial['label']} (the page would grow too large)")
                break
            pictures.append(shown)
    notes = [f"No frames could be shown of: {_few(lacking)}." if lacking else ""]
    if len(settings) > len(chosen):
        notes.append(f"{len(settings) - len(chosen)} more settings are not shown.")
    return pictures, " ".join(filter(None, notes))


def _embedded(path: Path, trial: pd.Series) -> Picture:
    """An image file as a data URI no wider than the page; small frames stay sharp when the browser enlarges them."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    small = image.width < _FRAMES_WIDTH
    if not small:
        image = image.resize(
            (_FRAMES_WIDTH, max(1, round(image.height * _FRAMES_WIDTH / image.width))), Image.Resampling.LANCZOS
        )
    out = io.BytesIO()
    image.save(out, "WEBP", quality=85, method=4)
    uri = f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
    words = f"Frames of {trial['label']}: raw in the upper row, anonymized in the lower row"
    return Picture(
        uri, words, f"{trial['label']}, seed {trial['seed']}", pixelated=small, of=str(trial.name), id=f"frames-{trial.name}"
    )


def _published_table(blocks: Sequence[cells.Block]) -> Table | None:
    """Lines that the paper prints and this study ran, each against the raw line of its own protocol and judge."""
    pairs = [(block, line) for block in blocks for line in block.lines if cells.in_both(line)]
    if not pairs:
        return None
    columns, rows = ["setting"], [[_label(line)] for _, line in pairs]
    for metric, what, change in (("top1", "top-1", "top-1"), ("cmap", "cMAP", "leakage")):
        if any(metric in line.cells for _, line in pairs):
            columns += [f"{name}, {whose}" for name in (f"{what} %", f"{change} against raw") for whose in ("paper", "here")]
            for row, (block, line) in zip(rows, pairs, strict=True):
                row.extend(_beside(metric, block, line))
    caption = f"Table {pairs[0][0].table} of the paper beside this study. The paper states neither seeds nor intervals."
    return Table(caption, columns, rows)


def _label(line: cells.Line) -> str:
    return line.name if line.ours is None else str(line.ours["label"])


def _beside(metric: str, block: cells.Block, line: cells.Line) -> list[str]:
    """Four cells: the figure in print and here, its change against raw in print and here. cMAP changes as leakage does."""
    cell = line.cells.get(metric)
    if cell is None or line.ours is None or (cell.printed is None and not cell.ours.n):
        return ["–"] * 4
    name = metric if metric == "top1" else "clip_leakage" if block.protocol.privacy_metric == "clip_cmap" else "leakage"
    theirs, here = "–" if cell.printed is None else f"{100 * cell.printed.value:.1f}", cell.ours.text()
    if metric == "cmap":
        chance = block.chance_of_paper
        theirs += "" if cell.printed is None else f" (chance {'not known' if chance is None else f'{100 * chance:.1f}'})"
        here += f" (chance {100 * cell.chance.mean:.1f})" if cell.chance.n else ""
    if line.row.method == RAW:
        return [theirs, here, "baseline", "baseline"]
    raw = next((other.cells[metric].printed for other in block.lines if other.row.method == RAW), None)
    ours_in_print, raw_in_print = _amount(cell.printed), _amount(raw)
    if cell.printed and raw and cell.printed.classifier.is_other_than(raw.classifier):
        raw_in_print = None  # judged by other networks: their difference is no change
    change = "–" if ours_in_print is None or raw_in_print is None else _signed(ours_in_print - raw_in_print)
    return [theirs, here, change, tables.of(line.ours, f"change_{name}").text(signed=True)]


def _amount(printed: Printed | None) -> float | None:
    """What a change is taken of: of cMAP, the leakage above chance."""
    if printed is None:
        return None
    return printed.leakage if printed.metric == "cmap" else printed.value


def _signed(value: float) -> str:
    return f"{100 * value:+z.1f}".replace("-", "−")


def _published_note(study: RecordedStudy, blocks: Sequence[cells.Block]) -> str:
    """What of the paper's figures is computed or doubtful, and in what the study differs: said once each."""
    lines = [line for block in blocks for line in block.lines if cells.in_both(line)]
    notes = ["Leakage of the paper is computed from its cMAP and the chance level of its test data, which it does not print."]
    if study.profile != "paper":
        notes.insert(
            0,
            "Other data, other networks: the paper trains I3D and ResNet-50 on real video and photographs,"
            f" this study has profile {study.profile}. Only the direction of a change may be compared, never its size.",
        )
    told: dict[str, list[str]] = {}
    for line in lines:
        shown = [cell for cell in line.cells.values() if cell.difference is not None]
        for text in dict.fromkeys(text for cell in shown for text in (*cell.differs, *cell.notes)):
            told.setdefault(text, []).append(_label(line))
    for text, labels in told.items():
        notes.append(f"{'Everywhere' if len(labels) == len(lines) else _few(labels)}: {text}.")
    return " ".join(notes)


def _ran_table(study: RecordedStudy) -> Table:
    states = every_run([study])
    rows = []
    labels = states["label"].unique()
    for label, group in states[states["label"].isin(labels[:_MOST_ROWS])].groupby("label", sort=False):
        count = group["state"].value_counts()
        finished = group[group["state"] == "finished"]
        rows.append(
            [
                str(label),
                str(len(finished)),
                " ".join(str(seed) for seed in sorted(finished["seed"].dropna())) or "–",
                ", ".join(f"{n} {state}" for state, n in count.items() if state != "finished") or "–",
                f"{finished['seconds'].mean():.0f}" if "seconds" in finished and finished["seconds"].notna().any() else "–",
            ]
        )
    caption = f"Runs of this study. {_left_out(len(labels), 'settings', 'trials.csv')}".strip()
    return Table(caption, ("setting", "finished", "seeds", "otherwise", "seconds a trial"), rows)


def _unfinished_table(study: RecordedStudy) -> Table | None:
    """Every reason is there; of many trials with the same one, the first few."""
    told = study.unfinished
    if len(told) > _MOST_ROWS:
        kind = told.groupby(["state", "reason"], sort=False)
        each = max(1, _MOST_ROWS // kind.ngroups)
        told = kind.head(each)[:_MOST_ROWS]
    rows = [[str(row["name"]), str(row["state"]), str(row["reason"]), _when(row["started"])] for _, row in told.iterrows()]
    caption = "Runs without a usable result."
    if len(told) < len(study.unfinished):
        counts = ", ".join(f"{n} {state}" for state, n in study.unfinished["state"].value_counts().items())
        caption += f" {counts}; {len(told)} are shown, trials.csv has all."
    return Table(caption, ("trial", "state", "reason", "started (UTC)"), rows) if rows else None


def _when(started: pd.Timestamp) -> str:
    return "–" if pd.isna(started) else f"{started:%Y-%m-%d %H:%M}"


def _measured_table(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> Table:
    """With what and on what: as the records of the settings that are shown say it."""
    trials = study.trials
    shown = _of_interest(settings, _MOST_RECORDS, plane).index
    records = read_records(study, trials[trials["setting"].isin(shown)].drop_duplicates("setting").index)
    seeds = ", ".join(map(str, sorted(trials["seed"].dropna().unique()))) or "none"
    rows = [["records", f"experiment {study.name} in {shown_uri(study.tracking_uri)}"], ["seeds", seeds]]
    for what, key in (("data, fingerprint", "fingerprints"), ("software, version", "versions")):
        told: dict[str, set[str]] = {}
        for record in records:
            for name, value in dict(record.get(key) or {}).items():
                told.setdefault(str(name), set()).add(str(value))
        text = ", ".join(f"{name.replace('_', ' ')} {' or '.join(sorted(values))}" for name, values in sorted(told.items()))
        rows.append([what, text or "not recorded"])
    devices = sorted({str(device) for record in records for device in _devices(record)})
    rows.append(["device", ", ".join(devices) or "not recorded"])
    rows.append(["time", _hours(trials, records)])
    rows += [[f"{what} of the study", told] for what, told in _held(study.hours)]
    of = f", from the records of {len(records)} of {len(trials)} trials" if len(records) < len(trials) else ""
    return Table(f"With what and on what{of}.", ("what", "measured"), rows)


def _devices(record: dict[str, object]) -> list[object]:
    found = record.get("devices") or []
    return list(found.values()) if isinstance(found, dict) else list(found) if isinstance(found, list) else [found]


def _hours(trials: pd.DataFrame, records: Sequence[dict[str, Any]]) -> str:
    hours = trials[["seconds", "pipeline_seconds"]].sum() / 3600
    on_gpu = _share_on_gpus(records)
    kind = {1.0: "GPU hours", 0.0: "hours on CPUs"}.get(on_gpu, "hours")
    told = f"{hours['seconds']:.2f} {kind} of computed stages"
    if 0 < on_gpu < 1:
        about = "about " if len(records) < len(trials) else ""
        told += f" ({about}{on_gpu * hours['seconds']:.2f} of them on GPUs)"
    if hours["pipeline_seconds"] > 0:
        told += f"; {hours['pipeline_seconds']:.2f} had each trial computed all of its own"
    return told


def _held(hours: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """How busy the GPUs, or cores, were over all launches of a study; nothing where its own run does not say."""
    for prefix, what in ((GPU_HOURS, "GPU hours"), (CPU_HOURS, "CPU core hours")):
        known = {name.removeprefix(prefix): value for name, value in hours.items() if name.startswith(prefix)}
        if known:
            idle = {told: known.get(name, 0.0) for name, told in _IDLE.items()}
            parts = ", ".join(f"{value:.2f} {told}" for told, value in idle.items())
            yield what, f"{known.get('busy', 0.0):.2f} busy, {sum(idle.values()):.2f} idle ({parts})"


def _share_on_gpus(records: Sequence[dict[str, Any]]) -> float:
    """Of the time of the stages that were computed, as far as the records say on what; NaN if none does."""
    known = [
        (record["stage_seconds"][stage], device)
        for record in records
        if isinstance(devices := record.get("devices"), dict)
        for stage, device in devices.items()
        if stage in record.get("computed", ()) and stage in record.get("stage_seconds", {})
    ]
    total = sum(seconds for seconds, _ in known)
    return sum(seconds for seconds, device in known if device != "CPU") / total if total else math.nan


def _params_table(caption: str, values: dict[str, str]) -> Table | None:
    rows = [[name.removeprefix(PARAM), value] for name, value in values.items()]
    return Table(caption, ("parameter", "value"), rows) if rows else None
