"""Anonymizes one video: a file or a camera.

A frame that cannot be decoded or anonymized becomes black and is counted; a raw frame is never written in its place. Frames are
decoded, anonymized and encoded at the same time.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.deploy import memory
from analysis.deploy.beside import Ahead, Behind
from analysis.deploy.colour import RgbFrame
from analysis.deploy.record import Origin, Record
from analysis.deploy.told import lines_of, outcome
from analysis.deploy.video import VideoOptions, VideoResult
from analysis.deploy.video_input import PIPE, Shot, VideoInput, is_live
from analysis.deploy.video_output import PipeOutput, VideoOutput
from analysis.read.store import AnalysisError
from trainables.one_line import reason

if TYPE_CHECKING:
    from av import Packet

    from analysis.deploy.frame_model import FrameModel

Say = Callable[[str], None]
Made = tuple[Shot, RgbFrame | None]  # a frame with what the network made of it


@dataclass(frozen=True)
class WorkContext:
    """Where a video is worked on. token: of the names of what is unfinished, a new one if empty. beside: how many videos the
    machine works on at once, which share its memory.
    """

    token: str = ""
    beside: int = 1


ALONE = WorkContext()


def anonymize_video(
    source: str, output: Path, model: FrameModel, options: VideoOptions, say: Say = print, context: WorkContext = ALONE
) -> VideoResult:
    """Anonymizes one video to `output`, which gets its name when all of it is written and was found to be what it should be (a
    live source: when it ends or is interrupted). Its record is written just before that.

    Raises AnalysisError where the input cannot be read, or the output cannot be made or is not what was given to it.
    """
    started = time.monotonic()
    size = options.work_size(model)
    whole = options.side_by_side or bool(options.leave)
    with VideoInput(source, options.keep_audio, size, whole, options.start or 0.0) as video:
        for name, parts in (("--black", options.black), ("--leave", options.leave)):
            for part in parts:
                part.require_inside(name, source, (video.height, video.width))
        came_from = Origin.of(source, video.live)
        model.begin()
        model.at_once(1)
        batch = _fitting_batch(model, video, size, options, context.beside)
        model.begin()  # the frame that was tried is none of the video
        width = video.width * (2 if options.side_by_side else 1)
        piped = str(output) == PIPE
        with (PipeOutput if piped else VideoOutput)(
            output, video, width, video.height, options.codec, context.token
        ) as written:
            result = _run(video, written, model, options, batch)
            result.cut = video.cut
            written.complete()
            found = outcome(result, video, model, options)
            if not piped:
                written.make_way(options.overwrite)
                Record(came_from, options.made_with(model), written.bytes, found).write(output, context.token)
                written.finish()
        result.seconds = time.monotonic() - started
        for line in lines_of(result, video, written, model, options):
            say(line)
    return result


def _run(video: VideoInput, written: VideoOutput, model: FrameModel, options: VideoOptions, batch: int) -> VideoResult:
    result = VideoResult(written.path, batch=batch)
    write = _Writer(written, options, result)
    with (
        _progress(video) as advance,
        Behind(write, 2 * batch) as behind,
        Ahead(video, 2 * batch) as ahead,
        _Network(model, result, batch, video.frames, behind, advance) as network,
    ):
        try:
            for item in ahead:
                if not isinstance(item, Shot):
                    behind.put(item)
                    continue
                time = item.time * video.time_base
                if options.seconds is not None and float(time) >= options.seconds:
                    break
                if options.end is not None and float(time + video.left_out_before) >= options.end:
                    break
                result.video_seconds = (item.time + item.duration) * video.time_base
                network.put(item)
        except KeyboardInterrupt:
            if not video.live:  # of a file the half would pass for the whole
                raise
        network.finish()
    return result


class _Network:
    """Anonymizes shots, in batches or, where the model lets it, several side by side, and hands them on in their order.

    Leaving the `with` block with an error drops those that wait.
    """

    def __init__(
        self,
        model: FrameModel,
        result: VideoResult,
        batch: int,
        frames: int,
        behind: Behind[Made | Packet],
        advance: Callable[[int], None],
    ) -> None:
        self._model, self._result, self._behind, self._advance = model, result, behind, advance
        self._count = model.at_once(min(batch, frames or batch))
        self._batch = batch if self._count == 1 else 1
        self._shots: list[Shot] = []
        self._made: deque[tuple[list[Shot], Future[list[Any]]]] = deque()
        self._threads = ThreadPoolExecutor(self._count)

    def put(self, shot: Shot) -> None:
        self._shots.append(shot)
        if len(self._shots) >= self._batch:
            self._begin()

    def finish(self) -> None:
        """Waits for all of them."""
        self._begin()
        while self._made:
            self._hand_on()

    def _begin(self) -> None:
        pictures = [shot.picture for shot in self._shots if shot.picture is not None]
        self._made.append((self._shots, self._threads.submit(_attempt, pictures, self._model, self._result)))
        self._shots = []
        if len(self._made) > 2 * self._count:
            self._hand_on()

    def _hand_on(self) -> None:
        shots, future = self._made.popleft()
        result, made = self._result, iter(future.result())
        for shot in shots:
            picture = next(made) if shot.picture is not None else None
            result.frames += 1
            result.lost += shot.picture is None
            result.failed += shot.picture is not None and picture is None
            self._behind.put((shot, picture))
        self._advance(len(shots))

    def __enter__(self) -> _Network:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)


class _Writer:
    """Writes frames and sound to the output."""

    def __init__(self, written: VideoOutput, options: VideoOptions, result: VideoResult) -> None:
        self._written, self._options, self._result = written, options, result

    def __call__(self, item: Made | Packet) -> None:
        if not isinstance(item, tuple):
            self._written.write_audio(item)
            return
        shot, picture = item
        shown = self._shown(shot, picture)
        if picture is not None:
            self._result.flicker.add(shot.picture, picture)
        else:
            self._result.flicker.add(None, shown)
        self._written.write(shot, shown)

    def _shown(self, shot: Shot, picture: RgbFrame | None) -> RgbFrame:
        """The picture that is written for a frame: black, in both halves, where there is no anonymized picture."""
        if picture is None:
            return np.zeros((self._written.height, self._written.width, 3), np.uint8)
        options = self._options
        if not (options.side_by_side or options.leave or options.black):
            return picture
        made = self._written.resized(picture, self._written.width // (2 if options.side_by_side else 1))
        raw = shot.whole
        for part in options.leave:
            assert raw is not None
            part.fill(made, raw)
        shown = [made]
        if options.side_by_side:
            assert raw is not None
            shown = [raw.copy(), made]
        for one in shown:
            for part in options.black:
                part.fill(one, None)
        return np.concatenate(shown, axis=1)


def _attempt(pictures: Sequence[RgbFrame], model: FrameModel, result: VideoResult) -> list[Any]:
    """The anonymized pictures, None for each that fails; if the batch fails, its frames are tried one by one."""
    if not pictures:
        return []
    try:
        return anonymized(pictures, model)
    except Exception as error:  # whatever the network or its runtime raises: the frame must not get out raw
        result.why = result.why or reason(error, 160, kind=True)
        if len(pictures) == 1:
            return [None]
    return [_attempt([picture], model, result)[0] for picture in pictures]


def anonymized(pictures: Sequence[RgbFrame], model: FrameModel) -> list[RgbFrame | None]:
    """Runs the network on pictures (H, W, 3) of one size; None where it gives NaN or infinity.

    Raises ValueError for a model that changes the shape.
    """
    height, width, _ = pictures[0].shape
    frames = np.empty((len(pictures), 3, height, width), np.float32)
    for planes, picture in zip(frames, pictures, strict=True):
        for channel in range(3):
            np.divide(picture[..., channel], np.float32(255), out=planes[channel])
    output = np.asarray(model(frames))
    if output.shape != frames.shape:
        raise ValueError(f"the model gives {output.shape} for {frames.shape}")
    return [_levels(planes) if np.isfinite(planes).all() else None for planes in output]


def _levels(planes: np.ndarray) -> RgbFrame:
    """(3, H, W) in [0, 1] -> (H, W, 3) in 8 bits."""
    found = np.empty((*planes.shape[1:], 3), np.uint8)
    for channel, plane in enumerate(planes):
        found[..., channel] = np.rint(np.clip(plane, 0, 1) * np.float32(255))
    return found


def _fitting_batch(
    model: FrameModel, video: VideoInput, size: tuple[int, int] | None, options: VideoOptions, beside: int
) -> int:
    """Tries the model on one frame before anything is written; returns how many frames at a time memory holds.

    Raises AnalysisError if the model fails.
    """
    height, width = size or (video.height, video.width)
    black = [np.zeros((height, width, 3), np.uint8)]
    try:
        taken = memory.bytes_taken(lambda: anonymized(black, model))
    except Exception as error:
        why = reason(error, 160, kind=True)
        raise AnalysisError(f"{video.source}: the model fails at {height}x{width} ({why})") from None
    return memory.fitting(options.batch, taken, memory.free_bytes() // beside)


def check_output(source: str, output: Path, options: VideoOptions) -> None:
    """Raises AnalysisError for an output that cannot be made, or that is there and is not to be overwritten."""
    file = Path(source.removeprefix("file://"))
    if options.seconds is not None and not (options.seconds > 0 and math.isfinite(options.seconds)):
        raise AnalysisError(f"--seconds {options.seconds:g}: give more than 0, or leave it out for the whole video")
    start = options.start or 0.0
    if not (start >= 0 and math.isfinite(start)):
        raise AnalysisError(f"--from {start:g}: give a second of the video, 0 or more")
    if options.end is not None and not options.end > start:
        raise AnalysisError(f"--to {options.end:g}: give a second after --from")
    if str(output) == PIPE:
        return
    try:
        if not is_live(source) and output.exists() and file.exists() and output.samefile(file):
            raise AnalysisError(f"{output} is the input itself; give another output")
        if output.is_dir():
            raise AnalysisError(f"{output} is a folder; for one video give a file")
        if output.exists() and not options.overwrite:
            raise AnalysisError(f"{output} is there already; give another output, or --overwrite")
        if not output.absolute().parent.is_dir():
            raise AnalysisError(f"{output.absolute().parent} is no folder; make it or give another output")
    except OSError as error:  # such as a name that is too long
        raise AnalysisError(f"{output}: cannot be made ({error.strerror}); give another output") from None


def _progress(video: VideoInput) -> AbstractContextManager[Callable[[int], None]]:
    """A bar on a terminal, with the frames done and the time left; nothing is written to a log."""
    if not sys.stderr.isatty():
        return nullcontext(lambda count: None)
    from analysis.deploy.progress import bar

    return bar(Path(video.source).name[-30:], video.frames)
