"""Which frames a video shows, in which order, and where decoding can begin.

What a player shows is the video: the frames that a decoder gives when it decodes the whole file, in that order. libavformat
applies edit lists, and marks the packets outside them.

MP4, MOV, MKV and WebM carry the time at which each frame is shown, so that its number is known from the packets, without
decoding. AVI carries no such times, and libavformat's guesses are wrong where frames are reordered: of AVI and of every other
file one whole decode finds the frames out. Either way a frame is known by a tag that its packet carries through the decoder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from trainables.data.decoding.files import File, short
from trainables.data.items import DataError

if TYPE_CHECKING:
    from av import Packet, VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

# Containers that keep presentation times, and codecs of which each packet shows one frame: not VP8, which has hidden frames,
# and not MPEG-4, of which XviD puts two frames into a packet.
_TIMED_CONTAINERS = ("mov", "matroska")
_TIMED_CODECS = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "ffv1", "rawvideo", "prores"})
# Containers of which the header says how many seconds they last.
_LASTING_CONTAINERS = ("matroska", "asf", "flv")
_STARTS_TRIED = 8
_MOST_LACKING = 0.02  # of a file that ends early, and of frames that cannot be decoded: edges are rounded


@dataclass(frozen=True)
class Start:
    """A key frame. Decoding from its packet on gives frame `position` and all after it; `time` is where to seek."""

    position: int
    tag: int
    time: int


@dataclass(frozen=True)
class Index:
    """The frames of a video: frame n has the tag `tags[n]`. Without `tags`, frames can only be counted from the start.

    `starts`, by position, are where decoding can begin besides the start of the file. `timed`: tags are presentation times,
    found without decoding; otherwise they are decoding times, and a whole decode has found them. `care`: what in the file needs
    care, see `care_of`.
    """

    count: int
    tags: NDArray[np.int64]
    starts: tuple[Start, ...]
    timed: bool
    care: tuple[str, ...] = ()

    @property
    def reordered(self) -> bool:
        """Whether frames are shown in another order than they are coded in: some are B-frames. Only for those not `timed`."""
        return not self.timed and bool((np.diff(self.tags) < 0).any())

    def start_before(self, position: int) -> Start | None:
        """The last place from which decoding gives frame `position`; None: the start of the file."""
        return next((start for start in reversed(self.starts) if start.position <= position), None)


@dataclass(frozen=True)
class _Packet:
    pts: int | None
    dts: int | None
    key: bool
    shown: bool


@dataclass
class _Seen:
    """What a pass over a whole file has seen: the packets of the video, and when the last packet of any stream ends."""

    packets: list[_Packet] = field(default_factory=list)
    end: float = 0.0


def open_video(file: File) -> tuple[InputContainer, VideoStream]:
    """Opens the file; returns the container and its video stream, which is never a cover picture.

    Raises DataError for a file that is no video.
    """
    import av

    try:
        # a name with a colon would be read as a protocol; an absolute path is never
        container = av.open(str(file.path.absolute()))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise DataError(f"{file.path}: not a readable video ({short(error)}); replace the file") from None
    if (stream := pictures_of(container)) is not None:
        stream.codec_context.thread_count = 1
        return container, stream
    container.close()
    raise DataError(f"{file.path}: not a readable video (it has no pictures); replace the file")


def pictures_of(container: InputContainer) -> VideoStream | None:
    """Returns the first video stream that is no cover picture; None where there is none."""
    from av.stream import Disposition

    return next((stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic), None)


@lru_cache(maxsize=65536)
def sides_of(file: File) -> tuple[int, int]:
    """The width and height of a video's pictures, as they are stored. Raises DataError for a file that is no video."""
    container, stream = open_video(file)
    with container:
        return stream.width, stream.height


def index_of(file: File) -> Index:
    """Finds the frames of a video.

    Raises DataError for a file that is no video, that is cut short, or of which more than 2 % cannot be decoded.
    """
    container, stream = open_video(file)
    with container:
        name = container.format.name
        if name.startswith(_TIMED_CONTAINERS) and stream.codec_context.codec.canonical_name in _TIMED_CODECS:
            seen = _Seen()
            for _ in packets_of(file, container, stream, seen):
                pass
            _refuse_cut(file, container, stream, seen)
            if (index := _index_by_times(seen.packets, seek_by_dts=False)) is not None:
                if _leads_to_starts(file, container, stream, index.starts):
                    return index
                return _index_by_times(seen.packets, seek_by_dts=True) or index
    return decoded_index(file)


def decoded_index(file: File) -> Index:
    """Finds the frames of a video by decoding all of them. Raises DataError as `index_of` does."""
    container, stream = open_video(file)
    tags, keys, seen, lost = list[int | None](), set[int](), _Seen(), [0]
    with container:
        for frame in decode(packets_of(file, container, stream, seen), stream, False, lost):
            tags.append(frame.pts)
            if frame.key_frame and frame.pts is not None:
                keys.add(frame.pts)
        _refuse_cut(file, container, stream, seen)
    if not tags:
        raise DataError(f"{file.path}: not a readable video (not one frame can be decoded); replace the file")
    if lost[0] > _most_lacking(len(seen.packets)):
        raise DataError(f"{file.path}: {lost[0]} of {len(seen.packets)} frames cannot be decoded; replace the file")
    known = [tag for tag in tags if tag is not None]
    if len(set(known)) < len(tags) or any(packet.dts is None for packet in seen.packets):
        return Index(len(tags), np.empty(0, np.int64), (), timed=False)
    order = np.array(known, np.int64)
    first_coded = np.minimum.accumulate(order[::-1])[::-1]  # of all frames from each one on
    starts = [
        Start(position, tag, tag)
        for position, tag in enumerate(known)
        if position and tag in keys and first_coded[position] == tag  # nothing shown after it was coded before it
    ]
    return Index(len(tags), order, tuple(starts), timed=False)


