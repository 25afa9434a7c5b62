"""Videos through an anonymizer: a file, a folder, a camera. A raw frame is never written in place of one that failed.

What cannot be decoded or anonymized is black, counted and told.
"""

from __future__ import annotations

import csv
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.read.store import AnalysisError

if TYPE_CHECKING:
    from analysis.deploy.anonymizers import FrameModel
    from analysis.deploy.video import Picture, Shot, VideoInput, VideoOutput

RECORD = "anonymized.csv"  # in the output folder: a row per finished file
_COLUMNS = ("file", "made_with", "frames", "black", "cut", "flicker_anonymized", "flicker_raw")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Options:
    """`size`: (height, width) the network works at, None for the video's own. `seconds`: where to stop, None for the end."""

    size: tuple[int, int] | None = None
    batch: int = 8
    side_by_side: bool = False
    keep_audio: bool = False
    overwrite: bool = False
    codec: str | None = None
    seconds: float | None = None

    def made_with(self, model: FrameModel) -> str:
        """What a finished file depends on, so that a folder taken up again is not a mixture."""
        parts = [model.digest, f"{self.size[0]}x{self.size[1]}" if self.size else "own-size"]
        return " ".join([*parts, *(["side-by-side"] if self.side_by_side else []), self.codec or "auto"])


@dataclass
class Flicker:
    """Mean absolute difference of successive frames, in shares of the pixel range, of the raw and the anonymized video.

    A pair with a black frame in place of a lost one does not count.
    """

    raw: float = 0.0
    anonymized: float = 0.0
    pairs: int = 0
    _last: tuple[Picture, Picture] | None = None

    def add(self, raw: Picture | None, anonymized: Picture) -> None:
        """The next frame; `raw` None: it was lost."""
        if raw is not None and self._last is not None:
            for name, ours, before in (("raw", raw, self._last[0]), ("anonymized", anonymized, self._last[1])):
                difference = np.abs(ours.astype(np.int16) - before).mean() / 255
                setattr(self, name, getattr(self, name) + float(difference))
            self.pairs += 1
        self._last = None if raw is None else (raw, anonymized)

    def means(self) -> tuple[float, float]:
        """(anonymized, raw); NaN without a pair."""
        return (self.anonymized / self.pairs, self.raw / self.pairs) if self.pairs else (float("nan"), float("nan"))

    def text(self) -> str:
        ours, theirs = self.means()
        if not self.pairs:
            return "temporal flicker: unknown, no two frames follow one another"
        ratio = f"ratio {ours / theirs:.2f}" if theirs else "no ratio, the raw video stands still"
        return f"temporal flicker (mean absolute difference of successive frames): {ours:.4f}, raw {theirs:.4f}, {ratio}"


@dataclass
class Result:
    """What was made of one video. `lost`: frames that could not be decoded; `failed`: not anonymized. Both are black."""

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


def anonymize(source: str, output: Path, model: FrameModel, options: Options, say: Say = print) -> int:
    """Anonymizes a video, a live source, or every video of a folder; `say` gets the lines to tell.

    Returns 0, or 1 where a frame is black, a file ends early, or a file of a folder failed. Raises AnalysisError when nothing
    can be made at all: input or output not usable, or `output` is there and `overwrite` is not given.
    """
    folder = Path(source)
    if folder.is_dir():
        return _folder(folder, output, model, options, say)
    _check_output(source, output, options)
    result = anonymize_video(source, output, model, options, say)
    return 0 if result.whole else 1


