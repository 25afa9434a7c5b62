"""Reads and writes videos frame by frame with their time stamps, by PyAV; only a few frames are in memory at a time.

A frame that cannot be decoded comes as None at its own time, so that the number of frames and their times stay.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from analysis import text
from analysis.read.store import AnalysisError
from trainables.data.decoding.index import pictures_of
from trainables.data.decoding.orientation import UPRIGHT, Orientation

RgbFrame = NDArray[np.uint8]  # (H, W, 3)

SUFFIXES = (".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv")
KEPT_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4")  # containers that take H.264 and MPEG-4
PREFERRED, FALLBACK = "libx264", "mpeg4"

_OPTIONS = {"libx264": {"crf": "18"}, "libx264rgb": {"qp": "0"}, "mpeg4": {"qmin": "2", "qmax": "4"}}
_LOSSLESS_RGB = {"ffv1": "bgr0", "libx264rgb": "rgb24"}
_MPEG4_DENOMINATOR = 65535  # the most that MPEG-4 can write
_HD = 720  # lines from which BT.709 is what players expect
_MOST_HELD = 16  # frames, of a file without decoding times; H.264 reorders no more
_TIMEOUT = 10.0  # seconds without an answer from a camera


@dataclass(frozen=True)
class Shot:
    """A frame at its time, in units of the video's time base; `picture` is None if it could not be decoded."""

    time: int
    duration: int
    picture: RgbFrame | None


