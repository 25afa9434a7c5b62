"""`evidence.html`: how private one anonymizer is, for who must decide or audit it, and its data as JSON. No torch.

The page is written for people who know no machine learning. It claims no legal compliance.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import platform
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from PIL import Image, UnidentifiedImageError

from analysis.deploy.select import row_of
from analysis.measure.compare import read_item_metrics
from analysis.read.attacks import RISKS, VALID, WORST, AttackRecord, Control, read_attacks
from analysis.read.store import AnalysisError, open_store, shown_uri
from analysis.read.study import RecordedStudy, read_study
from analysis.read.trials import PARAM, RAW
from analysis.report import figures
from trainables import statistics
from trainables.schema import (
    ARTIFACT_ANONYMIZER,
    ARTIFACT_CONFIG,
    ARTIFACT_FRAMES,
    ARTIFACT_RECORD,
    FINAL_METRICS,
    TAG_PROFILE,
    TAG_SPACE,
)
from trainables.statistics import FEW_GROUPS, Estimate, Interval, ItemMetric, estimate

_HERE = Path(__file__).parent
_PAGE, _DATA = "evidence.html", "evidence.json"
_PICTURE_WIDTH, _PICTURES_BYTES = 1000, 3_000_000
_EQUAL = 1e-3
_RISING = 0.02  # a curve that still gains this much in its last quarter has not levelled off
_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "mlflow")
_JUDGES = {
    "leakage": ("A freshly trained classifier, on pictures", "the pictures of people that were set aside for the test"),
    "clip_leakage": ("A freshly trained classifier, on the videos", "single frames of the test videos, averaged over each"),
}
_METHODS = {
    "penalty": "A network that redraws every frame. It was trained against two others: one that recognises what people do,"
    " which it has to serve, and one that tells people and places apart, which it has to blind. A penalty keeps it from"
    " changing the picture by more than a budget.",
    "spact": "A network that redraws every frame, trained to serve a network that recognises what people do and to blind one"
    " that tells pictures apart.",
    "tedspad": "A network that redraws every frame, trained as SPACT is, with an extra demand that moments of one video stay"
    " distinguishable.",
    "vita": "A network that redraws every frame, trained against an ensemble of programs that know the private attributes.",
    "mass": "A network that redraws every frame, trained to suppress each private attribute and to preserve the action.",
    "stprivacy": "A network that keeps only the parts of a video that the action needs.",
    "raw": "Nothing: the video stays as it is. This page then says what there is to lose.",
    "downsample_2x": "Frames are shrunk to half their sides and enlarged again.",
    "downsample_4x": "Frames are shrunk to a quarter of their sides and enlarged again.",
    "blackening": "The boxes around detected people are painted black; the rest stays.",
    "mild_blur": "Every frame is blurred a little.",
    "blank": "Every frame is one flat colour: nothing is left to see.",
    "weak_blur": "The boxes around detected people are blurred a little; the rest stays.",
    "strong_blur": "The boxes around detected people are blurred strongly; the rest stays.",
}
_ROLES = {
    "action": "videos that trained the anonymizer to keep actions",
    "privacy": "pictures that trained the anonymizer to hide people",
    "action_evaluation": "videos on which the action classifiers were trained and tested",
    "privacy_evaluation": "pictures on which the classifiers of private attributes were trained and tested",
    "privacy_test": "pictures on which they were tested",
    "clips_with_attributes": "videos on which attackers were trained and tested",
}
_RISK_WORDS = {
    "singling out": "Can somebody pick one person out of all the people in the videos?",
    "linkability": "Can somebody tell that two videos show the same person?",
    "inference": "Can somebody deduce what a person is like (a private attribute) from the video?",
}
_OTHERS = {
    "rank1": "the most similar clip shows the same person in {:.1%} of searches",
    "map": "clips of the same person come first to {:.1%} (mean average precision)",
    "eer": "{:.1%} error where false matches and missed ones are equally frequent (guessing 50 %)",
    "macro_f1": "F1 score {:.2f}, mean over attributes",
    "psnr": "likeness of restored to raw frames {:.1f} dB (PSNR; above about 30 they look alike)",
    "ssim": "structural likeness of restored to raw frames {:.2f} (SSIM; 1 is the same)",
    "psnr_anonymized": "likeness of anonymized to raw frames {:.1f} dB (PSNR)",
    "ssim_anonymized": "structural likeness of anonymized to raw frames {:.2f} (SSIM)",
}


@dataclass(frozen=True)
class Finding:
    """One line of the overview: what one attacker learned. Shares of 1, NaN where not known; `status`: valid, invalid, or
    unchecked, where no control was made."""

    title: str
    by: str
    leakage: float
    low: float
    high: float
    raw: float
    raw_text: str
    status: str


@dataclass(frozen=True)
class Utility:
    """What the video is still good for: a share of right answers on anonymized video, on raw video, and by guessing."""

    name: str
    interval: Interval
    seeds: Estimate
    raw: Estimate
    chance: float


@dataclass(frozen=True)
class Risk:
    """One of the three risks of WP216, with what the attacks say of it."""

    name: str
    question: str
    tested: str
    results: Sequence[str]


@dataclass(frozen=True)
class Picture:
    """An image inside the page."""

    uri: str
    title: str
    caption: str
    pixelated: bool = False


@dataclass(frozen=True)
class Evidence:
    """Everything on the page. `alarm`: what a reader must know before anything else; empty where all is in order."""

    trial: Mapping[str, str]
    alarm: Sequence[str]
    short: Sequence[str]
    findings: Sequence[Finding]
    attacks: Sequence[AttackRecord]
    anonymizer: Sequence[tuple[str, str]]
    utility: Sequence[Utility]
    seeds: Sequence[str]
    risks: Sequence[Risk]
    limits: Sequence[str]
    pictures: Sequence[Picture]
    pictures_note: str
    hashes: Sequence[tuple[str, str]]
    commands: Sequence[str]
    config: str
    record: Mapping[str, Any]


def read_evidence(run_id: str, tracking_uri: str | None = None) -> Evidence:
    """Gathers what is known of a trial: its record, attacks, answers, pictures, and the other trials of its study.

    Raises AnalysisError, one line, for a run that is not there, has no result, or whose records cannot be read.
    """
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
            answers = read_item_metrics(client, run_id, folder)
            record = json.loads(fetched[ARTIFACT_RECORD].read_text(encoding="utf-8")) if ARTIFACT_RECORD in fetched else {}
        except (OSError, ValueError, KeyError, TypeError, MlflowException) as error:
            raise AnalysisError(f"run {run_id}: its records cannot be read ({' '.join(str(error).split())[:200]})") from None
        return _gathered(study, trial, attacks, answers, record, fetched)


def write_evidence(evidence: Evidence, out: str | Path) -> Path:
    """Writes evidence.html, evidence.json and, where it is known, config.yaml into `out`; returns the path of the page.

    Raises AnalysisError when `out` cannot be written.
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PAGE).write_text(render(evidence), encoding="utf-8")
        (folder / _DATA).write_text(json.dumps(data_of(evidence), indent=1, ensure_ascii=False), encoding="utf-8")
        if evidence.config:
            (folder / ARTIFACT_CONFIG).write_text(evidence.config, encoding="utf-8")
    except OSError as error:
        raise AnalysisError(
            f"the evidence cannot be written to {folder} ({error.strerror or error}); give another --out"
        ) from None
    return (folder / _PAGE).absolute()


