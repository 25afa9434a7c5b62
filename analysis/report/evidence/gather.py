"""Everything that is known of a trial: its record, attacks, predictions, frames, and the other trials of its study."""

from __future__ import annotations

import json
import math
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import UnidentifiedImageError

from analysis import text
from analysis.deploy.select import row_of
from analysis.measure.compare import Record, item_metrics, read_answers
from analysis.measure.effort import EffortCurve, effort_curves
from analysis.measure.groups import GroupFigure, group_figures, known_labels, predicted, too_few
from analysis.measure.settings import DEFAULT, OF_IMAGES, PROTOCOL, shown_by_no_image
from analysis.measure.without_video import AddedByVideo, added_by_video
from analysis.read.artifacts import read_records
from analysis.read.attacks import WORST, AttackRecord, read_attacks, strongest_of
from analysis.read.store import AnalysisError, open_store, shown_uri
from analysis.read.study import RecordedStudy, read_study
from analysis.read.trials import PARAM, RAW
from analysis.report.evidence import groups, membership, short, untested, who, without_video
from analysis.report.evidence.classifiers import FreshClassifier, fresh_classifiers
from analysis.report.evidence.efforts import not_swept
from analysis.report.evidence.findings import (
    AttackerFinding,
    UtilityFigure,
    alarm,
    findings,
    other_trainings,
    utility,
    utility_made,
)
from analysis.report.evidence.limits import RiskFindings, limits, risks
from analysis.report.evidence.membership import MembershipFinding
from analysis.report.evidence.people import RiskCurve, risk_curves
from analysis.report.evidence.provenance import anonymizer, commands, hashes, penalty, study_command, title_of
from analysis.report.evidence.short import LinkedLine, ShortAnswer
from analysis.report.evidence.sizes import SizeFigures, by_size
from analysis.report.evidence.time import ExposureOverTime, FlickerFigures, over_time
from analysis.report.evidence.untested import NotMeasured, Untried
from analysis.report.evidence.verdict import Verdict, verdict
from analysis.report.page import Encoding, Picture, embedded
from trainables import statistics
from trainables.one_line import reason
from trainables.schema import (
    ARTIFACT_ANONYMIZER,
    ARTIFACT_CONFIG,
    ARTIFACT_FRAMES,
    ARTIFACT_RECORD,
    NOTE_ENLARGED,
    TAG_PROFILE,
    TAG_SPACE,
)

_MOST_BYTES = 3_000_000  # of all pictures on the page
_ENCODING = Encoding(1000, [("PNG", {"optimize": True}), ("JPEG", {"quality": 85})])
_NO_PICTURES = "Of a single picture this anonymizer shows nothing, whoever is in it: what is read of pictures is not counted."
_EQUAL = 1e-3  # predictions whose metric differs more from the recorded one belong to something else


@dataclass(frozen=True)
class TrialEvidence:
    """Everything on the page, under the names it has in evidence.json.

    `alarm` holds what a reader must know before anything else; it is empty where all is in order.
    """

    about: str
    verdict: Verdict
    trial: Mapping[str, str]
    alarm: Sequence[str]
    short: Sequence[ShortAnswer]
    sizes: Sequence[SizeFigures]
    findings: Sequence[AttackerFinding]
    attacks: Sequence[AttackRecord]
    classifiers: Sequence[FreshClassifier]
    anonymizer: Sequence[tuple[str, str]]
    utility: Sequence[UtilityFigure]
    utility_made: str
    seeds: Sequence[str]
    groups: Sequence[GroupFigure]
    people_with_few_items: Mapping[str, int]
    strongest: str
    added_by_video: Sequence[AddedByVideo]
    time: Sequence[ExposureOverTime]
    flicker: FlickerFigures
    risks: Sequence[RiskFindings]
    people: Sequence[RiskCurve]
    efforts: Sequence[EffortCurve]
    untried: Sequence[Untried]
    untried_command: str
    not_measured: Sequence[NotMeasured]
    limits: Sequence[str]
    pictures: Sequence[Picture]
    pictures_note: str
    hashes: Sequence[tuple[str, str]]
    commands: Sequence[str]
    config: str
    record: Mapping[str, Any]
    membership: MembershipFinding | None = None  # where it was asked for
    classifier_membership: MembershipFinding | None = None  # of f_T'

    @property
    def lines(self) -> list[str]:
        """The first screen as lines of text."""
        verdict = f"{self.verdict.word}. {self.verdict.because}"
        return [self.about, verdict, *(line.text for answer in self.short for line in answer.lines), short.LEGAL]

    @property
    def all_limits(self) -> list[str]:
        """What was not tested, and what no test shows, as lines of text."""
        not_tried = [f"Not tried: {each.title}. {each.question}" for each in self.untried]
        return [*not_tried, *(f"Not measured: {each.what}." for each in self.not_measured), *self.limits]


