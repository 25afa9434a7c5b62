"""Opens what will be read before it is read: a file that is broken is named before any training, and not after all of it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from trainables.data.items import DataError, Still, Video
from trainables.data.trial_data import TrialData

if TYPE_CHECKING:
    from rich.progress import Progress

Depth = Literal["none", "headers", "decode"]
DEPTHS: tuple[Depth, ...] = get_args(Depth)
# How many frames of each file the labels need; None: an image.
Files = Mapping[Path, int | None]

_DATA_SETS = ("action", "privacy", "action_evaluation", "privacy_evaluation", "privacy_test", "clips_with_attributes")
_CHUNK = 16  # files that a process is given at a time
_FEW = 256  # files that are opened before other processes have started
_MOST_NAMED = 5


def files_of(items: Iterable[Video | Still]) -> dict[Path, int | None]:
    """Returns the files of items, with the number of frames that labels ask for."""
    files: dict[Path, int | None] = {}
    for item in items:
        frame = item.frame if isinstance(item, Still) and item.clip is None else 0
        files[item.path] = None if frame is None else max(frame + 1, files.get(item.path) or 1)
    return files


def files_read(data: Iterable[TrialData]) -> dict[Path, int | None]:
    """Returns the files that trials with these data read."""
    return files_of(item for trial in data for name in _DATA_SETS for item in _items(trial, name))


def require_readable(files: Files, depth: Depth) -> None:
    """Opens the files (`depth` headers) or decodes them too (decode). Raises DataError that names those that are no good."""
    problems = [] if depth == "none" else list(problems_of(files, decode=depth == "decode"))
    if problems:
        others = [problem.partition(": ")[0] for problem in problems[1:]]
        more = f", {len(others) - _MOST_NAMED:,} more" if len(others) > _MOST_NAMED else ""
        also = f" ({len(problems):,} such in all; also {', '.join(others[:_MOST_NAMED])}{more})" if others else ""
        raise DataError(problems[0] + also)


def problems_of(files: Files, decode: bool) -> Iterator[str]:
    """Opens files, or decodes them; yields what is wrong with each that is no good, in their order.

    Many files are shared among processes, and a bar on a terminal shows how far it is. Those found good before are not opened
    again.
    """
    every = list(files.items())
    chunks = [every[first : first + _CHUNK] for first in range(0, len(every), _CHUNK)]
    look = partial(_look, decode=decode)
    processes = min(os.cpu_count() or 1, len(chunks)) if len(files) > _FEW else 1
    with _progress() as bar:
        task = bar.add_task("opening the data", total=len(files))
        if processes > 1:
            with ProcessPoolExecutor(processes, mp_context=get_context("forkserver")) as pool:
                for chunk, found in zip(chunks, pool.map(look, chunks), strict=True):
                    bar.advance(task, len(chunk))
                    yield from found
        else:
            for chunk in chunks:
                found = look(chunk)
                bar.advance(task, len(chunk))
                yield from found


def problem_of(path: Path, frames: int | None, decode: bool) -> str:
    """Opens one file; returns what is wrong with it, or nothing."""
    from trainables.data.decoding.files import File  # decoders, and what they import, only where they are used
    from trainables.data.decoding.folder import FolderReader, frames_in
    from trainables.data.decoding.images import check_image, decode_image
    from trainables.data.decoding.known import is_known, keep
    from trainables.data.decoding.video import VideoReader
    from trainables.data.reading import find_frames

    try:
        if path.is_dir():
            count = len(frames_in(path))
            FolderReader(path).read(range(count) if decode else [0])
            return "" if frames is None or count >= frames else f"{path}: {count} frames; the labels go to frame {frames - 1}"
        file = File.at(path, "image" if frames is None else "video")
        known = is_known(file, decode)
        if frames is None:
            if not known:
                decode_image(path) if decode else check_image(path)
                keep(file, None, decode)
            return ""
        index = find_frames(path)
        if not known and index.timed:  # of others the index is what a whole decode has found
            reader = VideoReader(file, index)
            reader.check() if decode else reader.read([0])
            reader.close()
            keep(file, index, decode)
    except DataError as error:
        return str(error)
    if index.count < frames:
        return f"{path}: {index.count} frames, but the labels go to frame {frames - 1}; replace the file"
    return ""


def _look(files: Sequence[tuple[Path, int | None]], decode: bool) -> list[str]:
    return [problem for path, frames in files if (problem := problem_of(path, frames, decode))]


def _items(data: TrialData, name: str) -> Sequence[Video | Still]:
    splits = getattr(data, name)
    return (*splits.train, *splits.validation, *splits.test)


def _progress() -> Progress:
    """A bar on a terminal; nothing is written to a log."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
