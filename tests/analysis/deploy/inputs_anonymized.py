"""Videos as people have them, through `analysis anonymize`: what comes out, and what is said.

Frames show their numbers, so that none is lost, doubled or out of order unseen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.analysis.deploy.through import FRAMES, count, result, rgb, write
from tests.support.inputs import Input
from tests.support.numbered import HEIGHT, RATE, WIDTH, numbered, numbers_of, write_numbered
from tests.support.odd_videos import (
    X264,
    add_silence,
    cut,
    damaged,
    half_of_a_file,
    joined,
    of_two_sizes,
    place_of_corner,
    sound_alone,
    turned_video,
    with_cover,
)
from tests.trainables.data.inputs_codecs import CODECS, FORMS, Form

_BARS = np.array([(200, 30, 30), (30, 200, 30), (30, 30, 200), (120, 120, 120)], np.uint8)


def _codec(form: Form, folder: Path) -> str:
    if form.codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {form.codec}")
    found = {}
    for suffix in form.suffixes.split():
        path = folder / f"video.{suffix}"
        write_numbered(path, range(FRAMES), form.codec, form.options, form.pixels, packed=form.packed, form=FORMS.get(suffix))
        found[suffix] = result(path, f"{suffix}.mp4")
    return " / ".join(sorted(set(found.values())))


def _shifted(seconds: float) -> Callable[[Any], None]:
    def shift(packet: Any) -> None:
        ticks = round(Fraction(seconds) / packet.time_base)
        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks

    return shift


def _starts_at(suffix: str, seconds: float, folder: Path) -> str:
    return result(write(folder / f"in.{suffix}", packet=_shifted(seconds)))


def _joined(seconds: float, folder: Path) -> str:
    """Two transport streams one after another, the second beginning at `seconds`."""
    parts = [write_numbered(folder / f"{first}.ts", range(first, first + FRAMES), "libx264", X264) for first in (0, FRAMES)]
    if seconds:
        content = [numbered(number) for number in range(FRAMES, 2 * FRAMES)]
        parts[1] = write(folder / "later.ts", packet=_shifted(seconds), picture=content.__getitem__)
    return result(joined(folder / "in.ts", parts))


def _varying(output: str, folder: Path) -> str:
    return result(write(folder / "in.mkv", [number * number for number in range(40)]), output)


def _long_frame(folder: Path) -> str:
    return result(write(folder / "in.mp4", [40 * n + (99_000 if n > 11 else 0) for n in range(FRAMES)]))


def _cut(first: int, last: int, folder: Path) -> str:
    whole = write_numbered(folder / "whole.mp4", range(60), "libx264", X264)
    return result(cut(whole, folder / "cut.mp4", first, last))


def _one_frame(folder: Path) -> str:
    return result(write_numbered(folder / "in.mp4", [7], "libx264", X264))


def _turned(degrees: int, mirrored: bool, folder: Path) -> str:
    def seen(frames: list[Any]) -> str:
        return f"its top left corner is at the {place_of_corner(frames[5].to_ndarray(format='rgb24'))}"

    return result(turned_video(folder / "turned.mp4", degrees, mirrored), seen=seen)


def _aspect(folder: Path) -> str:
    def set_aspect(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    write(folder / "in.mp4", change=set_aspect)
    found = result(folder / "in.mp4")
    with av.open(str(folder / "out.mp4")) as container:
        return f"{found}; pixels {container.streams.video[0].sample_aspect_ratio} as wide as high"


def _odd(folder: Path) -> str:
    return result(write_numbered(folder / "in.mkv", range(FRAMES), "ffv1", pixels="bgr0", size=(97, 65)))


def _changes_size(folder: Path) -> str:
    return result(of_two_sizes(folder / "in.ts"), seen=count)


def bars(height: int, width: int) -> NDArray[np.uint8]:
    """Red, green, blue and grey beside each other."""
    return np.broadcast_to(_BARS.repeat(width // 4, 0), (height, width, 3)).copy()


def bars_seen(picture: NDArray[np.uint8]) -> NDArray[np.int64]:
    """(4, 3): the colours in the middles of the bars."""
    width = picture.shape[1]
    return picture[picture.shape[0] // 2, [width // 8 + bar * width // 4 for bar in range(4)]].astype(int)


def _colours(codec: str, pixels: str, height: int, tags: Mapping[str, int], folder: Path, suffix: str = "mkv") -> str:
    """tags: of the stream. Frames are coded by the matrix that `colorspace` names; untagged, as players read them."""
    width = 4 * height // 3 // 8 * 8
    matrix = tags.get("colorspace", 1 if height >= 720 else 5)
    path = folder / f"in.{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, options={"preset": "ultrafast"} if "264" in codec else {})
        stream.height, stream.width, stream.pix_fmt = height, width, pixels
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        frame = av.VideoFrame.from_ndarray(bars(height, width), "rgb24")
        full = 2 if tags.get("color_range") == 2 or pixels.startswith("yuvj") else 1
        yuv = frame.reformat(format=pixels, dst_colorspace=matrix, dst_color_range=full) if "yuv" in pixels else frame
        for number in range(3):
            yuv.pts, yuv.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(yuv))
        container.mux(stream.encode())

    def seen(frames: list[Any]) -> str:
        off = np.abs(bars_seen(frames[1].to_ndarray(format="rgb24")) - _BARS).max()
        return "the colours that went in" if off <= 6 else f"colours off by {off}"

    return result(path, seen=seen)


def _transparent(folder: Path) -> str:
    path = folder / "in.mov"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("qtrle", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "argb"
        for number in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24").reformat(format="argb")))
        container.mux(stream.encode())
    return result(path)


def _sound(tracks: int, keep: bool, folder: Path) -> str:
    path = folder / "in.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sounds: list[Any] = [container.add_stream("aac", rate=16000) for _ in range(tracks)]
        for number in range(FRAMES):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(stream.encode())
        for sound in sounds:
            add_silence(container, sound, 15360)
    found = result(path, keep_audio=keep)
    with av.open(str(folder / "out.mp4")) as container:
        heard = [sum(frame.samples for frame in container.decode(one)) for one in container.streams.audio]
    assert heard == ([] if not keep else heard)
    return f"{found}; {len(heard)} of them heard" if keep else found


def _cover(folder: Path) -> str:
    return result(with_cover(folder / "cover.mp4", FRAMES))


def _half(suffix: str, codec: str, options: Mapping[str, str], folder: Path, mux: Mapping[str, str] | None = None) -> str:
    path = half_of_a_file(folder / f"half.{suffix}", codec, options, mux)
    found = result(path, seen=lambda frames: "its first frames" if numbers_of([rgb(frames[9])]) == [9] else "others")
    first, _, rest = found.partition(", ")
    return f"{first}; {rest.partition('; ')[2].partition(',')[0]}, half.{suffix} ends early" if "ends early" in rest else found


def _damaged(folder: Path) -> str:
    def seen(frames: list[Any]) -> str:
        numbers = numbers_of(map(rgb, frames))
        right = sum(number == place for place, number in enumerate(numbers))
        return f"{len(frames)} frames, {right} of them with their own picture"

    return result(damaged(folder / "in.mp4", 36, slice(18, 20)), seen=seen)


def _content(name: str, content: bytes | None, folder: Path) -> str:
    if content is not None:
        (folder / name).write_bytes(content)
    return result(folder / name)


def _sound_alone(folder: Path) -> str:
    return result(sound_alone(folder / "in.mp4"))


def _into(name: str, folder: Path, **options: Any) -> str:
    (folder / "there").mkdir()
    return result(write_numbered(folder / "in.mp4", range(FRAMES), "libx264", X264), name, **options)


def _interlaced(folder: Path) -> str:
    def interlace(stream: Any) -> None:
        stream.codec_context.options = {"x264-params": "tff=1:bframes=0:keyint=12", "preset": "ultrafast"}

    return result(write(folder / "in.mp4", change=interlace))


_ALL = f"frames 0 to {FRAMES - 1}, 0.96 s"
_DROPPED = "sound dropped (--keep-audio keeps it)"
CODED = [
    Input(f"{form.what}: {' '.join(f'`.{one}`' for one in form.suffixes.split())}", _ALL, partial(_codec, form))
    for form in CODECS
]
TIMES = [
    Input("MPEG-TS that begins after 11 hours", _ALL, partial(_starts_at, "ts", 40000)),
    Input("MPEG-TS that begins before 0", _ALL, partial(_starts_at, "ts", -5)),
    Input("Matroska that begins after an hour", _ALL, partial(_starts_at, "mkv", 3600)),
    Input("MP4 that begins after 11 hours", _ALL, partial(_starts_at, "mp4", 40000)),
]
INPUTS = [*CODED, *TIMES]
INPUTS += [
    Input(
        "two transport streams one after another, times starting again",
        "frames 0 to 47, 1.92 s; its times start again 1 time: the parts follow one another",
        partial(_joined, 0),
    ),
    Input(
        "a transport stream that leaps ahead by an hour",
        "frames 0 to 47, 1.92 s; its times start again 1 time: the parts follow one another",
        partial(_joined, 3600),
    ),
    Input("a rate that varies", "frames 0 to 39, 1.56 s", partial(_varying, "out.mp4")),
    Input("a rate that varies, into Matroska", "frames 0 to 39, 1.56 s", partial(_varying, "out.mkv")),
    Input("a rate that varies, into AVI", "refused: AVI keeps no times", partial(_varying, "out.avi")),
    Input("a frame that lasts 99 s", "frames 0 to 23, 99.96 s", _long_frame),
    Input("MP4 cut without recoding, in the middle of a group", "frames 17 to 39, 0.92 s", partial(_cut, 17, 39)),
    Input("a video of one frame", "frames 7 to 7, 0.04 s", _one_frame),
    *(
        Input(
            f"a phone video to be turned by {degrees} degrees{', mirrored' if mirrored else ''}",
            f"its top left corner is at the {corner}, 0.96 s; turned upright, as the file says",
            partial(_turned, degrees, mirrored),
        )
        for degrees, mirrored, corner in (
            (90, False, "bottom left, upright"),
            (180, False, "bottom right, level"),
            (270, False, "top right, upright"),
            (0, True, "top right, level"),
        )
    ),
    Input("pixels that are no squares", "frames 0 to 23, 0.96 s; pixels 4/3 as wide as high", _aspect),
    Input("odd sides", "frames 0 to 23, 0.96 s", _odd),
    Input(
        "pictures whose size changes",
        "24 frames, 0.96 s; the size of its pictures changes: all were resized to that of the first; "
        "its times start again 1 time: the parts follow one another;"
        " exit 1, 1 of 24 frames are black: 1 could not be decoded, 0 not anonymized",
        _changes_size,
    ),
    Input("interlaced", "frames 0 to 23, 0.96 s; interlaced: of each frame the upper field was taken", _interlaced),
    Input("colours of SD without tags", "the colours that went in, 0.12 s", partial(_colours, "libx264", "yuv420p", 96, {})),
    Input("colours of HD without tags", "the colours that went in, 0.12 s", partial(_colours, "libx264", "yuv420p", 720, {})),
    Input(
        "SD with the tags of BT.709",
        "the colours that went in, 0.12 s",
        partial(_colours, "libx264", "yuv420p", 96, {"colorspace": 1}),
    ),
    Input(
        "levels of the full range",
        "the colours that went in, 0.12 s",
        partial(_colours, "libx264", "yuvj420p", 96, {"color_range": 2, "colorspace": 5}),
    ),
    Input(
        "MJPEG, levels of the full range", "the colours that went in, 0.12 s", partial(_colours, "mjpeg", "yuvj420p", 96, {})
    ),
    Input("4:4:4", "the colours that went in, 0.12 s", partial(_colours, "libx264", "yuv444p", 96, {})),
    Input("10 bits", "the colours that went in, 0.12 s", partial(_colours, "libx264", "yuv420p10le", 96, {})),
    Input("RGB without loss", "the colours that went in, 0.12 s", partial(_colours, "libx264rgb", "rgb24", 96, {})),
    Input("transparent pictures", "frames 0 to 23, 0.96 s; transparency dropped", _transparent),
    Input("sound", "frames 0 to 23, 0.96 s; sound dropped (--keep-audio keeps it)", partial(_sound, 1, False)),
    Input("sound that is kept", "frames 0 to 23, 0.96 s; sound kept as it was; 1 of them heard", partial(_sound, 1, True)),
    Input(
        "two sound tracks, of which one is kept",
        "frames 0 to 23, 0.96 s; sound kept as it was; left out: 1 of 2 sound tracks; 1 of them heard",
        partial(_sound, 2, True),
    ),
    Input("a cover picture before the video", "frames 0 to 23, 0.96 s; left out: the cover picture", _cover),
    Input(
        "half of an MP4 that begins with its index",
        "its first frames; exit 1, half.mp4 ends early",
        partial(_half, "mp4", "libx264", X264, mux={"movflags": "faststart"}),
    ),
    Input("half of an MP4 that ends with its index", "refused: not a readable video", partial(_half, "mp4", "libx264", X264)),
    Input("half of an AVI", "its first frames; exit 1, half.avi ends early", partial(_half, "avi", "mpeg4", {"g": "12"})),
    Input("half of a Matroska file", "its first frames; exit 1, half.mkv ends early", partial(_half, "mkv", "libx264", X264)),
    Input("half of a Flash video", "its first frames; exit 1, half.flv ends early", partial(_half, "flv", "flv", {"g": "12"})),
    Input(
        "half of a Windows Media file",
        "its first frames; exit 1, half.wmv ends early",
        partial(_half, "wmv", "wmv2", {"g": "12"}),
    ),
    Input(
        "damaged frames",
        "36 frames, 30 of them with their own picture, 1.44 s; exit 1,"
        " 2 of 36 frames are black: 2 could not be decoded, 0 not anonymized",
        _damaged,
    ),
    Input("an empty file", "refused: empty video file", partial(_content, "empty.mp4", b"")),
    Input("text with the name of a video", "refused: not a readable video", partial(_content, "t.mp4", b"no video\n" * 99)),
    Input("a web page saved as a video", "refused: not a readable video", partial(_content, "t.mp4", b"<!DOCTYPE html>" * 9)),
    Input("a file that is not there", "refused: no such video file", partial(_content, "gone.mp4", None)),
    Input("a file with sound alone", "refused: has no video stream", _sound_alone),
    Input("an output that is the input", "refused: is the input itself", partial(_into, "in.mp4", overwrite=True)),
    Input("an output that is a folder", "refused: is a folder", partial(_into, "there")),
    Input("an output in a folder that is not there", "refused: is no folder", partial(_into, "no/out.mp4")),
    Input("an output with too long a name", "refused: cannot be made", partial(_into, "x" * 260 + ".mp4")),
    Input("an output of a name as long as can be", "frames 0 to 23, 0.96 s", partial(_into, "x" * 246 + ".mp4")),
    Input("an output of a kind that holds no H.264", "refused: cannot be made with libx264", partial(_into, "out.webm")),
    Input("an output of an unknown kind", "refused: cannot be made with libx264", partial(_into, "out.xyz")),
    Input("the first 0.4 s", "frames 0 to 9, 0.40 s", partial(_into, "out.mp4", seconds=0.4)),
]