def render(evidence: Evidence) -> str:
    """The page as HTML, every text in it escaped; its policy lets nothing load and nothing run."""
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["percent"] = _percent
    style = Markup((_HERE / "evidence.css").read_text(encoding="utf-8"))
    return environment.get_template("evidence.html.j2").render(
        page=evidence, style=style, curve=_curve, verdict=_verdict, effort=_effort, others=_others, share=_share, sure=_sure
    )


def data_of(evidence: Evidence) -> dict[str, Any]:
    """The evidence as JSON: figures as fractions of 1, null where not known; pictures are on the page only."""
    found = asdict(evidence)
    found["pictures"] = [{"title": picture.title, "caption": picture.caption} for picture in evidence.pictures]
    for attack in found["attacks"]:
        attack["pictures"] = [Path(path).name for path in attack["pictures"]]
    found["legal"] = "This is a record of tests. It claims no compliance with any law."
    cleaned: dict[str, Any] = _plain(found)
    return cleaned


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
    answers: Mapping[str, ItemMetric],
    record: Mapping[str, Any],
    files: Mapping[str, Path],
) -> Evidence:
    alike = study.trials[study.trials["setting"] == trial["setting"]]
    raw = _raw_of(study, trial)
    intervals = {
        name: sure
        for name, found in answers.items()
        # answers that do not make up the figure of the record are of something else
        if name in trial and abs((sure := statistics.bootstrap(found)).value - trial[name]) < _EQUAL
    }
    findings = _findings(trial, raw, attacks, intervals)
    utility = _utility(trial, alike, raw, intervals)
    seeds = _seeds(alike)
    pictures, pictures_note = _pictures(attacks, files.get(ARTIFACT_FRAMES))
    return Evidence(
        trial={
            "run": str(trial.name),
            "name": str(trial["label"]),
            "seed": str(trial["seed"]),
            "study": study.name,
            "store": shown_uri(study.tracking_uri),
            "finished": f"{trial['started']:%Y-%m-%d}",
        },
        alarm=_alarm(study, trial, attacks),
        short=_short(study, trial, findings, utility, alike),
        findings=findings,
        attacks=attacks,
        anonymizer=_anonymizer(study, trial, record),
        utility=utility,
        seeds=seeds,
        risks=_risks(attacks, findings),
        limits=_limits(study, trial, attacks, intervals, alike),
        pictures=pictures,
        pictures_note=pictures_note,
        hashes=_hashes(trial, record, files.get(ARTIFACT_ANONYMIZER)),
        commands=_commands(study, trial, attacks),
        config=files[ARTIFACT_CONFIG].read_text(encoding="utf-8") if ARTIFACT_CONFIG in files else "",
        record=record,
    )


