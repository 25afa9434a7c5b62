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
from tests.support.odd_videos import (
    X264,
    cut,
    damaged,
    half_of_a_file,
    joined,
    of_two_sizes,
    place_of_corner,
    sound_alone,
    told,
    turned_video,
    with_cover,
)
from trainables.data.decoding.by_decord import DecordReader, gives_frames
from trainables.data.decoding.files import File
from trainables.data.decoding.video import VideoReader
from trainables.data.reading import VideoFile, count_frames, find_frames, read_frames

Numbers = Sequence[int]
_MPEG4 = {"g": "12", "bf": "2"}


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
    return told(numbers)


def _cut(suffix: str, first: int, last: int, folder: Path) -> str:
    whole = write_numbered(folder / f"whole.{suffix}", range(60), "libx264", X264)
    return _shown(cut(whole, folder / f"cut.{suffix}", first, last))


def _truncated(suffix: str, codec: str, options: Mapping[str, str], folder: Path, mux: Mapping[str, str] | None = None) -> str:
    return _shown(half_of_a_file(folder / f"half.{suffix}", codec, options, mux))


def _h264_with_other_ticks(folder: Path) -> str:
    path = folder / "copied.avi"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
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
    return _shown(sound_alone(folder / "sound.mp4"))


def _with_sound(suffix: str, seconds: int, folder: Path) -> str:
    path = folder / f"sound.{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
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
    return _shown(damaged(folder / "damaged.mp4", 60, slice(30, 30 + round(share * 60))))


def _changes_size(folder: Path) -> str:
    return _shown(of_two_sizes(folder / "changes.ts"))


def _twice(folder: Path) -> str:
    parts = [write_numbered(folder / f"{n}.ts", range(n, n + 12), "libx264", X264) for n in (0, 12)]
    return _shown(joined(folder / "joined.ts", parts))


def _variable_rate(folder: Path) -> str:
    path = folder / "variable.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options=dict(X264))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(40):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
            frame.pts, frame.time_base = number * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return _shown(path)


def _cover_first(folder: Path) -> str:
    return _shown(with_cover(folder / "cover.mp4", 40))


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
    _row("a video of one frame", "frames 0 to 0", partial(_written, "one.mp4", [0], "libx264", X264)),
    _row("an MP4 of which a frame is damaged", "refused: cannot be decoded; replace the file", partial(_damaged, share=0.02)),
    _row(
        "half of an MP4 that begins with its index",
        "refused: truncated, ",
        partial(_truncated, "mp4", "libx264", X264, mux={"movflags": "faststart"}),
    ),
    _row(
        "half of an MP4 that ends with its index", "refused: not a readable video", partial(_truncated, "mp4", "libx264", X264)
    ),
    _row("half of an AVI", "refused: truncated, ", partial(_truncated, "avi", "mpeg4", _MPEG4)),
    _row("half of a Matroska file", "refused: truncated, it ends at ", partial(_truncated, "mkv", "libx264", X264)),
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
