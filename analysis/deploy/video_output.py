"""Writes videos frame by frame with their times, by PyAV; what was written is opened again before it gets its name."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, Interpolation, VideoReformatter

from analysis.deploy.colour import HD, RgbFrame
from analysis.deploy.video_input import Shot, VideoInput
from analysis.deploy.whole import name_beside, unfinished
from analysis.read.store import AnalysisError
from trainables.one_line import reason
from trainables.x264 import repeatable

KEPT_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4")  # containers that take H.264 and MPEG-4
PREFERRED, FALLBACK = "libx264", "mpeg4"

# Without B-frames packets come in the order in which frames are shown: times that vary stay exact in MP4, and AVI can hold it.
_OPTIONS = {"libx264": {"crf": "18", "bf": "0"}, "libx264rgb": {"qp": "0"}, "mpeg4": {"qmin": "2", "qmax": "4"}}
_LOSSLESS_RGB = {"ffv1": "bgr0", "libx264rgb": "rgb24"}
_MPEG4_DENOMINATOR = 65535  # the most that MPEG-4 can write
_Error = (av.FFmpegError, OSError, ValueError)


class VideoOutput:
    """A video of the times and rate of `source`, `width` x `height`, under a temporary name until `finish`.

    Leaving the `with` block without `finish` removes it: `path` is never half written. No metadata is taken over (they may
    say where and when a video was made). Raises AnalysisError for a codec or container that does not take it.
    """

    def __init__(
        self, path: Path, source: VideoInput, width: int, height: int, codec: str | None = None, token: str = ""
    ) -> None:
        self.path, self.width, self.height, self._source = path, width, height, source
        self.codec = codec or (PREFERRED if PREFERRED in av.codecs_available else FALLBACK)
        self._reformat = VideoReformatter().reformat
        self._durations: dict[int, int] = {}
        self._times: list[int] = []  # of the first and the last frame
        self._end = 0
        self.frames = 0
        self._container: Any = None
        self._temporary, self._unfinished = name_beside(path.absolute(), token), ExitStack()
        try:
            self._open()
        except (*_Error, KeyError) as error:
            self.__exit__()
            raise AnalysisError(f"{path}: cannot be made with {self.codec} ({reason(error, 160)})") from None
        except BaseException:  # an interrupt
            self.__exit__()
            raise

    def _open(self) -> None:
        self._container = self._made()
        self._avi = avi = self._container.format.name == "avi"
        source = self._source
        self.time_base = 1 / source.rate if avi else source.time_base
        if self.codec == "mpeg4" and self.time_base.denominator > _MPEG4_DENOMINATOR:
            self.time_base = Fraction(1, 30000)
        options = _OPTIONS.get(self.codec, {}) | (repeatable() if self.codec == "libx264" else {})
        self._stream = self._container.add_stream(self.codec, rate=source.rate, options=options)
        context = self._stream.codec_context
        context.width, context.height, context.time_base = self.width, self.height, self.time_base
        context.pix_fmt = self.pixels = _pixels(self.codec, self.width, self.height)
        if source.aspect:
            context.sample_aspect_ratio = source.aspect
        self._matrix = Colorspace.ITU709 if self.height >= HD else Colorspace.ITU601
        if self.codec not in _LOSSLESS_RGB:
            hd = self._matrix == Colorspace.ITU709
            context.colorspace = self._matrix
            context.color_range = 1  # of television, which everything plays
            context.color_primaries = ColorPrimaries.BT709 if hd else ColorPrimaries.SMPTE170M
            context.color_trc = ColorTrc.BT709 if hd else ColorTrc.SMPTE170M
        # Levels are not converted: browsers show those of PAL, Display P3 or BT.2020 as they should only where the file says so
        context.color_primaries = source.reader.primaries or context.color_primaries
        context.color_trc = source.reader.transfer or context.color_trc
        self._sound = None if source.audio is None else self._container.add_stream_from_template(source.audio)
        self._container.start_encoding()

    def _made(self) -> Any:
        self._unfinished.enter_context(unfinished(self._temporary))
        return av.open(str(self._temporary), "w")

    def write(self, shot: Shot, picture: RgbFrame) -> None:
        """One frame of any size, resized to that of the video, at the time and of the duration of `shot`."""
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        rgb = self.codec in _LOSSLESS_RGB
        frame = self._reformat(
            frame,
            self.width,
            self.height,
            self.pixels,
            dst_colorspace=None if rgb else self._matrix,
            interpolation=Interpolation.BILINEAR,
        )
        scale = self._source.time_base / self.time_base
        time = round(shot.time * scale)
        time = max(time, self._times[-1] + 1) if self._times else time
        if self._avi and (time != self.frames or abs(time - shot.time * scale) > 1):
            raise AnalysisError(f"{self.path}: AVI keeps no times, and frames come at a varying rate; give .mp4 or .mkv")
        self._times = [*self._times[:1], time]
        frame.pts, frame.time_base = time, self.time_base
        self._durations[time] = max(1, round(shot.duration * scale))
        self._end = time + self._durations[time]
        self.frames += 1
        self._encode(frame)

    def resized(self, picture: RgbFrame, width: int) -> RgbFrame:
        """A picture in RGB at the height of the video."""
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        found = self._reformat(frame, width, self.height, "rgb24", interpolation=Interpolation.BILINEAR)
        return np.asarray(found.to_ndarray(), np.uint8)

    def write_audio(self, packet: av.Packet) -> None:
        """The sound as it is, not encoded anew."""
        if self._sound is not None:
            packet.stream = self._sound
            try:
                self._container.mux(packet)
            except _Error as error:
                raise self._failed(error) from None

    def complete(self) -> None:
        """Writes what is held back and compares the file with what was given to it.

        Raises AnalysisError where frames, times or the rate are not those that were written.
        """
        if not self.frames:
            raise AnalysisError(f"{self.path}: not one frame was to be written; nothing was kept")
        self._encode(None)
        try:
            self._container.close()
        except _Error as error:
            raise self._failed(error) from None
        finally:
            self._container = None
        self._compare()

    def _compare(self) -> None:
        period = 1 / self._source.rate
        span, lasts = (float((end - self._times[0]) * self.time_base) for end in (self._times[-1], self._end))
        found = _written(self._temporary, str(self.path))
        wrong = [f"{found.frames} frames of {self.frames}"] if found.frames != self.frames else []
        slack = 1.5 * float(period) + 0.002
        if not self._avi and abs(found.span - span) > slack:
            wrong.append(f"{found.span:.2f} s from the first frame to the last, not {span:.2f}")
        if found.lasts is not None and abs(found.lasts - lasts) > 2 * slack + 0.01 * lasts:
            wrong.append(f"{found.lasts:.2f} s long, not {lasts:.2f}")
        if self._avi and found.rate is not None and abs(found.rate / self._source.rate - 1) > 0.01:
            wrong.append(f"{float(found.rate):.4g} frames/s, not {float(self._source.rate):.4g}")
        if wrong:
            raise AnalysisError(f"{self.path}: what was written is not what was given ({'; '.join(wrong)}); nothing was kept")

    def make_way(self, overwrite: bool) -> None:
        """Removes what has the name, before a record says that it is another file: so who is killed after that leaves a
        record without a video, which is made anew. Raises AnalysisError if somebody else has taken the name meanwhile.
        """
        if self.path.exists() and not overwrite:
            raise AnalysisError(f"{self.path} has come to be there meanwhile; give --overwrite")
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise self._failed(error) from None

    def finish(self) -> None:
        """Gives the completed file its name."""
        try:
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise self._failed(error) from None

    def __enter__(self) -> VideoOutput:
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            with suppress(*_Error):  # an unfinished file need not be a valid one
                self._container.close()
        self._unfinished.close()

    @property
    def bytes(self) -> int:
        """The size of the completed file."""
        return self._temporary.stat().st_size

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                if packet.pts in self._durations:
                    packet.duration = self._durations.pop(packet.pts)
                self._container.mux(packet)
        except _Error as error:
            raise self._failed(error) from None

    def _failed(self, error: BaseException) -> AnalysisError:
        return AnalysisError(f"{self.path}: cannot be written on ({reason(error, 160)}); nothing of it was kept")


class PipeOutput(VideoOutput):
    """A video that goes to standard output while it is made, as Matroska: nobody can open it again to compare it."""

    def _made(self) -> Any:
        return av.open("pipe:1", "w", format="matroska")

    def _compare(self) -> None:
        pass


class _Written:
    """What a player finds in a file: frames, seconds from the first to the last, its length and its rate where it says so."""

    def __init__(self, times: list[int], time_base: Fraction, lasts: float | None, rate: Fraction | None) -> None:
        self.frames, self.lasts, self.rate = len(times), lasts, rate
        self.span = float((max(times) - min(times)) * time_base) if times else 0.0


def _written(path: Path, name: str) -> _Written:
    """Reads the packets of a file and decodes its first frame. Raises AnalysisError where that fails."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            times: list[int] = []
            decoded = False
            for packet in container.demux(stream):
                if not decoded:
                    decoded = bool(packet.decode())
                if packet.size and not packet.is_discard:
                    time = packet.pts if packet.pts is not None else packet.dts
                    times.append(len(times) if time is None else time)
            if not decoded:
                raise ValueError("not one frame can be decoded")
            base = Fraction(stream.time_base or 1)
            lasts = float(stream.duration * base) if stream.duration else None
            if lasts is None and container.duration and len(container.streams) == 1:
                lasts = container.duration / 1e6
            return _Written(times, base, lasts, stream.average_rate)
    except _Error as error:
        raise AnalysisError(f"{name}: what was written cannot be read ({reason(error, 160)}); nothing was kept") from None


def _pixels(codec: str, width: int, height: int) -> str:
    """4:2:0, which everything plays; H.264 has it for even sides only."""
    if codec in _LOSSLESS_RGB:
        return _LOSSLESS_RGB[codec]
    formats = [form.name for form in av.Codec(codec, "w").video_formats or ()]
    if codec == "libx264" and (width % 2 or height % 2):
        return "yuv444p"
    return "yuv420p" if "yuv420p" in formats or not formats else formats[0]
