"""What in a video needs care: forms of which decord gives other frames, or none, or of which nobody has looked.

It is found out once for each file, from its packets and its first frame, and kept with its index. Tests try every codec and
container here: of a file without any of these, decord gives the frames that decoding the whole file gives, in whatever order
they are asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainables.data.decoding.files import File
from trainables.data.decoding.index import Index, open_video, packets_of
from trainables.data.decoding.orientation import UPRIGHT, Orientation

if TYPE_CHECKING:
    from av import Packet, VideoFrame

REORDERED = "B-frames without times of their own"  # AVI, and MPEG-4 anywhere: decord counts in the order they are coded in
OPEN_GROUPS = "open groups of pictures"  # frames coded after a key frame and shown before it: decord is off by their number
REFRESHED = "key frames that refer to earlier frames"  # H.264 that is refreshed bit by bit
EDITED = "an edit list that hides frames"
TURNED = "pictures to be turned upright"
UNSHOWN = "frames that are not shown or not decoded"
DOUBTFUL = "times that leave a doubt"
SEVERAL = "several video streams"

_TRIED = {
    "avi": frozenset({"mpeg4", "msmpeg4v3", "mjpeg", "rawvideo", "ffv1", "huffyuv", "wmv2"}),
    "mov": frozenset({"h264", "hevc", "vp9", "mpeg4", "mjpeg", "prores"}),
    "matroska": frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mjpeg", "ffv1"}),
    "asf": frozenset({"wmv2"}),
    "flv": frozenset({"flv1"}),
}
_WITH_TIMES = frozenset({"h264", "hevc", "vp9"})  # may have B-frames, of which a container with times tells the order
_PIXELS = frozenset({"yuv420p", "yuvj420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "bgr24", "bgr0", "gray"})
_IDR = 5  # the kind of NAL unit that holds an H.264 frame before which decoding needs nothing


def care_of(file: File, index: Index) -> tuple[str, ...]:
    """Says what in a video needs care; nothing where decord is known to give its frames. Raises DataError as `index_of`."""
    container, stream = open_video(file)
    with container:
        family, codec = container.format.name.split(",")[0], stream.codec_context.codec.canonical_name
        first: VideoFrame | None = None
        every = hidden = 0
        found, key = dict[str, None](), None
        for packet in packets_of(file, container, stream):
            every += 1
            hidden += packet.is_discard
            if packet.is_keyframe:
                key = packet.pts
                if codec == "h264" and not _has_idr(packet, stream.codec_context.extradata or b""):
                    found[REFRESHED] = None
            elif index.timed and key is not None and packet.pts is not None and packet.pts < key:
                found[OPEN_GROUPS] = None
            if first is None:
                first = _decoded(packet)
        if first is None:
            first = next(iter(stream.codec_context.decode(None)), None)
        found |= dict.fromkeys(
            name
            for name, holds in {
                f"{codec} in {family}": codec not in _TRIED.get(family, ()),
                REORDERED: index.reordered,
                DOUBTFUL: not index.timed and codec in _WITH_TIMES and family in ("mov", "matroska"),
                EDITED: hidden > 0 or (family == "mov" and stream.frames not in (0, every)),
                UNSHOWN: every - hidden != index.count,
                SEVERAL: len(container.streams.video) > 1,
                TURNED: first is not None and Orientation.of(first) != UPRIGHT,
                "pixels of an unusual form": first is None or first.format.name not in _PIXELS,
            }.items()
            if holds
        )
    return tuple(found)


def _decoded(packet: Packet) -> VideoFrame | None:
    import av

    try:
        return next((frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)), None)
    except (av.FFmpegError, ValueError):
        return None


def _has_idr(packet: Packet, extradata: bytes) -> bool:
    """Whether an H.264 packet holds an IDR frame; its NAL units come with their lengths, or after start codes."""
    content = bytes(packet)
    if extradata[:1] != b"\x01":
        return any(unit[0] & 31 == _IDR for unit in content.split(b"\0\0\1")[1:] if unit)
    width, place = (extradata[4] & 3) + 1, 0
    while place + width < len(content):
        if content[place + width] & 31 == _IDR:
            return True
        place += width + int.from_bytes(content[place : place + width])
    return False
