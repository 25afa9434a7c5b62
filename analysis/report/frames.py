"""The section with raw and anonymized frames."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd
from PIL import UnidentifiedImageError

from analysis import text
from analysis.measure.plane import Plane
from analysis.read.artifacts import fetch_artifact
from analysis.read.store import AnalysisError
from analysis.read.study import RecordedStudy
from analysis.report.page import Encoding, Picture, Section, embedded
from analysis.report.selection import MOST_NAMED, of_interest
from trainables.schema import ARTIFACT_FRAMES

_MOST_FRAMES, _MOST_BYTES = 48, 2_500_000
_ENCODING = Encoding(900, [("WEBP", {"quality": 85, "method": 4})])


def section(study: RecordedStudy, settings: pd.DataFrame, plane: Plane) -> Section | None:
    """Raw above anonymized frames of the first seed of each setting, and a note on what is left out."""
    pictures: list[Picture] = []
    lacking, size = [], 0
    chosen = of_interest(settings, _MOST_FRAMES, plane)
    with tempfile.TemporaryDirectory() as folder:
        for setting in chosen.index:
            trial = study.trials[study.trials["setting"] == setting].sort_values("seed").iloc[0]
            try:
                target = Path(folder) / str(trial.name)
                target.mkdir()
                shown = _frames(fetch_artifact(study, str(trial.name), ARTIFACT_FRAMES, target), trial)
            except (AnalysisError, OSError, UnidentifiedImageError):
                lacking.append(str(trial["label"]))
                continue
            size += len(shown.uri)
            if size > _MOST_BYTES:
                lacking.append(f"{trial['label']} (the page would grow too large)")
                break
            pictures.append(shown)
    notes = [f"No frames could be shown of: {text.listed(lacking, MOST_NAMED)}." if lacking else ""]
    if len(settings) > len(chosen):
        notes.append(f"{len(settings) - len(chosen)} more settings are not shown.")
    note = " ".join(filter(None, notes))
    return Section("What it looks like", pictures=pictures, notes=[note]) if pictures or note else None


def _frames(path: Path, trial: pd.Series) -> Picture:
    uri, small = embedded(path, _ENCODING)
    words = f"Frames of {trial['label']}: raw in the upper row, anonymized in the lower row"
    caption = f"{trial['label']}, seed {trial['seed']}"
    return Picture(uri, words, caption, pixelated=small, of=str(trial.name), id=f"frames-{trial.name}")