def _raw_of(study: RecordedStudy, trial: pd.Series) -> pd.DataFrame:
    """The raw trials that were measured alike: same protocol, same judges."""
    from analysis.measure.settings import PROTOCOL

    columns = [str(name) for name in study.trials if str(name).startswith(tuple(PARAM + part for part in PROTOCOL))]
    same = (study.trials[columns].astype(str) == trial[columns].astype(str)).all(axis=1)
    return study.trials[same & (study.trials["method"] == RAW)]


def _findings(
    trial: pd.Series, raw: pd.DataFrame, attacks: Sequence[AttackRecord], intervals: Mapping[str, Interval]
) -> list[Finding]:
    """The strongest first; the classifiers of the usual evaluation count among the attackers."""
    found = [
        Finding(
            title=attack.title,
            by=attack.name,
            leakage=attack.leakage,
            low=attack.low,
            high=attack.high,
            raw=attack.positive.leakage,
            raw_text=_control(attack.positive),
            status="valid" if attack.valid else "invalid",
        )
        for attack in attacks
    ]
    for metric, (title, _) in _JUDGES.items():
        if metric in trial and not pd.isna(trial[metric]):
            sure = intervals.get(metric)
            known = estimate(raw[metric])
            found.append(
                Finding(
                    title=title,
                    by=metric,
                    leakage=float(trial[metric]),
                    low=sure.low if sure else math.nan,
                    high=sure.high if sure else math.nan,
                    raw=known.mean,
                    raw_text=_seeds_text(known),
                    status="unchecked",
                )
            )
    return sorted(found, key=lambda finding: (finding.status == "invalid", -finding.leakage))


def _alarm(study: RecordedStudy, trial: pd.Series, attacks: Sequence[AttackRecord]) -> list[str]:
    found = []
    broken = [attack.title for attack in attacks if not attack.valid]
    if broken or trial.get(VALID) == 0:
        found.append(
            f"INVALID FIGURES. A check built into the tests failed for: {', '.join(broken) or 'an attack'}. What these attacks"
            " report says nothing about the anonymizer, in either direction. Decide nothing on it before they are repeated."
        )
    if not attacks:
        found.append(
            "EVIDENCE IS MISSING. No attack was run against this anonymizer. All this page has is the usual measure, a freshly"
            " trained classifier, without a check that it could have read anything. Run the study with --attacks standard."
        )
    if study.profile == "generated":
        found.append(
            "All videos here are drawn by a computer. The figures show that the tests work; they say nothing about people."
        )
    if trial["method"] == RAW:
        found.append("This is no anonymizer: the video was left as it is.")
    return found


