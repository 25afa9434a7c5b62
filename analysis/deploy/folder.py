"""Anonymizes every video of a folder; a folder that was left half done is continued, from the records of what is finished."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis import text
from analysis.deploy.one_video import ALONE, Say, WorkContext, anonymize_video, check_output
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions, VideoResult
from analysis.deploy.video_input import PIPE
from analysis.deploy.video_output import KEPT_SUFFIXES
from analysis.deploy.whole import remove_left
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


@dataclass(frozen=True)
class Job:
    """A video of a folder and its output. title: which one of how many it is, for people."""

    source: Path
    target: Path
    title: str


@dataclass(frozen=True)
class Done:
    """What became of a video of a folder. error: a line that names it, empty where all is right. kept: a file that is there was
    left as it is, whether or not it is right. frames: how many were anonymized.
    """

    error: str = ""
    kept: bool = False
    frames: int = 0

    @property
    def made(self) -> bool:
        """Whether there is a new output, whole or not."""
        return self.frames > 0

    @property
    def failed(self) -> bool:
        """Whether there is neither a new output nor an old one."""
        return not self.made and not self.kept


# Works on all videos, in whatever order, prints what is said of each, and yields what became of each, once.
Work = Callable[[Sequence[Job]], Generator[Done]]


def anonymize_folder(folder: Path, output: Path, work: Work, say: Say) -> int:
    """Anonymizes the videos in `folder` and below into `output`; returns 0, or 1 where a video failed or has black frames.

    A video that is there is left as it is where its record says that the same would be made, and made anew where anything
    differs: the input, the model, an option. What this command has not made is not touched without `overwrite`.

    Raises AnalysisError for a folder without videos and for an output that is no other folder.
    """
    if str(output) == PIPE or output.is_file() or (output.exists() and output.samefile(folder)):
        raise AnalysisError(f"{output}: for a folder of videos give another folder")
    files = sorted(_files(folder, output.absolute(), say))
    videos = [path for path in files if is_video(path)]
    others = [str(path.relative_to(folder)) for path in files if not is_video(path)]
    if not videos:
        raise AnalysisError(f"{folder}: no videos in it ({len(others)} other files)")
    output.mkdir(parents=True, exist_ok=True)
    names = enumerate(output_names(videos, folder).items(), 1)
    jobs = [Job(path, output / name, f"[{number}/{len(videos)}] {path}") for number, (path, name) in names]
    folders = {output, *(job.target.parent for job in jobs)}
    remove_left(folders)  # first, as it may be what fills the disk
    try:
        with closing(work(jobs)) as found:
            ends = list(found)
    finally:
        remove_left(folders)  # workers of a command that was killed may have outlived it for a while
    if others:
        say(f"left out, by their names no videos: {text.listed(others, _MOST_NAMED)}")
    wrong = [end.error for end in ends if end.error]
    for error in wrong:
        say(f"with an error: {error}")
    say(
        f"{output}: {sum(end.made for end in ends)} of {len(videos)} videos anonymized,"
        f" {sum(end.kept for end in ends)} skipped as already there, {len(wrong)} with errors;"
        f" {len(others)} files that are no videos were left out"
    )
    return 1 if wrong else 0


def one_after_another(model: FrameModel, options: VideoOptions, say: Say) -> Work:
    """The work on this machine, in this process."""

    def work(jobs: Sequence[Job]) -> Generator[Done]:
        for job in jobs:
            yield anonymize_one(job, model, options, say)

    return work


def anonymize_one(job: Job, model: FrameModel, options: VideoOptions, say: Say, context: WorkContext = ALONE) -> Done:
    """Anonymizes a video of a folder, unless that is done already."""
    try:
        if _there(job.target) and not options.overwrite:
            if (done := _kept(job.target, job.source, options.made_with(model), say)) is not None:
                return done
            options = replace(options, overwrite=True)
        say(job.title)
        job.target.parent.mkdir(parents=True, exist_ok=True)
        check_output(str(job.source), job.target, options)
        result = anonymize_video(str(job.source), job.target, model, options, say, context)
        return Done(_wrong(job, result), frames=result.frames)
    except (AnalysisError, OSError) as error:
        say(f"error: {error}")
        return Done(str(error))


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name. Hidden files, which half-written ones are, do not count."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def output_names(videos: list[Path], folder: Path) -> dict[Path, Path]:
    """The name of each output: that of the video, with .mp4 appended for containers that take no H.264, once more where another
    video has that name, so that names stay different."""
    taken = {path.relative_to(folder) for path in videos if path.suffix.lower() in KEPT_SUFFIXES}
    found: dict[Path, Path] = {}
    for path in videos:
        name = path.relative_to(folder)
        if name not in taken:
            name = name.with_name(f"{name.name}.mp4")
            while name in taken:
                name = name.with_name(f"{name.name}.mp4")
            taken.add(name)
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


def _wrong(job: Job, result: VideoResult) -> str:
    """What is wrong with a new output, in a line; empty where nothing is."""
    if result.black:
        return f"{job.target}: {result.black} of {result.frames} frames are black"
    return f"{job.source} {result.cut}" if result.cut else ""


def _kept(target: Path, source: Path, made_with: dict[str, Any], say: Say) -> Done | None:
    """How an existing output that is left as it is turned out; None where it is to be made anew. Says why."""
    record = Record.read(target)
    if record is None or record.output_bytes != target.stat().st_size:
        how = "not made by this command" if record is None else "not the file that its record names"
        error = f"{target} is there, {how}; --overwrite makes it anew"
        say(f"error: {error}")
        return Done(error, kept=True)
    if different := record.differences(source, made_with):
        say(f"made anew: {target}, {text.listed(different)}")
        return None
    if record.black or record.cut:
        what = f"{record.black} of its {record.found.get('frames')} frames are black" if record.black else record.cut
        say(f"skipped: {target}, finished earlier, but {what}")
        return Done(f"{target}, finished earlier: {what}", kept=True)
    say(f"skipped: {target}, finished earlier")
    return Done(kept=True)
