"""Reads videos frame by frame with their times, by PyAV; only a few frames are in memory at a time.

A frame that cannot be decoded comes as None at its own time, so that the number of frames and their times stay. The first frame
is at time 0, whatever the file says, and times rise.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from analysis import text
from analysis.deploy.colour import RgbFrame, RgbReader
from analysis.deploy.timeline import Timeline
from analysis.read.store import AnalysisError
from trainables.data.decoding.files import File
from trainables.data.decoding.index import asf_bytes, pictures_of
from trainables.data.decoding.orientation import UPRIGHT
from trainables.one_line import reason

PIPE = "-"  # standard input, or output
_MOST_HELD = 16  # frames, of a file without decoding times; H.264 reorders no more
_TIMEOUT = 10.0  # seconds without an answer from a camera
_LASTING = ("matroska", "asf", "flv")  # containers of which the header says how many seconds they last
_LEAPING = ("mpegts", "mpeg", "rtsp", "hls")  # of which a leap in time is a new beginning


@dataclass(frozen=True)
class Shot:
    """A frame at its time and as long as it is shown, in units of the video's time base.

    `picture` is None if it could not be decoded. `whole`: it at the video's own size, where that was asked for.
    """

    time: int
    duration: int
    picture: RgbFrame | None
    whole: RgbFrame | None = None


class VideoInput:
    """A video file, or a live source (an address with `://`, /dev/video0, or `-` for standard input), open for reading.

    `width`, `height` are those of the upright video. `rate` is frames/s, `frames` how many are to be expected, 0 if that is not
    known. `left_out_before`: the second of the input that is time 0.

    size: (height, width) of the pictures, None for the video's own. audio: the packets of the first sound track come too.
    whole: pictures come at the video's own size as well. start: seconds that are left out at the beginning.

    Raises AnalysisError when it cannot be opened or shows nothing.
    """

    def __init__(
        self,
        source: str,
        audio: bool = False,
        size: tuple[int, int] | None = None,
        whole: bool = False,
        start: float = 0.0,
    ) -> None:
        self.source, self.live = source, is_live(source)
        self._whole, self._start = whole, start
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
        self._format = self.container.format.name
        rate = Fraction(self.stream.average_rate or self.stream.guessed_rate or 25)
        guessed = Fraction(self.stream.guessed_rate or rate)
        self.rate = guessed if guessed > 2 * rate else rate  # one long frame makes the average rate useless
        # AVI keeps no times, only the order: what FFmpeg makes up for it is wrong where frames are reordered
        self.timed = "avi" not in self._format and self.stream.time_base is not None
        self.time_base = Fraction(self.stream.time_base) if self.timed and self.stream.time_base else 1 / self.rate
        self.period = max(1, round(1 / (self.rate * self.time_base)))
        self.seconds = self._seconds()
        self.frames = 0 if self.live else self.stream.frames or round(self.seconds * self.rate)
        self.reader = RgbReader(size)
        self.cut = ""
        self.restarts = 0
        self._origin: int | None = None
        self.left_out_before = Fraction(0)
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
        return self.reader.orientation not in (None, UPRIGHT)

    @property
    def _lies(self) -> bool:
        return self.reader.orientation is not None and self.reader.orientation.transposed

    @property
    def aspect(self) -> Fraction | None:
        """The width of a pixel of the upright pictures by its height; None if the file does not say."""
        stored = self.stream.sample_aspect_ratio or self.stream.codec_context.sample_aspect_ratio
        return (1 / stored if self._lies else stored) if stored else None

    def left_out(self) -> list[str]:
        """What the file holds besides the pictures, and nobody gets: a phrase for each kind."""
        streams = self.container.streams
        tracks, kept = len(streams.audio), int(self.audio is not None)
        found = [f"{tracks - kept} of {tracks} sound tracks"] if kept and tracks > 1 else []
        others = [one for one in streams.video if one.index != self.stream.index]
        covers = [one for one in others if one.disposition & Disposition.attached_pic]
        found += ["the cover picture"] if covers else []
        found += [text.counted(len(others) - len(covers), "further video stream")] if len(others) > len(covers) else []
        found += [text.counted(len(streams.subtitles), "subtitle track")] if streams.subtitles else []
        rest = len(streams) - len(streams.video) - tracks - len(streams.subtitles)
        found += [text.counted(rest, "data or attachment stream")] if rest else []
        chapters = len(self.container.chapters()) if hasattr(self.container, "chapters") else 0
        found += [text.counted(chapters, "chapter")] if chapters else []
        return found

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
        if self._start and self.left_out_before:
            raise AnalysisError(f"{self.source}: no frame after {self._start:g} s; give an earlier --from")
        raise AnalysisError(f"{self.source}: not one frame can be decoded; not a readable video")

    def _read(self) -> Any:
        """The shots from time 0 on, each as long as it is to the next one, and the sound moved with them."""
        held: Shot | None = None
        first: int | None = None  # the time of the first one in the file
        sound: list[av.Packet] = []  # what comes before the first frame
        for item in self._unmoved():
            if not isinstance(item, Shot):
                if self._origin is None:
                    sound.append(item)
                elif self._heard(moved := self._moved(item)):
                    yield moved
                continue
            if self._origin is None:
                first = item.time if first is None else first
                self.left_out_before = (item.time - first) * self.time_base
                if item.time < first + round(Fraction(self._start) / self.time_base):
                    sound.clear()
                    continue
                self._origin = item.time
                yield from filter(self._heard, map(self._moved, sound))
                sound.clear()
            shot = replace(item, time=item.time - self._origin)
            if held is not None:
                yield replace(held, duration=shot.time - held.time)
            held = shot
        if held is not None:
            yield held

    def _heard(self, moved: av.Packet) -> bool:
        """Whether sound belongs to what is shown; from the beginning on all of it does."""
        return not self._start or moved.pts is None or moved.pts >= 0

    def _moved(self, packet: av.Packet) -> av.Packet:
        shift = round((self._origin or 0) * self.time_base / Fraction(packet.time_base))
        packet.pts = None if packet.pts is None else packet.pts - shift
        packet.dts = None if packet.dts is None else packet.dts - shift
        return packet

    def _unmoved(self) -> Iterator[Any]:
        order = _FrameOrder(self)
        last, ends = None, _Ends()
        leaps = (self.live and self.source != PIPE) or self._format in _LEAPING
        lines: dict[int, Timeline] = {}
        every = self._format.startswith(_LASTING) or self.audio is not None
        packets = self.container.demux() if every else self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                break
            except (av.FFmpegError, OSError) as error:
                self.cut = f"cannot be read on ({reason(error, 160)})"
                break
            index = packet.stream.index
            ours = index == self.stream.index
            ends.see(packet)
            sound = self.audio is not None and index == self.audio.index
            if packet.size and packet.time_base and (sound or (ours and self.timed)):
                line = lines.setdefault(index, Timeline(Fraction(packet.time_base), leaps))
                line.put_right(packet, self.period if ours else 0)
                self.restarts = max(self.restarts, line.restarts)
            if sound:
                if packet.dts is not None:
                    yield packet
                continue
            if not ours:
                continue
            for shot in order.of(packet):
                last = shot
                yield shot
        for shot in order.rest():
            last = shot
            yield shot
        if last is not None and not self.live and not self.cut:
            self.cut = self._missing(order, ends)

    def _missing(self, order: _FrameOrder, ends: _Ends) -> str:
        """Says how much earlier the file ends than its header promises: one that was cut short opens without an error."""
        promised = self.stream.frames
        if self._format.startswith("mov") and promised:
            # frames outside an edit list are in the header and not in the index; what lies past the end of the file is lost
            size = _bytes_of(self.source)
            lacking = sum(entry.pos + entry.size > size for entry in self.stream.index_entries)
            return f"ends early, {promised - lacking} of {promised} frames" if lacking > max(2, promised // 50) else ""
        if "avi" in self._format and promised:
            # the header of an AVI counts places in time, also those where no frame is coded
            lacking = promised - max(order.given + order.hidden, order.places)
            return f"ends early, {order.given} of {promised} frames" if lacking > max(2, promised // 50) else ""
        if self._format.startswith("asf"):  # of which libavformat hides the duration
            file = File.at(Path(self.source.removeprefix("file://")))
            return f"ends early, {file.bytes:,} of {asf_bytes(file):,} bytes" if asf_bytes(file) > file.bytes else ""
        if self._format.startswith(_LASTING) and self.container.duration:
            lasts = self.container.duration / 1e6
            if lasts - ends.latest > max(0.5, 0.02 * lasts):
                return f"ends early, at {ends.latest:.2f} of {lasts:.2f} s"
        return ""

    def _seconds(self) -> float:
        """The duration in the header; 0 if it is not known."""
        if self.stream.duration and self.stream.time_base:
            return float(self.stream.duration * self.stream.time_base)
        return float(self.container.duration) / 1e6 if self.container.duration and not self.live else 0.0

    def shot(self, time: int, duration: int, frame: Any) -> Shot:
        """A shot with the pictures of a decoded frame; None for one that could not be decoded."""
        if frame is None:
            return Shot(time, duration, None)
        return Shot(time, duration, self.reader.picture(frame), self.reader.picture(frame, True) if self._whole else None)


class _Ends:
    """When the last packet of any stream ends, in seconds from the start of the file."""

    def __init__(self) -> None:
        self.latest = 0.0

    def see(self, packet: Any) -> None:
        if packet.pts is not None and packet.time_base:
            self.latest = max(self.latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))


class _FrameOrder:
    """Orders decoded frames by the time they are shown and finds those that a damaged file has lost.

    A decoder that recovers from damage gives frames early, late or twice. A frame is passed on when no packet can still come
    before it: the decoding times of packets rise, and no frame is shown before it is decoded.
    """

    def __init__(self, video: VideoInput) -> None:
        self._video = video
        self._pending: list[int] = []  # a heap of the times of packets whose frame has not come
        self._ready: list[tuple[int, int, Shot]] = []  # a heap of frames that have come; (time, count, shot)
        self._lost: set[int] = set()
        self._durations: dict[int, int] = {}
        self._started = False
        self._next: int | None = None
        self._shift: int | None = None
        self._least: int | None = None
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
                yield self._placed(None, self._video.shot(0, 0, None))
        for frame in frames:
            self._started = True
            shot = self._video.shot(0, 0, None if frame.is_corrupt else frame)
            if not self._video.timed or frame.pts is None:
                yield self._placed(None, shot)
            elif frame.pts not in self._lost:  # else its place has been taken
                self._count += 1
                heapq.heappush(self._ready, (frame.pts, self._count, shot))
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
        time, _, shot = heapq.heappop(self._ready)
        while self._pending and self._pending[0] < time:
            yield self._lose()
        if self._pending and self._pending[0] == time:
            heapq.heappop(self._pending)
        yield self._placed(time, shot)

    def _lose(self) -> Shot:
        time = heapq.heappop(self._pending)
        self._lost.add(time)
        return self._placed(time, self._video.shot(0, 0, None))

    def _placed(self, time: int | None, shot: Shot) -> Shot:
        """The shot at its time, later than the one before, as encoders require; without a time, when the one before ends.

        Where the first ones have no time, as may be over RTSP, all others follow them.
        """
        begun = self._next if self._next is not None else 0
        duration = self._video.period
        place = begun
        if time is not None:
            duration = self._durations.pop(time, duration)
            if self._shift is None:
                self._shift = begun - time if self._next is not None else 0
            place = time + self._shift if self._least is None else max(time + self._shift, self._least)
        self._least, self._next = place + 1, place + duration
        self.given += 1
        return replace(shot, time=place, duration=duration)


def is_live(source: str) -> bool:
    """Whether this is an address, a camera or standard input, not a file."""
    return source == PIPE or ("://" in source and not source.startswith("file://")) or source.startswith("/dev/video")


def _bytes_of(source: str) -> int:
    return Path(source.removeprefix("file://")).stat().st_size


def _open(source: str, live: bool) -> Any:
    options = {"rtsp_transport": "tcp"} if source.startswith("rtsp") else {}
    form = "v4l2" if source.startswith("/dev/video") else None
    name = source if live else str(Path(source.removeprefix("file://")).absolute())  # a colon would be read as a protocol
    if not live and (not Path(name).is_file() or Path(name).stat().st_size == 0):
        raise AnalysisError(f"{source}: {'empty' if Path(name).is_file() else 'no such'} video file")
    try:
        if source == PIPE:
            return av.open("pipe:0")
        return av.open(name, format=form, options=options, timeout=_TIMEOUT if live else None)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise AnalysisError(f"{source}: not a readable video ({reason(error, 160)})") from None