def _short(
    study: RecordedStudy, trial: pd.Series, findings: Sequence[Finding], utility: Sequence[Utility], alike: pd.DataFrame
) -> list[str]:
    """What somebody takes along who reads no further."""
    sentences = []
    sound = [finding for finding in findings if finding.status != "invalid"]
    if sound:
        worst = sound[0]
        from_raw = "" if math.isnan(worst.raw) else f" From the raw video it learns {worst.raw_text}."
        learned = _sure(worst.leakage, worst.low, worst.high)
        sentences.append(
            f"Of {_count(len(sound), 'attacker')} whose figures count, the strongest ({worst.title}) still learns {learned} of"
            f" what can be learned beyond guessing; 0 % is guessing, 100 % is reading everything.{from_raw}"
        )
        guessing = [finding for finding in sound if finding.low <= 0 <= finding.high]
        if guessing:
            sentences.append(f"{len(guessing)} of {len(sound)} cannot be told from guessing on the test items at hand.")
    else:
        sentences.append("No attacker gave a figure that counts.")
    for each in utility[:1]:
        kept = _sure(each.interval.value, each.interval.low, each.interval.high)
        of_raw = f", of raw video in {_seeds_text(each.raw)}" if each.raw.n else ""
        guess = "" if math.isnan(each.chance) else f"; guessing gives {_percent(each.chance)}"
        sentences.append(f"What people do is still recognised in {kept} of the test videos{of_raw}{guess}.")
    sentences.append(
        f"The anonymizer of this page is one of {len(alike)} trainings of the same setting."
        if len(alike) > 1
        else "It was trained once (n = 1): how much another training of the same setting would differ is not known."
    )
    sentences.append(
        "This page records tests. It claims no compliance with any law, and tests can show leaks but not their absence."
    )
    return sentences


def _utility(trial: pd.Series, alike: pd.DataFrame, raw: pd.DataFrame, intervals: Mapping[str, Interval]) -> list[Utility]:
    found = []
    names = {
        "top1": "the right action among all (a classifier trained on anonymized video)",
        "top5": "the right action among its five best guesses",
        "deployed_top1": "the right action, by a classifier trained on raw video and left as it was",
    }
    for metric, name in names.items():
        if metric not in trial or pd.isna(trial[metric]):
            continue
        value = float(trial[metric])
        chance = float(trial["chance_top1"]) if metric != "top5" and "chance_top1" in trial else math.nan
        unknown = Interval(value, math.nan, math.nan, 0, 0)
        found.append(Utility(name, intervals.get(metric, unknown), estimate(alike[metric]), estimate(raw[metric]), chance))
    return found


def _seeds(alike: pd.DataFrame) -> list[str]:
    """What other trainings of the same setting gave, a sentence a metric."""
    if len(alike) < 2:
        return []
    found = []
    for metric in (WORST, "leakage", "clip_leakage", "top1"):
        value = estimate(alike[metric]) if metric in alike else Estimate(math.nan, math.nan, 0)
        if value.n:
            found.append(f"{FINAL_METRICS[metric].label} {_seeds_text(value)}")
    return found


