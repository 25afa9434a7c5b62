"""Anonymizes one video: a file or a camera.

A frame that cannot be decoded or anonymized becomes black and is counted; a raw frame is never written in its place.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis import text
from analysis.deploy.flicker import Flicker
from analysis.read.store import AnalysisError

if TYPE_CHECKING:
    from rich.progress import Progress

    from analysis.deploy.anonymizers import FrameModel
    from analysis.deploy.video import RgbFrame, Shot, VideoInput, VideoOutput

Say = Callable[[str], None]


@dataclass(frozen=True)
class VideoOptions:
    """How a video is anonymized.

    `size` is the (height, width) the network works at, None for the video's own; `batch` the frames at a time; `codec` an
    encoder of PyAV, None for H.264 where it is there; `seconds` where to stop, None for the end of the video.
    """

    size: tuple[int, int] | None = None
    batch: int = 8
    side_by_side: bool = False
    keep_audio: bool = False
    overwrite: bool = False
    codec: str | None = None
    seconds: float | None = None

    def made_with(self, model: FrameModel) -> str:
        """Text that is equal for files made alike, so that a folder that is continued is no mixture."""
        parts = [model.digest, text.frame_size(self.size) if self.size else "own-size"]
        return " ".join([*parts, *(["side-by-side"] if self.side_by_side else []), self.codec or "auto"])


@dataclass
class VideoResult:
    """How one video turned out. `lost` frames could not be decoded, `failed` ones not anonymized; both are black. `why` is the
    first error of the network, `cut` says if the file ends early."""

    output: Path
    frames: int = 0
    lost: int = 0
    failed: int = 0
    why: str = ""
    cut: str = ""
    seconds: float = 0.0
    video_seconds: float = 0.0
    flicker: Flicker = field(default_factory=Flicker)

    @property
    def black(self) -> int:
        return self.lost + self.failed

    @property
    def whole(self) -> bool:
        return not self.black and not self.cut


def anonymize_video(
    source: str,
    output: Path,
    model: FrameModel,
    options: VideoOptions,
    say: Say = print,
    record: Callable[[VideoResult], None] = lambda result: None,
) -> VideoResult:
    """Anonymizes one video to `output`, which gets its name when all of it is written (a live source: when it ends or is
    interrupted). `record` is called just before that, so that a file without a record was not made here.
    """
    from analysis.deploy.video import VideoInput, VideoOutput

    started = time.monotonic()
    with VideoInput(source, audio=options.keep_audio) as video:
        width = video.width * (2 if options.side_by_side else 1)
        _check_model(model, video, options)
        with VideoOutput(output, video, width, video.height, options.codec) as written:
            result = _run(video, written, model, options)
            result.cut = video.cut
            record(result)
            written.finish(options.overwrite)
        result.seconds = time.monotonic() - started
        _tell(result, video, written, model, options, say)
    return result


def _run(video: VideoInput, written: VideoOutput, model: FrameModel, options: VideoOptions) -> VideoResult:
    from analysis.deploy.video import Shot

    result, waiting = VideoResult(written.path), list[Shot]()
    first: int | None = None
    with _progress() as bar:
        task = bar.add_task(Path(video.source).name[-30:], total=video.frames or None)
        try:
            for item in video:
                if not isinstance(item, Shot):
                    written.write_audio(item)
                    continue
                first = item.time if first is None else first
                if options.seconds is not None and (item.time - first) * video.time_base >= options.seconds:
                    break
                result.video_seconds = float((item.time + item.duration - first) * video.time_base)
                waiting.append(item)
                if len(waiting) >= options.batch:
                    _write(waiting, written, model, options, result)
                    bar.advance(task, len(waiting))
                    waiting = []
        except KeyboardInterrupt:
            if not video.live:  # of a file the half would pass for the whole
                raise
        _write(waiting, written, model, options, result)
        bar.advance(task, len(waiting))
    return result


def _write(shots: Sequence[Shot], written: VideoOutput, model: FrameModel, options: VideoOptions, result: VideoResult) -> None:
    """Anonymizes the pictures of a batch and writes all of its frames in their order."""
    there = [shot.picture for shot in shots if shot.picture is not None]
    made = iter(_attempt(there, model, options.size, result))
    for shot in shots:
        picture = next(made) if shot.picture is not None else None
        result.frames += 1
        result.lost += shot.picture is None
        result.failed += shot.picture is not None and picture is None
        shown = _shown(shot.picture, picture, options.side_by_side, (written.height, written.width))
        if picture is not None:
            result.flicker.add(shot.picture, picture)
        else:
            result.flicker.add(None, shown)
        written.write(shot, shown)


def _shown(raw: RgbFrame | None, picture: RgbFrame | None, side_by_side: bool, size: tuple[int, int]) -> RgbFrame:
    """The picture that is written for a frame: black, in both halves, where there is no anonymized picture."""
    if raw is None or picture is None:
        return np.zeros((*size, 3), np.uint8)
    return np.concatenate([raw, picture], axis=1) if side_by_side else picture


def _attempt(pictures: Sequence[RgbFrame], model: FrameModel, size: tuple[int, int] | None, result: VideoResult) -> list[Any]:
    """The anonymized pictures, None for each that fails; if the batch fails, its frames are tried one by one."""
    if not pictures:
        return []
    try:
        return anonymized(pictures, model, size)
    except Exception as error:  # whatever the network or its runtime raises: the frame must not get out raw
        result.why = result.why or text.reason(error, 160, kind=True)
        if len(pictures) == 1:
            return [None]
    return [_attempt([picture], model, size, result)[0] for picture in pictures]


def anonymized(pictures: Sequence[RgbFrame], model: FrameModel, size: tuple[int, int] | None = None) -> list[RgbFrame | None]:
    """Runs the network on pictures (H, W, 3), at their own size or resized to `size` and back; None where it gives NaN.

    Raises ValueError for a model that changes the shape.
    """
    import torch
    from torch.nn.functional import interpolate

    frames = torch.from_numpy(np.stack(pictures)).to(model.device).permute(0, 3, 1, 2).float() / 255
    whole = frames.shape[-2:]
    resized = size is not None and tuple(size) != tuple(whole)
    if resized:
        frames = interpolate(frames, size, mode="bilinear", antialias=True, align_corners=False)
    output = model(frames.contiguous())
    if output.shape != frames.shape:
        raise ValueError(f"the model gives {tuple(output.shape)} for {tuple(frames.shape)}")
    if resized:
        output = interpolate(output, whole, mode="bilinear", align_corners=False)
    known = output.isfinite().flatten(1).all(dim=1).tolist()
    levels = (output.nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [np.ascontiguousarray(level) if fine else None for level, fine in zip(levels, known, strict=True)]


def _check_model(model: FrameModel, video: VideoInput, options: VideoOptions) -> None:
    """Tries the model on one frame before anything is written. Raises AnalysisError if it fails."""
    try:
        anonymized([np.zeros((video.height, video.width, 3), np.uint8)], model, options.size)
    except Exception as error:
        reason = text.reason(error, 160, kind=True)
        at = options.size or (video.height, video.width)
        raise AnalysisError(f"{video.source}: the model fails at {text.frame_size(at)} ({reason})") from None


def check_output(source: str, output: Path, options: VideoOptions) -> None:
    from analysis.deploy.video import is_live

    file = Path(source.removeprefix("file://"))
    if not is_live(source) and output.exists() and file.exists() and output.samefile(file):
        raise AnalysisError(f"{output} is the input itself; give another output")
    if output.is_dir():
        raise AnalysisError(f"{output} is a folder; for one video give a file")
    if output.exists() and not options.overwrite:
        raise AnalysisError(f"{output} is there already; give another output, or --overwrite")
    if not output.absolute().parent.is_dir():
        raise AnalysisError(f"{output.absolute().parent} is no folder; make it or give another output")


def _progress() -> Progress:
    """A bar on a terminal, with the frames done and the time left; nothing is written to a log."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