def anonymize_video(
    source: str,
    output: Path,
    model: FrameModel,
    options: Options,
    say: Say = print,
    record: Callable[[Result], None] = lambda result: None,
) -> Result:
    """One video to `output`, which is there only when all of it is done (a live source: when it ends or is interrupted).

    `record` is called before the output gets its name, so that a file without a record is none of ours.
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


def _run(video: VideoInput, written: VideoOutput, model: FrameModel, options: Options) -> Result:
    from analysis.deploy.video import Shot

    result, waiting = Result(written.path), list[Shot]()
    first: int | None = None
    with _progress(video) as bar:
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
                    _advance(bar, len(waiting))
                    waiting = []
        except KeyboardInterrupt:
            if not video.live:  # of a file the half would pass for the whole
                raise
        _write(waiting, written, model, options, result)
        _advance(bar, len(waiting))
    return result


def _write(shots: Sequence[Shot], written: VideoOutput, model: FrameModel, options: Options, result: Result) -> None:
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


def _shown(raw: Picture | None, picture: Picture | None, side_by_side: bool, size: tuple[int, int]) -> Picture:
    """What is written for a frame: all black, both halves of it, where there is no anonymized picture."""
    if raw is None or picture is None:
        return np.zeros((*size, 3), np.uint8)
    return np.concatenate([raw, picture], axis=1) if side_by_side else picture


def _attempt(pictures: Sequence[Picture], model: FrameModel, size: tuple[int, int] | None, result: Result) -> list[Any]:
    """The anonymized pictures, None for each that fails. When a batch fails its frames are tried one by one."""
    if not pictures:
        return []
    try:
        return anonymized(pictures, model, size)
    except Exception as error:  # whatever the network or its runtime raises: the frame must not get out raw
        result.why = result.why or " ".join(f"{type(error).__name__}: {error}".split())[:160]
        if len(pictures) == 1:
            return [None]
    return [_attempt([picture], model, size, result)[0] for picture in pictures]


def anonymized(pictures: Sequence[Picture], model: FrameModel, size: tuple[int, int] | None = None) -> list[Picture | None]:
    """Pictures (H, W, 3) through the network, at their own size or resized to `size` and back; None where it gave NaN."""
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


def _check_model(model: FrameModel, video: VideoInput, options: Options) -> None:
    """Before anything is written: a model that fails for every frame is an error, not a black video."""
    try:
        anonymized([np.zeros((video.height, video.width, 3), np.uint8)], model, options.size)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
        at = options.size or (video.height, video.width)
        raise AnalysisError(f"{video.source}: the model fails at {at[0]}x{at[1]} ({reason})") from None


def _check_output(source: str, output: Path, options: Options) -> None:
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


def _folder(folder: Path, output: Path, model: FrameModel, options: Options, say: Say) -> int:
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
    """The same name; containers that take no H.264 become .mp4 beside their old suffix, so that no two names meet."""
    from analysis.deploy.video import KEPT_SUFFIXES

    return relative if relative.suffix.lower() in KEPT_SUFFIXES else relative.with_name(f"{relative.name}.mp4")


def _skip(target: Path, row: dict[str, str] | None, made_with: str, say: Say) -> bool:
    """Says why an output that is there is left alone; False where it is not what this command would make."""
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
    """File -> its newest row; files gone or half-written rows do no harm."""
    path = output / RECORD
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    complete = (row for row in rows if None not in row.values() and set(_COLUMNS) <= row.keys() and row["black"].isdigit())
    return {row["file"]: {key: row[key] for key in _COLUMNS} for row in complete}


def _append_record(output: Path, name: str, made_with: str, result: Result) -> None:
    path = output / RECORD
    new = not path.exists()
    ours, theirs = result.flicker.means()
    with path.open("a", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        if new:
            writer.writerow(_COLUMNS)
        writer.writerow([name, made_with, result.frames, result.black, result.cut, f"{ours:.5f}", f"{theirs:.5f}"])


def _progress(video: VideoInput) -> AbstractContextManager[Any]:
    """A bar on a terminal, with frames/s and the time left; nothing into a log."""
    from tqdm import tqdm

    if not sys.stderr.isatty():
        return nullcontext()
    return tqdm(total=video.frames or None, unit=" frames", desc=Path(video.source).name[-30:], leave=False)


def _advance(bar: Any, frames: int) -> None:
    if bar is not None:
        bar.update(frames)


def _tell(result: Result, video: VideoInput, written: VideoOutput, model: FrameModel, options: Options, say: Say) -> None:
    from analysis.deploy.video import FALLBACK, PREFERRED

    speed = result.frames / result.seconds if result.seconds else 0.0
    at = f"at {options.size[0]}x{options.size[1]}, resized and back" if options.size else "at the video's own size"
    say(
        f"{result.output}: {result.frames} frames of {video.height}x{video.width}, {float(video.rate):.4g} frames/s,"
        f" {result.video_seconds:.2f} s; the network ({model.kind}, {model.device}) worked {at}; {speed:.1f} frames/s"
    )
    notes = [f"codec {written.codec}, {written.pixels}"]
    if written.codec == FALLBACK and options.codec is None:
        notes[0] += f" (this PyAV has no {PREFERRED})"
    if written.pixels == "yuv444p":
        notes[0] += " (odd sides; not every player shows it)"
    if video.has_audio:
        notes.append("sound kept as it was" if options.keep_audio else "sound dropped (--keep-audio keeps it)")
    if video.turned:
        notes.append(f"turned upright by {90 * video.turned} degrees")
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