def read_evidence(run_id: str, tracking_uri: str | None = None, at_size: int | None = None) -> TrialEvidence:
    """Reads the record, attacks, predictions and frames of a trial, and the other trials of its study.

    at_size: the side of the clips at which its anonymizer is to have been tested; the evidence is then that of the trial of
    its study that did so. Raises AnalysisError, one line, for a run that is not there, has no result, or whose records cannot
    be read, and for a size at which nothing was measured.
    """
    if at_size is not None:
        run_id = _at_size(run_id, tracking_uri, at_size)
    with open_store(tracking_uri) as client, tempfile.TemporaryDirectory() as folder:
        study = _study_of(client, run_id)
        trial = row_of(study.trials, run_id)
        files = {item.path for item in client.list_artifacts(run_id)}
        fetched = {
            name: Path(client.download_artifacts(run_id, name, folder))
            for name in (ARTIFACT_RECORD, ARTIFACT_CONFIG, ARTIFACT_FRAMES, ARTIFACT_ANONYMIZER)
            if name in files
        }
        try:
            attacks = read_attacks(client, run_id, folder)
            answers = read_answers(client, run_id, folder)
            record = json.loads(fetched[ARTIFACT_RECORD].read_text(encoding="utf-8")) if ARTIFACT_RECORD in fetched else {}
        except (OSError, ValueError, KeyError, TypeError, MlflowException) as error:
            raise AnalysisError(f"run {run_id}: its records cannot be read ({reason(error)})") from None
        return _gathered(study, trial, attacks, answers, record, fetched)


def _at_size(run_id: str, tracking_uri: str | None, side: int) -> str:
    """The run that measured the anonymizer of a run at a size. Raises AnalysisError, which says how to, for none."""
    with open_store(tracking_uri) as client:
        study = _study_of(client, run_id)
        trial = row_of(study.trials, run_id)
        sizes = by_size(study, trial, next(iter(read_records(study, [run_id])), {}))
    for each in sizes:
        if each.side == side:
            return each.run
    there = text.listed(each.side for each in sizes) or "a size that is not recorded"
    raise AnalysisError(
        f"--at-size {side}: the anonymizer of run {run_id} was measured at {there} pixels only; measure it there with"
        f" study/run.py --space {shlex.quote(study.space)} --profile {study.profile} --at-size {side}"
    )


def _study_of(client: MlflowClient, run_id: str) -> RecordedStudy:
    """The study a run belongs to. Raises AnalysisError unless the run has a result there."""
    try:
        run = client.get_run(run_id)
        experiment = client.get_experiment(run.info.experiment_id)
    except MlflowException:
        where = shown_uri(client.tracking_uri)
        raise AnalysisError(f"no run {run_id} in {where}; `select` and trials.csv name the runs of a study") from None
    space = experiment.tags.get(TAG_SPACE) or experiment.name.rpartition(".")[0]
    study = read_study(space, experiment.tags.get(TAG_PROFILE), client.tracking_uri)
    if run_id not in study.trials.index:
        lacking = study.unfinished[study.unfinished["run_id"] == run_id]
        why = f"{lacking.iloc[0]['state']}: {lacking.iloc[0]['reason']}" if len(lacking) else "it is no trial"
        raise AnalysisError(f"run {run_id} has no result of {study.name} to give evidence of ({why})")
    return study


