"""Anonymizes every video of a folder; a folder that was left half done is continued, from the records of what is finished."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import text
from analysis.deploy.one_video import Say, anonymize_video, check_output
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from analysis.deploy.video_output import KEPT_SUFFIXES
from analysis.read.store import AnalysisError

if TYPE_CHECKING:
    from analysis.deploy.frame_model import FrameModel

# What FFmpeg reads by these names.
_NAMES = """
.264 .265 .3g2 .3gp .3gpp .amv .asf .avi .divx .dv .f4v .flv .gif .h264 .h265 .hevc .ismv .ivf .m1v .m2p .m2t .m2ts .m2v .m4v
.mj2 .mjpeg .mjpg .mk3d .mkv .mod .mov .mp4 .mpe .mpeg .mpg .mpv .mts .mxf .nut .obu .ogg .ogm .ogv .ogx .qt .rm .rmvb .tod .ts
.vob .webm .wmv .wtv .y4m
"""
SUFFIXES = frozenset(_NAMES.split())
_MOST_NAMED = 20  # files that were left out


def anonymize_folder(folder: Path, output: Path, model: FrameModel, options: VideoOptions, say: Say) -> int:
    """Anonymizes the videos in `folder` and below into `output`; returns 0, or 1 where a video failed or has black frames.

    A video that is there is left as it is where its record says that the same would be made, and made anew where anything
    differs: the input, the model, an option. What this command has not made is not touched without `overwrite`.

    Raises AnalysisError for a folder without videos and for an output that is no other folder.
    """
    if output.is_file() or (output.exists() and output.samefile(folder)):
        raise AnalysisError(f"{output}: for a folder of videos give another folder")
    files = sorted(_files(folder, output.absolute(), say))
    videos = [path for path in files if is_video(path)]
    others = [str(path.relative_to(folder)) for path in files if not is_video(path)]
    if not videos:
        raise AnalysisError(f"{folder}: no videos in it ({len(others)} other files)")
    output.mkdir(parents=True, exist_ok=True)
    made_with, done, skipped, bad = options.made_with(model), 0, 0, 0
    for number, (path, name) in enumerate(output_names(videos, folder).items(), 1):
        target, how = output / name, options
        try:
            if _there(target) and not options.overwrite:
                if (fine := _kept(target, path, made_with, say)) is not None:
                    skipped, bad = skipped + 1, bad + (not fine)
                    continue
                how = replace(options, overwrite=True)
            say(f"[{number}/{len(videos)}] {path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            check_output(str(path), target, how)
            result = anonymize_video(str(path), target, model, how, say)
            done, bad = done + 1, bad + (not result.whole)
        except (AnalysisError, OSError) as error:
            say(f"error: {error}")
            bad += 1
    if others:
        say(f"left out, by their names no videos: {text.listed(others, _MOST_NAMED)}")
    say(
        f"{output}: {done} of {len(videos)} videos anonymized, {skipped} skipped as already there, {bad} with errors;"
        f" {len(others)} files that are no videos were left out"
    )
    return 1 if bad else 0


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name. Hidden files, which half-written ones are, do not count."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def output_names(videos: list[Path], folder: Path) -> dict[Path, Path]:
    """The name of each output: that of the video, with .mp4 appended for containers that take no H.264, once more where another
    video has that name, so that names stay different."""
    kept = {path.relative_to(folder) for path in videos if path.suffix.lower() in KEPT_SUFFIXES}
    found: dict[Path, Path] = {}
    for path in videos:
        name = path.relative_to(folder)
        if name not in kept:
            name = name.with_name(f"{name.name}.mp4")
            while name in kept or name in found.values():
                name = name.with_name(f"{name.name}.mp4")
        found[path] = name
    return found


def _files(folder: Path, output: Path, say: Say) -> Iterator[Path]:
    """All files below a folder, also those in linked folders, each folder once; without those of the output."""
    seen: set[str] = set()

    def told(error: OSError) -> None:
        say(f"error: {error.filename} cannot be looked into ({error.strerror})")

    for here, folders, names in os.walk(folder, onerror=told, followlinks=True):
        real = os.path.realpath(here)
        if real in seen or Path(real) == Path(os.path.realpath(output)):
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (path for path in (Path(here) / name for name in names) if path.is_file() or path.is_symlink())


def _there(target: Path) -> bool:
    try:
        return target.exists()
    except OSError as error:
        raise AnalysisError(f"{target}: cannot be made ({error.strerror})") from None


def _kept(target: Path, source: Path, made_with: dict[str, Any], say: Say) -> bool | None:
    """Whether an existing output is left as it is and is all right; None where it is to be made anew. Says why."""
    record = Record.read(target)
    if record is None or record.output_bytes != target.stat().st_size:
        how = "not made by this command" if record is None else "not the file that its record names"
        say(f"error: {target} is there, {how}; --overwrite makes it anew")
        return False
    if different := record.differences(source, made_with):
        say(f"made anew: {target}, {text.listed(different)}")
        return None
    if record.black or record.cut:
        what = f"{record.black} of its {record.found.get('frames')} frames are black" if record.black else record.cut
        say(f"skipped: {target}, finished earlier, but {what}")
        return False
    say(f"skipped: {target}, finished earlier")
    return True
