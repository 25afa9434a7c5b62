"""Videos as people have them: cut, broken, cut without recoding, turned, with other things beside the pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from tests.support.inputs import Input
from tests.support.numbered import HEIGHT, RATE, WIDTH, numbered, numbers_of, write_numbered
from trainables.data.decoding.by_decord import DecordReader, gives_frames
from trainables.data.decoding.files import File
from trainables.data.decoding.video import VideoReader
from trainables.data.reading import VideoFile, count_frames, find_frames, read_frames

Numbers = Sequence[int]
_X264 = {"preset": "ultrafast", "x264-params": "keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}
_MPEG4 = {"g": "12", "bf": "2"}


def _told(numbers: Numbers) -> str:
    """The frames in words: `frames 3 to 7` where they follow each other."""
    if list(numbers) == list(range(numbers[0], numbers[0] + len(numbers))):
        return f"frames {numbers[0]} to {numbers[-1]}"
    return f"frames {', '.join(map(str, numbers))}"


def _shown(path: Path) -> str:
    """The numbers of all frames, once read in order and once backwards, one by one."""
    count = count_frames(path)
    video = VideoFile(path, 280)
    numbers = numbers_of(read_frames(path, range(count), 48))
    assert [numbers_of(video.frames([index]))[0] for index in reversed(range(count))] == numbers[::-1]
    file, index = File.at(path) if path.is_file() else None, find_frames(path)
    if file is not None and gives_frames(file, index, 112):
        every = list(range(count))
        assert np.array_equal(DecordReader(file, index, 112).read(every), VideoReader(file, index, 112).read(every))
    return _told(numbers)


def cut(source: Path, path: Path, first: int, last: int) -> Path:
    """Cuts frames `first` .. `last` without coding them again: from the key frame before `first`, hidden by an edit list."""
    with av.open(str(source)) as given, av.open(str(path), "w") as container:
        from_stream = given.streams.video[0]
        stream = container.add_stream_from_template(from_stream)
        packets = [packet for packet in given.demux(from_stream) if packet.size]
        period = Fraction(1, RATE) / from_stream.time_base
        start = max(packet.dts for packet in packets if packet.is_keyframe and packet.pts <= first * period)
        for packet in packets:
            if packet.dts >= start and packet.pts <= last * period:
                packet.pts -= round(first * period)
                packet.dts -= round(first * period)
                packet.stream = stream
                container.mux(packet)
    return path


def _cut(suffix: str, first: int, last: int, folder: Path) -> str:
    whole = write_numbered(folder / f"whole.{suffix}", range(60), "libx264", _X264)
    return _shown(cut(whole, folder / f"cut.{suffix}", first, last))


def _truncated(suffix: str, codec: str, options: Mapping[str, str], folder: Path, mux: Mapping[str, str] | None = None) -> str:
    whole = folder / f"whole.{suffix}"
    with av.open(str(whole), "w", options=dict(mux or {})) as container:
        stream: Any = container.add_stream(codec, rate=RATE, options=dict(options))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(150):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(stream.encode())
    path = folder / f"half.{suffix}"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return _shown(path)


def _h264_with_other_ticks(folder: Path) -> str:
    path = folder / "copied.avi"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 500)  # 20 places in time a frame, as when MP4 is copied into AVI
        for number in range(60):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
            frame.pts, frame.time_base = number * 20, Fraction(1, 500)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames > 1000
    return _shown(path)


def _written(name: str, numbers: Numbers, codec: str, options: Mapping[str, str], folder: Path) -> str:
    return _shown(write_numbered(folder / name, numbers, codec, options))


def _content(name: str, content: bytes, folder: Path) -> str:
    (folder / name).write_bytes(content)
    return _shown(folder / name)


def _missing(folder: Path) -> str:
    return _shown(folder / "gone.avi")


def _folder(folder: Path) -> str:
    (folder / "folder.avi").mkdir()
    return _shown(folder / "folder.avi")


def _frames(folder: Path) -> str:
    place = folder / "clip"
    place.mkdir()
    for number in range(12):
        Image.fromarray(numbered(number)).save(place / f"img_{number}.png")
    return _shown(place)


def _sound_alone(folder: Path) -> str:
    path = folder / "sound.mp4"
    with av.open(str(path), "w") as container:
        _add_sound(container, 2)
    return _shown(path)


def _add_sound(container: Any, seconds: int) -> None:
    stream = container.add_stream("aac", rate=16000)
    samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * seconds), np.float32), "fltp", "mono")
    samples.sample_rate = 16000
    container.mux(stream.encode(samples))
    container.mux(stream.encode())


def _with_sound(suffix: str, seconds: int, folder: Path) -> str:
    path = folder / f"sound.{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        sound = container.add_stream("aac", rate=16000)
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 16000 * seconds), np.float32), "fltp", "mono")
        samples.sample_rate = 16000
        for number in range(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(sound.encode(samples))
        container.mux(stream.encode())
        container.mux(sound.encode())
    return _shown(path)


def _damaged(folder: Path, share: float) -> str:
    path = write_numbered(folder / "damaged.mp4", range(60), "libx264", _X264)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for pos, size in packets[30 : 30 + round(share * len(packets))]:
        content[pos + 4 : pos + size] = bytes(size - 4)
    path.write_bytes(content)
    return _shown(path)


def _changes_size(folder: Path) -> str:
    path = folder / "changes.ts"
    parts = [
        write_numbered(folder / f"{n}.ts", range(n, n + 12), "mpeg2video", size=(96 * s, 64 * s)) for n, s in ((0, 1), (12, 2))
    ]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return _shown(path)


def _twice(folder: Path) -> str:
    parts = [write_numbered(folder / f"{n}.ts", range(n, n + 12), "libx264", _X264) for n in (0, 12)]
    path = folder / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return _shown(path)


def _variable_rate(folder: Path) -> str:
    path = folder / "variable.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
            frame.pts, frame.time_base = number * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return _shown(path)


def _cover_first(folder: Path) -> str:
    from av.stream import Disposition

    path = folder / "cover.mp4"
    with av.open(str(path), "w") as container:
        cover: Any = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = Disposition.attached_pic
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
        container.mux(cover.encode())
        for number in range(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(numbered(number), "rgb24")))
        container.mux(stream.encode())
    return _shown(path)


def turned_video(path: Path, degrees: int, mirrored: bool) -> Path:
    """A video whose display matrix turns it counter-clockwise by `degrees`, after it was mirrored from left to right."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(_X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.set_display_rotation(degrees, hflip=mirrored)
        for number in range(24):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(_corner(number), "rgb24")))
        container.mux(stream.encode())
    return path