def _gathered(
    study: RecordedStudy,
    trial: pd.Series,
    attacks: Sequence[AttackRecord],
    answers: Mapping[str, Record],
    record: Mapping[str, Any],
    files: Mapping[str, Path],
) -> TrialEvidence:
    blank = shown_by_no_image(study.trials, DEFAULT)
    study = replace(study, trials=study.trials.assign(**{name: study.trials[name].mask(blank) for name in OF_IMAGES}))
    trial = study.trials.loc[[trial.name]].iloc[0]
    alike = study.trials[study.trials["setting"] == trial["setting"]]
    raw = _raw_of(study, trial)
    intervals = {
        name: sure
        for name, metric in item_metrics(answers, attacks).items()
        if name in trial and abs((sure := statistics.interval(metric)).value - trial[name]) < _EQUAL
    }
    of_figures = [each for name, each in intervals.items() if name != WORST]
    found, sizes = findings(trial, raw, attacks, intervals), by_size(study, trial, record)
    classifiers, useful = fresh_classifiers(trial), utility(trial, alike, raw, intervals)
    by_item, curves = predicted(answers, attacks), risk_curves(attacks)
    if blank[str(trial.name)]:
        by_item = [each for each in by_item if each.measure not in OF_IMAGES]
    strongest, titles = strongest_of(trial), {each.by: each.title for each in found}
    for_whom = group_figures(by_item, known_labels(answers, attacks), strongest)
    added, times, efforts = added_by_video(by_item, answers), over_time(attacks), effort_curves(study, trial, record)
    pictures, pictures_note = _pictures(attacks, files.get(ARTIFACT_FRAMES))
    attributes = sorted(
        {*(a for each in attacks for a in each.attributes), *(a for each in classifiers for a in each.attributes)}
    )
    names = {attack.name for attack in attacks}
    not_tried = untested.untried(attacks)
    measured = {
        untested.ADDED: bool(added),
        untested.TIME: bool(times),
        untested.GROUPS: bool(for_whom),
        untested.FRAMES: bool(pictures),
        untested.PEOPLE: bool(curves),
    }
    missing = untested.not_measured(study, trial, attacks, measured, not_swept(efforts, attacks))
    named, one_each = who.best_named(curves, by_item), any(map(who.one_of_several, by_item))
    further = [
        LinkedLine(_NO_PICTURES if blank[str(trial.name)] else "", "anonymizer"),
        LinkedLine(without_video.sentence(added, strongest, titles), "added"),
        LinkedLine(groups.in_short(for_whom, one_each), "whom"),
    ]
    return TrialEvidence(
        about=short.about(study, trial),
        verdict=verdict(found, trial["method"] == RAW),
        trial={
            "run": str(trial.name),
            "name": title_of(trial),
            "seed": str(trial["seed"]),
            "study": study.name,
            "store": shown_uri(study.tracking_uri),
            "finished": f"{trial['started']:%Y-%m-%d}",
        },
        alarm=[*alarm(trial, attacks), *_of_enlarged_videos(record)],
        short=[
            short.asked(found, attacks, attributes, one_each),
            short.how(found, penalty(trial)),
            short.found(
                found, LinkedLine(who.sentence(named, titles), short.section_of(named.by)) if named else None, useful, further
            ),
            short.how_sure(trial, alike, attacks, of_figures, sizes),
            short.not_tried(not_tried, missing),
        ],
        sizes=sizes,
        findings=found,
        attacks=attacks,
        classifiers=classifiers,
        anonymizer=anonymizer(study, trial, record),
        utility=useful,
        utility_made=utility_made(trial),
        seeds=other_trainings(alike),
        groups=for_whom,
        people_with_few_items=too_few(by_item),
        strongest=strongest,
        added_by_video=added,
        time=times,
        flicker=FlickerFigures(*(_mean_of(rows, "flicker") for rows in (study.trials.loc[[trial.name]], raw))),
        risks=risks(attacks, found),
        people=curves,
        efforts=efforts,
        untried=not_tried,
        untried_command=study_command(study, trial, [each.name for each in not_tried]) if not_tried else "",
        not_measured=missing,
        limits=limits(study, trial, attacks, of_figures, attributes),
        pictures=pictures,
        pictures_note=pictures_note,
        hashes=hashes(trial, record, files.get(ARTIFACT_ANONYMIZER)),
        commands=commands(study, trial, names),
        config=files[ARTIFACT_CONFIG].read_text(encoding="utf-8") if ARTIFACT_CONFIG in files else "",
        record=record,
    )


