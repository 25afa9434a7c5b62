"""Anonymizes every video of a folder; a folder that was left half done is continued, from the record of what is finished."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.deploy.one_video import Say, VideoOptions, VideoResult, anonymize_video
from analysis.read.store import AnalysisError

if TYPE_CHECKING:
    from analysis.deploy.anonymizers import FrameModel

RECORD = "anonymized.csv"  # in the output folder: a row per finished file

_COLUMNS = ("file", "made_with", "frames", "black", "cut", "flicker_anonymized", "flicker_raw")


def anonymize_folder(folder: Path, output: Path, model: FrameModel, options: VideoOptions, say: Say) -> int:
    """Anonymizes the videos in `folder` and below into `output`; returns 0, or 1 where a video failed or has black frames.

    Raises AnalysisError for a folder without videos and for an output that is no other folder.
    """
    from analysis.deploy.video import is_video

    if output.is_file() or (output.exists() and output.samefile(folder)):
        raise AnalysisError(f"{output}: for a folder of videos give another folder")
    inside = output.absolute()
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and inside not in path.absolute().parents]
    videos = [path for path in files if is_video(path)]
    if not videos:
        raise AnalysisError(f"{folder}: no videos in it ({len(files)} other files)")
    output.mkdir(parents=True, exist_ok=True)
    rows, made_with = _read_record(output), options.made_with(model)
    done, skipped, bad = 0, 0, 0
    for number, path in enumerate(videos, 1):
        name = _output_name(path.relative_to(folder))
        target, row = output / name, rows.get(str(name))
        if target.exists() and not options.overwrite:
            fine = _skip(target, row, made_with, say)
            skipped, bad = skipped + 1, bad + (not fine)
            continue
        say(f"[{number}/{len(videos)}] {path}")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            record = partial(_append_record, output, str(name), made_with)
            result = anonymize_video(str(path), target, model, options, say, record)
            done, bad = done + 1, bad + (not result.whole)
        except (AnalysisError, OSError) as error:
            say(f"error: {error}")
            bad += 1
    say(
        f"{output}: {done} of {len(videos)} videos anonymized, {skipped} skipped as already there, {bad} with errors;"
        f" {len(files) - len(videos)} files that are no videos were left out"
    )
    return 1 if bad else 0


def _output_name(relative: Path) -> Path:
    """The name of the output: the same, with .mp4 appended for containers that take no H.264, so that names stay different."""
    from analysis.deploy.video import KEPT_SUFFIXES

    return relative if relative.suffix.lower() in KEPT_SUFFIXES else relative.with_name(f"{relative.name}.mp4")


def _skip(target: Path, row: dict[str, str] | None, made_with: str, say: Say) -> bool:
    """Prints why an existing output is left as it is; returns False where this command would not make the same."""
    if row is None or row["made_with"] != made_with:
        how = "not made by this command" if row is None else "made with another model or other options"
        say(f"error: {target} is there, {how}; --overwrite makes it anew")
        return False
    if int(row["black"]) or row["cut"]:
        what = f"{row['black']} of its {row['frames']} frames are black" if int(row["black"]) else row["cut"]
        say(f"skipped: {target}, finished earlier, but {what}")
        return False
    say(f"skipped: {target}, finished earlier")
    return True


def _read_record(output: Path) -> dict[str, dict[str, str]]:
    """The newest complete row of each file in the record; half-written rows are left out."""
    path = output / RECORD
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    complete = (row for row in rows if None not in row.values() and set(_COLUMNS) <= row.keys() and row["black"].isdigit())
    return {row["file"]: {key: row[key] for key in _COLUMNS} for row in complete}


def _append_record(output: Path, name: str, made_with: str, result: VideoResult) -> None:
    path = output / RECORD
    new = not path.exists()
    ours, theirs = result.flicker.means()
    with path.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        if new:
            writer.writerow(_COLUMNS)
        writer.writerow([name, made_with, result.frames, result.black, result.cut, f"{ours:.5f}", f"{theirs:.5f}"])
