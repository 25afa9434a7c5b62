"""What is said of a video that was anonymized, on the terminal and in its record."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from analysis import text
from analysis.deploy.measured import Size
from analysis.deploy.video import VideoOptions, VideoResult
from analysis.deploy.video_input import VideoInput
from analysis.deploy.video_output import FALLBACK, PREFERRED, VideoOutput

if TYPE_CHECKING:
    from analysis.deploy.frame_model import FrameModel


def size_warning(model: FrameModel, options: VideoOptions) -> str:
    """One line where the network works at another size than it was measured at, or that size is not known; else nothing."""
    size, at = options.work_size(model), model.measured_at
    works = f"at {text.frame_size(size)}" if size else "at each video's own size"
    if at is None:
        return (
            f"note: this model does not say at which size it was measured; it works {works}, and figures of another size say"
            " nothing of it (a model of `export` says so)"
        )
    if size == at.whole_frame:
        return ""
    return (
        f"warning: the network works {works}, and its figures were measured with {at.words()}: at another size more may be"
        " recognised than they say (leave --size out for the size they hold for; study/run.py --at-size measures another)"
    )


def outcome(result: VideoResult, video: VideoInput, model: FrameModel, options: VideoOptions) -> dict[str, Any]:
    """How a video turned out, for its record."""
    ours, theirs = result.flicker.means()
    at, size = model.measured_at, _worked_at(video, model, options)
    return {
        "worked_at": text.frame_size(size),
        "measured_at": at.words() if at else "not known",
        "dial": model.dial.words() if model.dial else None,
        "figures_hold": at is not None
        and size == at.whole_frame
        and not options.leave
        and (model.dial is None or model.dial.holds),
        "frames": result.frames,
        "black": result.black,
        "cut": result.cut,
        "flicker": {"anonymized": _rounded(ours), "raw": _rounded(theirs)},
        "notes": notes(video, options),
    }


def notes(video: VideoInput, options: VideoOptions) -> list[str]:
    """What became of the parts of a file besides its pictures, and what was done to these; a phrase for each."""
    found = []
    if video.has_audio:
        found.append("sound kept as it was" if options.keep_audio else "sound dropped (--keep-audio keeps it)")
    found += [f"left out: {text.listed(some)}"] if (some := video.left_out()) else []
    if video.turned:
        found.append("turned upright, as the file says")
    reader = video.reader
    if reader.interlaced:
        found.append("interlaced: of each frame the upper field was taken")
    if reader.hdr:
        found.append("HDR, mapped to the colours of ordinary screens")
    if reader.transparent:
        found.append("transparency dropped")
    if reader.changed:
        found.append("the size of its pictures changes: all were resized to that of the first")
    if video.restarts:
        found.append(f"its times start again {text.counted(video.restarts, 'time')}: the parts follow one another")
    if options.side_by_side:
        found.append("the left half shows the RAW frames")
    if options.leave:
        found.append(f"left RAW: {text.listed(options.leave)}")
    if options.black:
        found.append(f"always black: {text.listed(options.black)}")
    return found


def lines_of(
    result: VideoResult, video: VideoInput, written: VideoOutput, model: FrameModel, options: VideoOptions
) -> list[str]:
    """The lines to print."""
    speed = result.frames / result.seconds if result.seconds else 0.0
    size = _worked_at(video, model, options)
    own = " (the video's own size)" if size == (video.height, video.width) else ""
    holds = ", the size it was measured at" if model.measured_at and size == model.measured_at.whole_frame else own
    found = [
        f"{result.output}: {result.frames} frames of {text.frame_size((video.height, video.width))},"
        f" {float(video.rate):.4g} frames/s, {float(result.video_seconds):.2f} s; the network ({model.kind}, {model.device})"
        f" worked at {text.frame_size(size)}{holds}{f', {model.dial.words()}' if model.dial else ''}; {speed:.1f} frames/s"
    ]
    codec = f"codec {written.codec}, {written.pixels}"
    if written.codec == FALLBACK and options.codec is None:
        codec += f" (this PyAV has no {PREFERRED})"
    if written.pixels == "yuv444p":
        codec += " (odd sides; not every player shows it)"
    fewer = [f"{result.batch} frames at a time, as memory allows"] if result.batch < options.batch else []
    found.append(f"  {'; '.join([codec, *notes(video, options), *fewer])}")
    found.append(f"  {result.flicker.text()}")
    if result.black:
        why = f" ({result.why})" if result.why else ""
        found.append(
            f"  error: {result.black} of {result.frames} frames are black: {result.lost} could not be decoded,"
            f" {result.failed} not anonymized{why}"
        )
    if result.cut:
        found.append(f"  error: {video.source} {result.cut}")
    return found


def _worked_at(video: VideoInput, model: FrameModel, options: VideoOptions) -> Size:
    return options.work_size(model) or (video.height, video.width)


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)