def with_membership(
    evidence: TrialEvidence, own: MembershipFinding, of_classifier: MembershipFinding | None = None
) -> TrialEvidence:
    """The evidence, with what the anonymizer, and the action classifier where it was asked, remember of their training."""
    known = [untested.MEMBERSHIP] + ([untested.CLASSIFIER_MEMBERSHIP] if of_classifier else [])
    missing = [each for each in evidence.not_measured if each.what not in known]
    told = [membership.sentence(own)] + ([membership.sentence(of_classifier, membership.CLASSIFIER)] if of_classifier else [])
    *before, found, sure, _ = evidence.short
    found = replace(found, lines=[*found.lines, *(LinkedLine(each, "membership") for each in told)])
    answers = [*before, found, sure, short.not_tried(evidence.untried, missing)]
    return replace(evidence, membership=own, classifier_membership=of_classifier, not_measured=missing, short=answers)


def _mean_of(trials: pd.DataFrame, metric: str) -> float:
    return float(trials[metric].mean()) if metric in trials and len(trials) else math.nan


def _of_enlarged_videos(record: Mapping[str, Any]) -> list[str]:
    notes = [str(note) for note in record.get("notes", ())]
    return [f"{text.sentence(note)}." for note in notes if note.startswith(NOTE_ENLARGED)]


def _raw_of(study: RecordedStudy, trial: pd.Series) -> pd.DataFrame:
    """The raw trials that were measured by the same protocol with the same evaluators."""
    columns = [str(name) for name in study.trials if str(name).startswith(tuple(PARAM + part for part in PROTOCOL))]
    alike = study.alike(trial, columns)
    return alike[alike["method"] == RAW]


def _pictures(attacks: Sequence[AttackRecord], frames: Path | None) -> tuple[list[Picture], str]:
    """Worst cases first: the clips whose people were found again, then those of the other attacks, then of the trial."""
    ordered = sorted(attacks, key=lambda attack: attack.risk == "inference")  # who was found again, before what was read
    wanted = [(path, attack.title, attack.caption) for attack in ordered for path in attack.pictures]
    if frames is not None:
        wanted.append((frames, "Some test videos", "raw, anonymized"))
    pictures: list[Picture] = []
    lacking, size = [], 0
    for path, title, caption in wanted:
        try:
            uri, small = embedded(path, _ENCODING)
        except (OSError, UnidentifiedImageError):
            lacking.append(f"{title} (not readable)")
            continue
        size += len(uri)
        if size > _MOST_BYTES:
            lacking.append(f"{title} (the page would grow too large)")
            continue
        pictures.append(Picture(uri, f"Frames: {title}. {caption}", caption, title, pixelated=small))
    return pictures, f"Not shown: {', '.join(lacking)}." if lacking else ""