def packets_of(file: File, container: InputContainer, stream: VideoStream, seen: _Seen | None = None) -> Iterator[Packet]:
    """Yields the packets of the video that hold data, from where the container stands on; `seen` takes note of them."""
    import av

    everything = seen is not None and container.format.name.startswith(_LASTING_CONTAINERS)
    try:
        for packet in container.demux() if everything else container.demux(stream):
            if seen is not None and packet.pts is not None:
                seen.end = max(seen.end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index or packet.size == 0:
                continue  # AVI has empty packets where a frame is shown longer; the last one of all ends the stream
            if seen is not None:
                seen.packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard))
            yield packet
    except (av.FFmpegError, OSError) as error:
        raise DataError(f"{file.path}: not readable to its end ({short(error)}); replace the file") from None


def decode(packets: Iterable[Packet], stream: VideoStream, timed: bool, lost: list[int]) -> Iterator[VideoFrame]:
    """Yields the frames of the packets; the `pts` of each is its tag.

    `lost[0]` counts the packets that could not be decoded, which are passed over as a player does.
    """
    import av

    context = stream.codec_context
    for number, packet in enumerate(packets):
        if not timed:
            packet.pts = number if packet.dts is None else packet.dts
        try:
            yield from context.decode(packet)
        except (av.FFmpegError, ValueError):
            lost[0] += 1
    try:
        yield from context.decode(None)
    except (av.FFmpegError, ValueError):
        lost[0] += 1


def _index_by_times(packets: Sequence[_Packet], seek_by_dts: bool) -> Index | None:
    """Finds the frames by the times at which they are shown; None where these leave a doubt."""
    times = [packet.pts for packet in packets if packet.pts is not None]
    if not packets or len(set(times)) < len(packets) or not packets[0].key:
        return None
    if min(times) < times[0]:  # frames before the first key frame: some decoders show them, others do not
        return None
    shown = np.sort(np.array([packet.pts for packet in packets if packet.shown], np.int64))
    starts, latest = list[Start](), times[0]
    for packet, time in zip(packets, times, strict=True):
        if packet.key and packet.shown and time > latest:  # all coded before it is shown before it
            where = packet.dts if seek_by_dts and packet.dts is not None else time
            starts.append(Start(int(np.searchsorted(shown, time)), time, where))
        latest = max(latest, time)
    return Index(len(shown), shown, tuple(starts), timed=True) if len(shown) else None


def _leads_to_starts(file: File, container: InputContainer, stream: VideoStream, starts: Sequence[Start]) -> bool:
    """Whether seeking to the times of the starts leads to their packets; some of many are tried.

    In MP4 with B-frames some versions of libavformat seek by the time at which a frame is decoded, others by that at which it
    is shown. The wrong one of the two leads to the key frame before, and all frames from there on are decoded for nothing.
    """
    import av

    try:
        for start in starts[:: max(1, len(starts) // _STARTS_TRIED)]:
            container.seek(start.time, stream=stream)
            if (packet := next(packets_of(file, container, stream), None)) is None or packet.pts != start.tag:
                return False
    except (av.FFmpegError, OSError, DataError):
        return False
    return True


def _refuse_cut(file: File, container: InputContainer, stream: VideoStream, seen: _Seen) -> None:
    """Raises DataError for a file that ends before its header promises: most of those open without an error."""
    name, problem = container.format.name, ""
    if name.startswith("avi"):
        # the header counts places in time, also those where no frame is coded
        places = max((packet.dts + 1 for packet in seen.packets if packet.dts is not None), default=0)
        if stream.frames - places > _most_lacking(stream.frames):
            problem = f"{places} frames of the {stream.frames} its header promises"
    elif name.startswith("mov"):
        here = sum(entry.pos + entry.size <= file.bytes for entry in stream.index_entries)
        if stream.frames - here > _most_lacking(stream.frames):
            problem = f"{here} frames of the {stream.frames} its header promises"
    elif name.startswith(_LASTING_CONTAINERS) and container.duration:
        lasts = container.duration / 1e6
        if lasts - seen.end > max(0.5, _MOST_LACKING * lasts):
            problem = f"it ends at {seen.end:.2f} s of the {lasts:.2f} s its header promises"
    elif name.startswith("asf") and (promised := asf_bytes(file)) > file.bytes:  # of which libavformat hides the duration
        problem = f"{file.bytes:,} bytes of the {promised:,} its header promises"
    if problem:
        raise DataError(f"{file.path}: truncated, {problem}; replace the file")


def asf_bytes(file: File) -> int:
    """Returns the size of a Windows Media file as its file properties object has it; 0 where there is none."""
    with file.path.open("rb") as opened:
        head = opened.read(2**16)
    place = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    return int.from_bytes(head[place + 40 : place + 48], "little") if place >= 0 else 0


def _most_lacking(count: int) -> float:
    return max(2.0, _MOST_LACKING * count)