def _corner(number: int) -> np.ndarray:
    """A dark picture with a bright corner at the top left; the top edge is half bright, so that mirroring shows."""
    picture = numbered(number) // 8
    picture[: HEIGHT // 4, : WIDTH // 2] = 220
    return picture


def place_of_corner(picture: np.ndarray) -> str:
    """Which corner is bright, and along which edge."""
    bright = picture[..., 1] > 120
    y, x = (float(values.mean()) / side for values, side in zip(np.nonzero(bright), bright.shape, strict=True))
    high, wide = (int(bright.any(1).sum()) / bright.shape[0], int(bright.any(0).sum()) / bright.shape[1])
    return f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}, {'level' if wide > high else 'upright'}"


def _turned(degrees: int, mirrored: bool, folder: Path) -> str:
    path = turned_video(folder / "turned.mp4", degrees, mirrored)
    own, squeezed = read_frames(path, [5])[0], read_frames(path, [5], 48)[0]
    assert place_of_corner(own) == place_of_corner(squeezed)
    assert own.shape[:2] == ((WIDTH, HEIGHT) if degrees % 180 else (HEIGHT, WIDTH))
    return f"turned upright: its top left corner is at the {place_of_corner(own)}"


def _row(what: str, happens: str, try_it: Callable[[Path], str]) -> Input:
    return Input(what, happens, try_it)


INPUTS = [
    _row("MP4 cut without recoding, in the middle of a group", "frames 17 to 39", partial(_cut, "mp4", 17, 39)),
    _row("MOV cut without recoding, at a key frame", "frames 24 to 47", partial(_cut, "mov", 24, 47)),
    _row("MP4 cut without recoding, past the first group", "frames 5 to 39", partial(_cut, "mp4", 5, 39)),
    _row("H.264 copied from MP4 into AVI, with 20 places in time a frame", "frames 0 to 59", _h264_with_other_ticks),
    _row("a rate that varies", "frames 0 to 39", _variable_rate),
    _row("a cover picture before the video", "frames 0 to 39", _cover_first),
    _row("sound that lasts longer than the pictures", "frames 0 to 49", partial(_with_sound, "mkv", 4)),
    _row("two transport streams one after another, times starting again", "frames 0 to 23", _twice),
    _row("a video of one frame", "frames 0 to 0", partial(_written, "one.mp4", [0], "libx264", _X264)),
    _row("an MP4 of which a frame is damaged", "refused: cannot be decoded; replace the file", partial(_damaged, share=0.02)),
    _row(
        "half of an MP4 that begins with its index",
        "refused: truncated, ",
        partial(_truncated, "mp4", "libx264", _X264, mux={"movflags": "faststart"}),
    ),
    _row(
        "half of an MP4 that ends with its index", "refused: not a readable video", partial(_truncated, "mp4", "libx264", _X264)
    ),
    _row("half of an AVI", "refused: truncated, ", partial(_truncated, "avi", "mpeg4", _MPEG4)),
    _row("half of a Matroska file", "refused: truncated, it ends at ", partial(_truncated, "mkv", "libx264", _X264)),
    _row(
        "half of a WebM file",
        "refused: truncated, it ends at ",
        partial(_truncated, "webm", "libvpx", {"deadline": "realtime", "cpu-used": "8"}),
    ),
    _row("half of a Windows Media file", "refused: truncated, ", partial(_truncated, "wmv", "wmv2", {"g": "12"})),
    _row("half of a Flash video", "refused: truncated, it ends at ", partial(_truncated, "flv", "flv", {"g": "12"})),
    _row("an empty file", "refused: empty video file", partial(_content, "empty.avi", b"")),
    _row("text with the name of a video", "refused: not a readable video", partial(_content, "t.mp4", b"no video\n" * 99)),
    _row("a web page saved as a video", "refused: not a readable video", partial(_content, "t.mp4", b"<!DOCTYPE html>" * 9)),
    _row("a file that is not there", "refused: no such video file", _missing),
    _row("an empty folder with the name of a video", "refused: no frames in this folder; put images there", _folder),
    _row("a folder of numbered PNGs, without leading zeros", "frames 0 to 11", _frames),
    _row("a file with sound alone", "refused: not a readable video (it has no pictures)", _sound_alone),
    _row("a name with blanks and `#%;&:`", "frames 0 to 11", partial(_written, "a b#;&%20:1.avi", range(12), "mpeg4", {})),
    *(
        _row(
            f"a phone video to be turned by {degrees} degrees{', mirrored' if mirrored else ''}",
            f"turned upright: its top left corner is at the {corner}",
            partial(_turned, degrees, mirrored),
        )
        for degrees, mirrored, corner in (
            (90, False, "bottom left, upright"),
            (180, False, "bottom right, level"),
            (270, False, "top right, upright"),
            (0, True, "top right, level"),
        )
    ),
]