def _tell(
    result: VideoResult, video: VideoInput, written: VideoOutput, model: FrameModel, options: VideoOptions, say: Say
) -> None:
    from analysis.deploy.video import FALLBACK, PREFERRED

    speed = result.frames / result.seconds if result.seconds else 0.0
    at = f"at {text.frame_size(options.size)}, resized and back" if options.size else "at the video's own size"
    say(
        f"{result.output}: {result.frames} frames of {text.frame_size((video.height, video.width))},"
        f" {float(video.rate):.4g} frames/s, {result.video_seconds:.2f} s; the network ({model.kind}, {model.device})"
        f" worked {at}; {speed:.1f} frames/s"
    )
    notes = [f"codec {written.codec}, {written.pixels}"]
    if written.codec == FALLBACK and options.codec is None:
        notes[0] += f" (this PyAV has no {PREFERRED})"
    if written.pixels == "yuv444p":
        notes[0] += " (odd sides; not every player shows it)"
    if video.has_audio:
        notes.append("sound kept as it was" if options.keep_audio else "sound dropped (--keep-audio keeps it)")
    if video.turned:
        notes.append("turned upright, as the file says")
    if options.side_by_side:
        notes.append("the left half shows the RAW frames")
    say(f"  {'; '.join(notes)}")
    say(f"  {result.flicker.text()}")
    if result.black:
        why = f" ({result.why})" if result.why else ""
        say(
            f"  error: {result.black} of {result.frames} frames are black: {result.lost} could not be decoded,"
            f" {result.failed} not anonymized{why}"
        )
    if result.cut:
        say(f"  error: {video.source} {result.cut}")
