"""What the anonymizer is and where it comes from: its method and data, hashes and versions, and the commands that repeat it."""

from __future__ import annotations

import hashlib
import math
import platform
import shlex
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import text
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.read.trials import GIVEN, PARAM, RAW
from search_spaces.plan import EVALUATE_AT
from search_spaces.registry import load_spaces
from trainables.methods import METHODS
from trainables.schema import ARTIFACT_CONFIG, ARTIFACT_STORED, NOTE_GIVEN
from trainables.stored_anonymizer import StoredAnonymizer

_PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "mlflow")

_PLAIN_WORDS = {
    "penalty": "A network that redraws every frame. It was trained against two others: one that recognises what people do,"
    " which it has to serve, and one that tells people and places apart, which it has to blind.",
    "spact": "A network that redraws every frame, trained to serve a network that recognises what people do and to blind one"
    " that tells pictures apart.",
    "tedspad": "A network that redraws every frame, trained as SPACT is, with an extra demand that moments of one video stay"
    " distinguishable.",
    "vita": "A network that redraws every frame, trained against an ensemble of programs that know the private attributes.",
    "mass": "A network that redraws every frame, trained to suppress each private attribute and to preserve the action.",
    "stprivacy": "A network that keeps only the parts of a video that the action needs.",
    "bdq": "Frames are blurred; only how each differs from the one before is shown, in few levels. How much it blurs and which"
    " differences it tells apart was trained against a network that recognises people.",
    "given": "A model that was not trained here, and is taken as it is: nothing is known of it but what it makes of frames.",
    "given_videos": "Whatever made the anonymized videos, which were given as they are, a file beside each original.",
    "raw": "Nothing: the video stays as it is. This page then says what there is to lose.",
    "downsample_2x": "Frames are shrunk to half their sides and enlarged again.",
    "downsample_4x": "Frames are shrunk to a quarter of their sides and enlarged again.",
    "downsample_to": "Frames are shrunk to few pixels and enlarged again.",
    "grey_difference": "Only how each frame differs from the one before is shown, in grey.",
    "small_difference": "Frames are shrunk to few pixels; only how each differs from the one before is shown, in grey.",
    "blurred_difference": "Frames are blurred; only how each differs from the one before is shown, in few levels of grey.",
    "moving_pixels": "What has changed since the frame before is white, the rest black.",
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


def anonymizer(study: RecordedStudy, trial: pd.Series, record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Rows on the method, the distortion budget, the network and the data; `record` is the record.json of the trial."""
    method = str(trial["method"])
    found = [
        (
            "What it does",
            _PLAIN_WORDS.get(method, f"The method {method} of this project or of a plug-in; see its documentation."),
        )
    ]
    source = _source(method)
    found.append(("Method", f"{method}{source}"))
    if held := penalty(trial):
        found.append(("How much it may change", held))
    if not pd.isna(trial.get("rms_distortion", math.nan)):
        found.append(
            (
                "How much it does change",
                f"{float(trial['rms_distortion']):.3f} of the range from black to white, root mean square",
            )
        )
    if method != RAW and PARAM + "anonymizer.name" in trial:
        found.append(("Network", str(trial[PARAM + "anonymizer.name"])))
    found += [("Its file", line) for line in _given(record)]
    for field, role in () if _given(record) else (("action", "Trained on videos"), ("privacy", "Trained on pictures")):
        name = trial.get(PARAM + f"data.{field}.name")
        if name is not None:
            drawn = ", drawn by a computer in the layout of that data set" if study.profile == "generated" else ""
            mark = record.get("fingerprints", {}).get(field)
            found.append((role, f"{name}{drawn}" + (f" (fingerprint {mark})" if mark else "")))
    if PARAM + "clip.size" in trial:
        trained, at = trial[PARAM + "clip.size"], _size_of_use(trial) or trial[PARAM + "clip.size"]
        elsewhere = f"; trained at {trained} x {trained}" if str(at) != str(trained) else ""
        found.append(("Tested at", f"{at} x {at} pixels{elsewhere}"))
    return found


def penalty(trial: pd.Series) -> str:
    """How far an anonymizer was free to change the picture, in a sentence; empty for methods without the penalty."""
    budget, weight = (trial.get(PARAM + f"minimax.{name}") for name in ("distortion_budget", "penalty_weight"))
    if trial["method"] != "penalty" or budget is None or weight is None:
        return ""
    if float(weight) == 0:
        return "The penalty was off (lambda = 0): in training nothing kept the anonymizer from changing the picture at will."
    return (
        f"In training a change of the picture by up to {text.percent(float(budget))} of the range from black to white cost the"
        f" anonymizer nothing (budget B = {float(budget):g}); what went beyond was punished with the weight lambda ="
        f" {float(weight):g}."
    )


def title_of(trial: pd.Series) -> str:
    """What the page calls the anonymizer: its setting, or the name of the file or folder of one from elsewhere."""
    if trial["method"] in GIVEN:
        for field in ("anonymizer.weights", "data.anonymized"):
            if (path := str(trial.get(PARAM + field))) not in ("None", "nan"):
                return Path(path).name
    return str(trial["label"])


def _given(record: Mapping[str, Any]) -> list[str]:
    """The file of an anonymizer from elsewhere, with its hash; empty for one that was trained here."""
    notes = [str(note) for note in record.get("notes", ())]
    return [note.removeprefix(NOTE_GIVEN) for note in notes if note.startswith(NOTE_GIVEN)]


def _size_of_use(trial: pd.Series) -> int | None:
    """The side of the clips at which a trial was tested, where it is another than that of its training."""
    at = str(trial.get(PARAM + EVALUATE_AT))
    return int(float(at)) if at not in ("None", "nan") else None


def _source(method: str) -> str:
    if method not in METHODS:
        return ""
    found = METHODS[method]
    return f"; {found.source}" + (f"; approximate: {found.approximate}" if found.approximate else "")


def hashes(trial: pd.Series, record: Mapping[str, Any], weights: Path | None) -> list[tuple[str, str]]:
    """Rows with the ids, hashes and versions that identify the trial; `weights` is the folder with the place of its anonymizer,
    or, in older records, with the anonymizer itself.
    """
    rows = [("MLflow run", str(trial.name)), ("trial key", str(trial["trial_key"]))]
    for path in sorted(weights.glob("*.pt")) if weights and weights.is_dir() else ():
        rows.append((f"anonymizer {path.name}, SHA-256", hashlib.sha256(path.read_bytes()).hexdigest()))
    for path in sorted(weights.glob("*.json")) if weights and weights.is_dir() else ():
        try:
            rows.append(("weights of the anonymizer, SHA-256", StoredAnonymizer.of_json(path.read_text()).digest))
        except (ValueError, TypeError):
            raise AnalysisError(f"run {trial.name}: its {ARTIFACT_STORED} cannot be read") from None
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


def study_command(study: RecordedStudy, trial: pd.Series, attacks: Iterable[str], *options: str) -> str:
    """The command that runs the setting of a trial within its study with these attacks."""
    names = ",".join(sorted(attacks))
    attacked = ["--attacks", names] if names else []
    whole = ["python", "study/run.py", "--space", study.space, "--profile", study.profile, "--seeds", f"{trial['seed']},"]
    side, spaces = _size_of_use(trial), load_spaces()
    varies = study.space in spaces and any(EVALUATE_AT in values for values in spaces[study.space].settings)
    at_size = ["--at-size", str(side)] if side is not None and not varies else []
    return shlex.join([*whole, *at_size, *_data(study), *attacked, *options])


def page_command(trial: pd.Series, *options: str) -> str:
    """The command that writes the page of a trial."""
    page = ["python", "-m", "analysis", "evidence", "--trial", str(trial.name), "--tracking-uri", "URI", *options]
    return shlex.join([*page, "--out", "evidence"])


def commands(study: RecordedStudy, trial: pd.Series, attacks: Iterable[str]) -> list[str]:
    """The commands that run the setting, the trial and its page again. attacks: the names of those that were run."""
    alone = ["python", "-m", "trainables", "--config", ARTIFACT_CONFIG, *_data(study), "--out", "trial"]
    return [study_command(study, trial, attacks), shlex.join(alone), page_command(trial)]


def _data(study: RecordedStudy) -> list[str]:
    return [] if study.profile == "generated" else ["--data-root", "DATA"]