def _anonymizer(study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    method = str(trial["method"])
    found = [
        ("What it does", _METHODS.get(method, f"The method {method} of this project or of a plug-in; see its documentation."))
    ]
    source = _source(method)
    found.append(("Method", f"{method}{source}"))
    budget, weight = (trial.get(PARAM + f"minimax.{name}") for name in ("distortion_budget", "penalty_weight"))
    if method == "penalty" and budget is not None and weight is not None:
        held = (
            "the penalty is off: no budget was held"
            if float(weight) == 0
            else f"the penalty beyond it weighs {float(weight):g}"
        )
        found.append(
            ("How much it may change", f"budget B = {float(budget):g} of the range from black to white; {held} (lambda)")
        )
    if not pd.isna(trial.get("rms_distortion", math.nan)):
        found.append(
            (
                "How much it does change",
                f"{float(trial['rms_distortion']):.3f} of the range from black to white, root mean square",
            )
        )
    if method != RAW and PARAM + "anonymizer.name" in trial:
        found.append(("Network", str(trial[PARAM + "anonymizer.name"])))
    for field, role in (("action", "Trained on videos"), ("privacy", "Trained on pictures")):
        name = trial.get(PARAM + f"data.{field}.name")
        if name is not None:
            drawn = ", drawn by a computer in the layout of that data set" if study.profile == "generated" else ""
            mark = record.get("fingerprints", {}).get(field)
            found.append((role, f"{name}{drawn}" + (f" (fingerprint {mark})" if mark else "")))
    if PARAM + "clip.size" in trial:
        found.append(("Tested at", f"{trial[PARAM + 'clip.size']} x {trial[PARAM + 'clip.size']} pixels"))
    return found


def _source(method: str) -> str:
    from trainables.methods import METHODS

    if method not in METHODS:
        return ""
    found = METHODS[method]
    return f"; {found.source}" + (f"; approximate: {found.approximate}" if found.approximate else "")


def _risks(attacks: Sequence[AttackRecord], findings: Sequence[Finding]) -> list[Risk]:
    """The three risks, each with the attacks that bear on it."""
    rows = []
    for name in RISKS:
        own = [attack for attack in attacks if attack.risk == name]
        tested = ", ".join(attack.title for attack in own) or "no attack of its own"
        results = [_result(attack) for attack in own]
        if name == "inference":
            results += [
                f"{each.title}: {_sure(each.leakage, each.low, each.high)}, from raw video {each.raw_text}; no control was made"
                for each in findings
                if each.status == "unchecked"
            ]
        linked = [attack for attack in attacks if attack.risk == "linkability"]
        if name == "singling out" and linked and not own:
            tested += "; finding the same person again bears on it, because it picks one person's clips out of those of many"
            results = [_result(attack) for attack in linked]
        rows.append(Risk(name, _RISK_WORDS[name], tested, results or ["Not tested."]))
    return rows


def _result(attack: AttackRecord) -> str:
    if not attack.valid:
        return f"{attack.title}: INVALID, a control missed its level"
    learned = _sure(attack.leakage, attack.low, attack.high)
    return f"{attack.title}: {learned}, from raw video {_control(attack.positive)}"


def _limits(
    study: RecordedStudy,
    trial: pd.Series,
    attacks: Sequence[AttackRecord],
    intervals: Mapping[str, Interval],
    alike: pd.DataFrame,
) -> list[str]:
    """What this does not show, in plain words."""
    found = []
    missing = _not_tried(attacks)
    if missing:
        found.append(f"Attackers of this project that were not tried here: {'; '.join(missing)}.")
    found += [
        "Attackers that nobody tried: people who know the persons and look at the frames themselves; attackers with far more"
        " video, time or newer programs; attackers who hold some of the raw videos; those who combine the video with other"
        " sources (place, time, sound, who was on duty). A tested attacker that fails does not show that all fail.",
        "The figures are averages over many clips. Some people may be recognised far more easily than the average says.",
    ]
    rising = [attack.title for attack in attacks if _rising(attack)]
    if rising:
        found.append(f"Still learning when stopped, so that more effort would probably learn more: {', '.join(rising)}.")
    sizes = {(found.items, found.groups) for name, found in intervals.items() if name != WORST}
    if sizes:
        items, groups = max(sizes)
        few = " So few that the intervals are too narrow." if min(groups for _, groups in sizes) < FEW_GROUPS else ""
        found.append(f"The tests rest on at most {items} test items from {groups} sources.{few}")
        if any(items == groups for items, groups in sizes):
            found.append(
                "In some tests no two items have the same recorded source, and each counts as independent: if several were cut"
                " from one recording all the same, those intervals are too narrow."
            )
    read = sorted({name for attack in attacks for name in attack.attributes} or {n for n in _attributes(trial)})
    if read:
        found.append(f"Private attributes that were looked for: {', '.join(read)}. Any other was not.")
    sets = dict.fromkeys(str(trial[name]) for name in map(str, trial.index) if _names_data(name) and pd.notna(trial[name]))
    found.append(
        f"Trained and tested on {', '.join(name for name in sets if name != 'None') or 'its own data sets'}"
        f"{' (drawn by a computer)' if study.profile == 'generated' else ''} only. It says nothing about other cameras, places,"
        " people, clothing, lighting, resolutions, or longer videos."
    )
    found.append(
        f"Intervals say what other test items of the same kind would give. {_trainings(len(alike))}"
        " Sound and file metadata were not part of the tests; `analysis anonymize` drops both unless told otherwise."
    )
    return found


def _trainings(count: int) -> str:
    if count == 1:
        return "They do not say what another training would give; there was only one."
    return f"What another training would give is told by the {count} trainings of this setting."


def _names_data(column: str) -> bool:
    return column.startswith(PARAM + "data.") and column.endswith(".name")


def _attributes(trial: pd.Series) -> list[str]:
    return [
        str(name).partition("ap.")[2]
        for name in trial.index
        if str(name).startswith(("ap.", "clip_ap.")) and pd.notna(trial[name])
    ]


def _not_tried(attacks: Sequence[AttackRecord]) -> list[str]:
    from trainables.attacks import ATTACKS

    tried = {attack.name for attack in attacks}
    return [f"{ATTACKS[name].title} ({ATTACKS[name].question})" for name in ATTACKS if name not in tried]


def _hashes(trial: pd.Series, record: Mapping[str, Any], anonymizer: Path | None) -> list[tuple[str, str]]:
    rows = [("MLflow run", str(trial.name)), ("trial key", str(trial["trial_key"]))]
    for path in sorted(anonymizer.glob("*.pt")) if anonymizer and anonymizer.is_dir() else ():
        rows.append((f"anonymizer {path.name}, SHA-256", hashlib.sha256(path.read_bytes()).hexdigest()))
    for role, mark in record.get("fingerprints", {}).items():
        rows.append((f"data: {_ROLES.get(role, role)}", str(mark)))
    keys = record.get("stage_keys", {})
    if keys:
        rows.append((f"keys of its {len(keys)} stages", "in evidence.json, under record"))
    rows.append(("this page was written with", _versions()))
    return rows


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) + " (the trial itself may have run with others)"