class VideoInput:
    """A video file, or a live source (an address with `://`, /dev/video0), open for reading.

    `width`, `height` are those of the pictures, turned upright where the file says so. `rate` is frames/s, `frames` how many
    are to be expected, 0 if that is not known. Raises AnalysisError when it cannot be opened or shows no pictures.
    """

    def __init__(self, source: str, audio: bool = False) -> None:
        self.source, self.live = source, is_live(source)
        self.container = _open(source, self.live)
        found = pictures_of(self.container)
        if found is None:
            self.container.close()
            raise AnalysisError(f"{source}: has no video stream")
        self.stream = found
        context = self.stream.codec_context
        self._coded = (context.width, context.height)
        if not all(self._coded):
            self.container.close()
            raise AnalysisError(f"{source}: its picture size is not known; not a readable video")
        self.has_audio = bool(self.container.streams.audio)
        self.audio = self.container.streams.audio[0] if audio and self.has_audio else None
        self.rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        # AVI keeps no times, only the order: what FFmpeg makes up for it is wrong where frames are reordered
        self.timed = "avi" not in self.container.format.name and self.stream.time_base is not None
        self.time_base = Fraction(self.stream.time_base) if self.timed and self.stream.time_base else 1 / self.rate
        self.period = max(1, round(1 / (self.rate * self.time_base)))
        self.seconds = self._seconds()
        self.frames = 0 if self.live else self.stream.frames or round(self.seconds * self.rate)
        self.orientation: Orientation | None = None  # known from the first frame on
        self.cut = ""
        self._shots = self._read()
        self._waiting: list[Shot | av.Packet] = []
        self._look()

    @property
    def width(self) -> int:
        return self._coded[1] if self._lies else self._coded[0]

    @property
    def height(self) -> int:
        return self._coded[0] if self._lies else self._coded[1]

    @property
    def turned(self) -> bool:
        """Whether the stored pictures are turned or mirrored to be upright."""
        return self.orientation not in (None, UPRIGHT)

    @property
    def _lies(self) -> bool:
        return self.orientation is not None and self.orientation.transposed

    @property
    def aspect(self) -> Fraction | None:
        """The width of a pixel of the upright pictures by its height; None if the file does not say."""
        stored = self.stream.codec_context.sample_aspect_ratio
        return (1 / stored if self._lies else stored) if stored else None

    def __iter__(self) -> Iterator[Shot | av.Packet]:
        """Every frame in the order it is shown, once, and between them the packets of the sound if it was asked for.

        After the last one `cut` says, if so, that the file ends earlier than it promises.
        """
        yield from self._waiting
        self._waiting.clear()
        yield from self._shots

    def close(self) -> None:
        self._shots.close()
        self.container.close()

    def __enter__(self) -> VideoInput:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look(self) -> None:
        """Reads up to the first picture, which says by how much the video is rotated."""
        for item in self._shots:
            self._waiting.append(item)
            if isinstance(item, Shot) and item.picture is not None:
                return
        self.close()
        raise AnalysisError(f"{self.source}: not one frame can be decoded; not a readable video")

    def _read(self) -> Any:
        order = _FrameOrder(self)
        last = None
        streams = [stream for stream in (self.stream, self.audio) if stream is not None]
        packets = self.container.demux(*streams)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError) as error:
                self.cut = f"cannot be read on ({text.reason(error, 160)})"
                break
            if self.audio is not None and packet.stream.index == self.audio.index:
                if packet.dts is not None:
                    yield packet
                continue
            for shot in order.of(packet):
                last = shot
                yield shot
        for shot in order.rest():
            last = shot
            yield shot
        if last is not None and not self.live and not self.cut:
            self.cut = self._missing(order, last)

    def _missing(self, order: _FrameOrder, last: Shot) -> str:
        """Says how much earlier the file ends than its header promises: one that was cut short opens without an error."""
        promised, given = self.stream.frames, order.given + order.hidden
        if promised:
            # the header of an AVI counts places in time, also those where no frame is coded
            lacking = promised - (max(given, order.places) if "avi" in self.container.format.name else given)
            return f"ends early, {order.given} of {promised} frames" if lacking > max(2, promised // 50) else ""
        ends = float((last.time + last.duration - (self.stream.start_time or 0)) * self.time_base)
        if self.timed and self.seconds - ends > max(2 * float(1 / self.rate), 0.02 * self.seconds):
            return f"ends early, at {ends:.2f} of {self.seconds:.2f} s"
        return ""

    def _seconds(self) -> float:
        """The duration of the pictures in the header; 0 if it is not known."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        if self.container.duration and not self.has_audio and not self.live:
            return float(self.container.duration) / 1e6
        return 0.0

    def picture(self, frame: av.VideoFrame) -> RgbFrame:
        """The frame in RGB, upright, in the size of the video."""
        if self.orientation is None:
            self.orientation = Orientation.of(frame)
        rgb = np.asarray(frame.reformat(*self._coded, "rgb24").to_ndarray(), np.uint8)
        return np.ascontiguousarray(self.orientation.upright(rgb))


class _FrameOrder:
    """Orders decoded frames by the time they are shown and finds those that a damaged file has lost.

    A decoder that recovers from damage gives frames early, late or twice. A frame is passed on when no packet can still come
    before it: the decoding times of packets rise, and no frame is shown before it is decoded.
    """

    def __init__(self, video: VideoInput) -> None:
        self._video = video
        self._pending: list[int] = []  # a heap of the times of packets whose frame has not come
        self._ready: list[tuple[int, int, RgbFrame | None]] = []  # a heap of frames that have come; (time, count, picture)
        self._lost: set[int] = set()
        self._durations: dict[int, int] = {}
        self._started = False
        self._next: int | None = None
        self._count = 0
        self.given, self.hidden, self.places = 0, 0, 0  # frames shown; outside the edit list; decoding times

    def of(self, packet: Any) -> Iterator[Shot]:
        """The frames that can be passed on after this packet, None for lost ones; an empty packet is the last of a decoder."""
        expected = packet.size > 0 and not packet.is_discard
        self.hidden += packet.size > 0 and packet.is_discard
        self.places = self.places if packet.dts is None else packet.dts + 1
        timed = self._video.timed and (packet.pts is not None or not expected)
        self._started |= packet.is_keyframe  # what comes before belongs to a key frame that is not in the file
        if expected and self._started and timed:
            heapq.heappush(self._pending, packet.pts)
            self._durations[packet.pts] = packet.duration or self._video.period
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError):
            frames = []
            if expected and self._started and not timed:
                yield self._shot(None, None)
        for frame in frames:
            self._started = True
            picture = None if frame.is_corrupt else self._video.picture(frame)
            if not self._video.timed or frame.pts is None:
                yield self._shot(None, picture)
            elif frame.pts not in self._lost:  # else its place has been taken
                self._count += 1
                heapq.heappush(self._ready, (frame.pts, self._count, picture))
        yield from self._released(packet.dts)

    def rest(self) -> Iterator[Shot]:
        """The frames that are still held when the file ends."""
        while self._ready:
            yield from self._first_ready()
        while self._pending:
            yield self._lose()

    def _released(self, decoded_until: int | None) -> Iterator[Shot]:
        while self._ready and (
            len(self._ready) > _MOST_HELD or (decoded_until is not None and self._ready[0][0] <= decoded_until)
        ):
            yield from self._first_ready()

    def _first_ready(self) -> Iterator[Shot]:
        time, _, picture = heapq.heappop(self._ready)
        while self._pending and self._pending[0] < time:
            yield self._lose()
        if self._pending and self._pending[0] == time:
            heapq.heappop(self._pending)
        yield self._shot(time, picture)

    def _lose(self) -> Shot:
        time = heapq.heappop(self._pending)
        self._lost.add(time)
        return self._shot(time, None)

    def _shot(self, time: int | None, picture: RgbFrame | None) -> Shot:
        """A shot whose time is later than that of the one before, as encoders require."""
        if time is None or (self._next is not None and time < self._next):
            time = self._next if self._next is not None else 0
        duration = self._durations.pop(time, self._video.period)
        self._next = time + (1 if self._video.timed else self._video.period)
        self.given += 1
        return Shot(time, duration, picture)


class VideoOutput:
    """A video of the times and rate of `source`, `width` x `height`, under a temporary name until `finish`.

    Leaving the `with` block without `finish` removes it: `path` is never half written. No metadata is taken over (they may
    say where and when a video was made). Raises AnalysisError for a codec or container that does not take it.
    """

    def __init__(self, path: Path, source: VideoInput, width: int, height: int, codec: str | None = None) -> None:
        self.path, self.width, self.height, self._source = path, width, height, source
        self.codec = codec or (PREFERRED if PREFERRED in av.codecs_available else FALLBACK)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}.", suffix=f".partial{path.suffix}", dir=path.absolute().parent)
        os.close(handle)
        self._temporary = Path(name)
        self._durations: dict[int, int] = {}
        self._last: int | None = None
        self._container: Any = None
        try:
            self._open()
        except (av.FFmpegError, ValueError, KeyError, OSError) as error:
            self.__exit__()
            raise AnalysisError(f"{path}: cannot be made with {self.codec} ({text.reason(error, 160)})") from None

    def _open(self) -> None:
        self._container = av.open(str(self._temporary), "w")
        avi = self._container.format.name == "avi"
        source = self._source
        self.time_base = 1 / source.rate if avi else source.time_base
        if self.codec == "mpeg4" and self.time_base.denominator > _MPEG4_DENOMINATOR:
            self.time_base = Fraction(1, 30000)
        options = {**_OPTIONS.get(self.codec, {}), **({"bf": "0"} if avi and self.codec == "libx264" else {})}
        self._stream = self._container.add_stream(self.codec, rate=source.rate, options=options)
        context = self._stream.codec_context
        context.width, context.height, context.time_base = self.width, self.height, self.time_base
        context.pix_fmt = self.pixels = _pixels(self.codec, self.width, self.height)
        if source.aspect:
            context.sample_aspect_ratio = source.aspect
        self._matrix = Colorspace.ITU709 if self.height >= _HD else Colorspace.ITU601
        if self.codec not in _LOSSLESS_RGB:
            context.colorspace = self._matrix
        self._sound = None if source.audio is None else self._container.add_stream_from_template(source.audio)
        self._container.start_encoding()

    def write(self, shot: Shot, picture: RgbFrame) -> None:
        """One frame, at the time and of the duration of `shot`."""
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        if self.codec not in _LOSSLESS_RGB:
            frame = frame.reformat(format=self.pixels, dst_colorspace=self._matrix)
        scale = self._source.time_base / self.time_base
        time = round(shot.time * scale)
        time = time if self._last is None else max(time, self._last + 1)
        self._last = time
        frame.pts, frame.time_base = time, self.time_base
        self._durations[time] = max(1, round(shot.duration * scale))
        self._encode(frame)

    def write_audio(self, packet: av.Packet) -> None:
        """The sound as it is, not encoded anew."""
        if self._sound is not None:
            packet.stream = self._sound
            self._container.mux(packet)

    def finish(self, overwrite: bool) -> None:
        """Completes the file and gives it its name. Raises AnalysisError if somebody else has taken it meanwhile."""
        self._encode(None)
        self._container.close()
        if self.path.exists() and not overwrite:
            raise AnalysisError(f"{self.path} has come to be there meanwhile; give --overwrite")
        os.chmod(self._temporary, 0o666 & ~_umask())  # a temporary file is made for its owner alone
        os.replace(self._temporary, self.path)

    def __enter__(self) -> VideoOutput:
        return self

    def __exit__(self, *_: object) -> None:
        if self._container is not None:
            with suppress(av.FFmpegError, OSError, ValueError):  # an unfinished file need not be a valid one
                self._container.close()
        self._temporary.unlink(missing_ok=True)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(frame):
                if packet.pts in self._durations:
                    packet.duration = self._durations.pop(packet.pts)
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise AnalysisError(
                f"{self.path}: cannot be written on ({text.reason(error, 160)}); nothing of it was kept"
            ) from None


def is_live(source: str) -> bool:
    """Whether this is an address or a camera, not a file."""
    return ("://" in source and not source.startswith("file://")) or source.startswith("/dev/video")


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name. Hidden files, which half-written ones are, do not count."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def _open(source: str, live: bool) -> Any:
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    form = "v4l2" if source.startswith("/dev/video") else None
    name = source if live else str(Path(source.removeprefix("file://")).absolute())  # a colon would be read as a protocol
    if not live and (not Path(name).is_file() or Path(name).stat().st_size == 0):
        raise AnalysisError(f"{source}: {'empty' if Path(name).is_file() else 'no such'} video file")
    try:
        return av.open(name, format=form, options=options, timeout=_TIMEOUT if live else None)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AnalysisError(f"{source}: not a readable video ({text.reason(error, 160)})") from None


def _pixels(codec: str, width: int, height: int) -> str:
    """4:2:0, which everything plays; H.264 has it for even sides only."""
    if codec in _LOSSLESS_RGB:
        return _LOSSLESS_RGB[codec]
    formats = [form.name for form in av.Codec(codec, "w").video_formats or ()]
    if codec == "libx264" and (width % 2 or height % 2):
        return "yuv444p"
    return "yuv420p" if "yuv420p" in formats or not formats else formats[0]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