def _commands(study: RecordedStudy, trial: pd.Series, attacks: Sequence[AttackRecord]) -> list[str]:
    names = ",".join(sorted(attack.name for attack in attacks))
    data = [] if study.profile == "generated" else ["--data-root", "DATA"]
    attacked = ["--attacks", names] if names else []
    whole = ["python", "study/run.py", "--space", study.space, "--profile", study.profile, "--seeds", f"{trial['seed']},"]
    commands = [
        [*whole, *data, *attacked],
        ["python", "-m", "trainables", "--config", ARTIFACT_CONFIG, *data, "--out", "trial"],
        ["python", "-m", "analysis", "evidence", "--trial", str(trial.name), "--tracking-uri", "URI", "--out", "evidence"],
    ]
    return [shlex.join(command) for command in commands]


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
            uri, small = _embedded(path)
        except (OSError, UnidentifiedImageError):
            lacking.append(f"{title} (not readable)")
            continue
        size += len(uri)
        if size > _PICTURES_BYTES:
            lacking.append(f"{title} (the page would grow too large)")
            continue
        pictures.append(Picture(uri, title, caption, small))
    return pictures, f"Not shown: {', '.join(lacking)}." if lacking else ""


def _embedded(path: Path) -> tuple[str, bool]:
    """An image as a data URI no wider than the page, and whether it is so small that it should be enlarged as it is."""
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    small = image.width < _PICTURE_WIDTH
    if not small:
        image = image.resize(
            (_PICTURE_WIDTH, max(1, round(image.height * _PICTURE_WIDTH / image.width))), Image.Resampling.LANCZOS
        )
    out, kind = io.BytesIO(), "png"
    image.save(out, "PNG", optimize=True)
    if len(out.getvalue()) > 200_000:
        out, kind = io.BytesIO(), "jpeg"
        image.save(out, "JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode()}", small


def _curve(attack: AttackRecord) -> str:
    """Leakage against effort as a picture; empty for fewer than two points."""
    if len(attack.curve) < 2:
        return ""
    with matplotlib.rc_context(figures.STYLE):
        figure = figures.canvas((3.6, 2.2))
        axes = figure.subplots()
        effort, leakage = zip(*attack.curve, strict=True)
        axes.plot(effort, [100 * value for value in leakage], marker="o", ms=3, color=figures.PALETTE[0])
        axes.axhline(0, color=figures.GREY, ls=":", lw=1)
        axes.set(
            xlabel=f"effort ({attack.effort_unit})", ylabel="learned beyond guessing %", ylim=(min(-5, 110 * min(leakage)), 105)
        )
        return figures.image_uri(figure)


def _rising(attack: AttackRecord) -> bool:
    """Whether leakage still gained in the last quarter of the effort."""
    values = [leakage for _, leakage in attack.curve]
    if len(values) < 2:
        return False
    quarter = max(1, len(values) // 4)
    last, before = values[-quarter:], values[-2 * quarter : -quarter]
    return sum(last) / len(last) - sum(before) / len(before) > _RISING


def _verdict(attack: AttackRecord) -> str:
    """The result in a sentence."""
    if not attack.valid:
        return "These figures are INVALID: a control missed its level. They say nothing about the anonymizer."
    learned = f"learned {_sure(attack.leakage, attack.low, attack.high)} of what can be learned beyond guessing"
    if attack.low <= 0 <= attack.high:
        return f"The attacker {learned}: on these test items it cannot be told from guessing."
    return f"The attacker {learned}; from raw video the same attacker learned {_control(attack.positive)}."


def _effort(attack: AttackRecord) -> str:
    """What the attacker spent, in words."""
    words = {
        "epochs": "passes over the training examples (epochs)",
        "items": "training examples",
        "parameters": "adjustable numbers (parameters)",
        "seconds": "seconds of computing",
    }
    told = [
        f"{words.get(name, name.replace('_', ' '))}: {round(value, 1):,.10g}" for name, value in attack.effort.items() if value
    ]
    curve = ""
    if len(attack.curve) > 1:
        curve = " It was still learning when it was stopped." if _rising(attack) else " In the end more effort gained little."
    return f"{'; '.join(told) or 'not recorded'}.{curve}"


def _others(attack: AttackRecord) -> list[str]:
    """Further figures of an attack, in words; those by attribute beside their chance."""
    found = []
    for name, value in attack.others.items():
        base, _, where = name.rpartition("_")
        if name.startswith("ap_chance.") or f"{name}_ordinary" in attack.others:
            continue
        if name.startswith("ap."):
            chance = attack.others.get(f"ap_chance.{name[3:]}", math.nan)
            found.append(f"{name[3:]} {_percent(value)} (guessing {_percent(chance)})")
        elif name in _OTHERS:
            found.append(_OTHERS[name].format(value))
        elif where in ("ordinary", "anonymized") and base in _OTHERS:
            found.append(f"among {where} clips: {_OTHERS[base].format(value)}")
        else:
            found.append(f"{name.replace('_', ' ')} {value:.3g}")
    return found


def _share(value: float) -> float:
    """A place on a scale from 0 to 100, for the drawing; NaN is 0."""
    return 0.0 if math.isnan(value) else round(100 * min(1.0, max(0.0, value)), 2)


def _percent(value: float) -> str:
    return "not known" if math.isnan(value) else f"{100 * value:z.1f}\N{NO-BREAK SPACE}%".replace("-", "−")


def _sure(value: float, low: float, high: float) -> str:
    """With its 95 % interval."""
    return _percent(value) + (" (no interval)" if math.isnan(low) else f" (interval {_percent(low)} to {_percent(high)})")


def _control(control: Control) -> str:
    return _sure(control.leakage, control.low, control.high)


def _seeds_text(value: Estimate) -> str:
    """A mean over trainings, as a person reads it."""
    if not value.n:
        return "not known"
    return f"{value.text().removesuffix(' (n = 1)')}\N{NO-BREAK SPACE}% (n = {value.n})"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
