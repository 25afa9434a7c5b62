"""What `analysis anonymize` writes is what other programs read: FFmpeg's command line and Chromium.

Pictures of flat coloured fields go through a network that changes nothing. The fields move on by one from frame to frame, so
that colours show which frame is shown and which way is up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.deploy.anonymize import anonymize
from analysis.deploy.record import Record
from analysis.deploy.video import VideoOptions
from analysis.deploy.video_input import Shot, VideoInput
from tests.analysis.deploy import inputs_cases
from tests.analysis.deploy.through import Same
from tests.support import SHARED
from tests.support.browser import CHROMIUM, Browser
from tests.support.odd_videos import X264, add_silence
from tests.support.players import HAS_FFMPEG, Levels, Shown, at_grid, by_chromium, by_ffmpeg, sound_packets

Picture = NDArray[np.uint8]

needs_ffmpeg = pytest.mark.skipif(not HAS_FFMPEG, reason="no ffprobe and ffmpeg: apt-get install ffmpeg")
CASES = SHARED.parent / "cases" / "anonymize"
SD, HD = (96, 144), (720, 144)
FIELDS = np.array(
    [(180, 70, 70), (70, 170, 90), (80, 90, 170), (190, 180, 90), (210, 160, 130), (90, 90, 90)], np.uint8
)  # no pure colours: see CHROMIUM_OFF
EVERY_40_MS = tuple(range(0, 240, 40))
# The last frame lasts as long as its packet says, 10 ms: MP4 tells durations in the order of decoding, and of frames that are
# reordered no header says when the last one ends. FFmpeg's muxer says 40 ms in the header of the whole file.
VARYING = (0, 40, 120, 130, 400, 460)

# Of 255 levels. On these fields a wrong matrix is off by 15, and wrong primaries by 8 (PAL) to 68 (Display P3).
FFMPEG_OFF = 5  # two encodings and two conversions to 8 bits
CHROMIUM_OFF = 7  # as much, and Chromium's libyuv multiplies Cb by at most 2.0, where BT.709 has 2.112: up to 5 too little blue
CASE_OFF = 3  # the median: at the edges of a fine texture each program fills colours in between in its own way
SAME_TIME = 0.0006  # seconds: Matroska counts milliseconds


@dataclass(frozen=True)
class Kind:
    """An input, and what is said of its output. `tags`: colour matrix, primaries and transfer curve by FFmpeg's names.

    `pixels`, `matrix`, `full`: how the input is coded; `given`: what of that the file says. `misread`: players that read the
    *input* otherwise, for the reason that stands beside it. `converts`: Chromium shows other levels than the file has, since
    its primaries or its curve are not those of the screen.
    """

    name: str
    tags: tuple[str, str, str] = ("bt470bg", "smpte170m", "smpte170m")
    size: tuple[int, int] = SD
    output: str = "out.mp4"
    codec: str = "libx264"
    pixels: str = "yuv420p"
    matrix: int = 5
    full: bool = False
    given: Mapping[str, int] = field(default_factory=dict)
    times: tuple[int, ...] = EVERY_40_MS
    aspect: Fraction | None = None
    upright: Callable[[Picture], Picture] = lambda picture: picture
    turn: tuple[int, bool] | None = None  # counter-clockwise by degrees, after it was mirrored
    lasts: float = 0.24
    sound: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    misread: tuple[str, ...] = ()
    converts: bool = False

    @property
    def shown_aspect(self) -> Fraction:
        """The width of a pixel of the output by its height."""
        aspect = self.aspect or Fraction(1)
        return 1 / aspect if self.turn is not None and self.turn[0] % 180 else aspect


def _tags(matrix: int, primaries: int, transfer: int, levels: int = 1) -> dict[str, int]:
    return {"colorspace": matrix, "color_primaries": primaries, "color_trc": transfer, "color_range": levels}


HD_TAGS = ("bt709", "bt709", "bt709")
KINDS = [
    Kind("SD without tags"),
    # ffmpeg takes BT.601 for HD without tags, which no player does
    Kind("HD without tags", HD_TAGS, HD, matrix=1, misread=("ffmpeg",)),
    Kind("HD with tags", HD_TAGS, HD, matrix=1, given=_tags(1, 1, 1)),
    Kind("HD with the tags of SD", ("bt709", "smpte170m", "smpte170m"), HD, given=_tags(5, 6, 6)),
    Kind("SD with the tags of HD", ("bt470bg", "bt709", "bt709"), matrix=1, given=_tags(1, 1, 1)),
    # Chromium takes no notice of tags of which one, here of the primaries, is missing
    Kind("SD with one tag of HD", matrix=1, given={"colorspace": 1}, misread=("chromium",)),
    Kind("full range", pixels="yuvj420p", full=True, given=_tags(5, 6, 6, 2)),
    Kind("full range, other tags missing", pixels="yuvj420p", full=True, given={"color_range": 2}, misread=("chromium",)),
    Kind("PAL", ("bt470bg", "bt470bg", "smpte170m"), given=_tags(5, 5, 6), converts=True),
    Kind("PAL of old, a curve of 2.8", ("bt470bg", "bt470bg", "bt470bg"), given=_tags(5, 5, 5), converts=True),
    Kind("Display P3", ("bt709", "smpte432", "bt709"), HD, matrix=1, given=_tags(1, 12, 1), converts=True),
    Kind("BT.2020", ("bt709", "bt2020", "bt709"), HD, matrix=9, given=_tags(9, 9, 1), converts=True),
    Kind("10 bits", pixels="yuv420p10le"),
    Kind("odd sides", size=(97, 145), pixels="yuv444p"),
    Kind("a rate that varies", times=VARYING, lasts=0.47),
    Kind("a rate that varies, into Matroska", times=VARYING, lasts=0.47, output="out.mkv"),
    Kind("turned", turn=(90, False), upright=lambda picture: np.rot90(picture, 1)),
    Kind("turned the other way", turn=(270, False), upright=lambda picture: np.rot90(picture, 3)),
    Kind("mirrored", turn=(0, True), upright=lambda picture: picture[:, ::-1]),
    Kind("pixels that are no squares", aspect=Fraction(4, 3)),
    Kind("pixels that are no squares, into Matroska", aspect=Fraction(4, 3), output="out.mkv"),
    Kind("no squares, turned", aspect=Fraction(4, 3), turn=(90, False), upright=lambda picture: np.rot90(picture, 1)),
    Kind("WebM with VP9", output="out.webm", options={"codec": "libvpx-vp9"}),
    Kind("sound that is kept", sound=True, lasts=0.32, options={"keep_audio": True}),
    Kind("sound that is dropped", sound=True),
]
# Files that people report troubles with, and in what FFmpeg's command line reads them otherwise than we and players do
CASE_NAMES = sorted({entry.what.split("`")[1] for entry in inputs_cases.INPUTS})
OTHERWISE = {
    "annexb_named.mp4": "times: a stream without container has none",
    "hd_untagged_bt709.mp4": "colours: ffmpeg takes BT.601 for HD without tags",
    "interlaced_tff.mp4": "colours: of each frame the upper field is taken",
    "iphone_like_hlg.mp4": "colours: HDR is mapped to the screen by each player in its own way",
    "times_start_again.ts": "times: FFmpeg leaves them as they are in the file",
}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=[kind.name for kind in KINDS])


def picture(number: int, height: int, width: int) -> Picture:
    """Six coloured fields beside each other over a dark and a light one; each frame moves the colours on by one field."""
    found = np.full((height, width, 3), 200, np.uint8)
    found[height // 2 :, : width // 2] = 30
    found[: height // 2] = np.roll(FIELDS, number, 0)[np.arange(width) * 6 // width]
    return found


def write_input(kind: Kind, path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(kind.codec, rate=25, options={**X264, "crf": "10"})
        stream.height, stream.width, stream.pix_fmt = *kind.size, kind.pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for name, value in kind.given.items():
            setattr(stream.codec_context, name, value)
        if kind.aspect:
            stream.codec_context.sample_aspect_ratio = kind.aspect
        if kind.turn is not None:
            stream.set_display_rotation(kind.turn[0], hflip=kind.turn[1])
        sound: Any = container.add_stream("aac", rate=16000) if kind.sound else None
        for number, time in enumerate(kind.times):
            frame = av.VideoFrame.from_ndarray(picture(number, *kind.size), "rgb24")
            levels = 2 if kind.full else 1
            frame = frame.reformat(format=kind.pixels, dst_colorspace=kind.matrix, dst_color_range=levels)
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            add_silence(container, sound, 4096)
    return path


@dataclass(frozen=True)
class Made:
    """An input and its output. `times`: seconds of the frames by our own reading; `levels`: those of the upright pictures that
    were drawn.
    """

    source: Path
    output: Path
    times: list[float]
    levels: Levels


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Made]:
    """Makes each kind once."""
    known: dict[str, Made] = {}

    def make(kind: Kind) -> Made:
        if kind.name not in known:
            if {kind.codec, kind.options.get("codec", kind.codec)} - av.codecs_available:
                pytest.skip("this PyAV has not the encoder")
            folder = tmp_path_factory.mktemp("kind")
            source, output = write_input(kind, folder / "in.mp4"), folder / kind.output
            assert anonymize(str(source), output, Same(), VideoOptions(**kind.options), list[str]().append) == 0
            upright = [kind.upright(picture(number, *kind.size)) for number in range(len(kind.times))]
            known[kind.name] = Made(source, output, our_times(output), np.stack([at_grid(one) for one in upright]))
        return known[kind.name]

    return make


def our_times(path: Path) -> list[float]:
    """Seconds of the frames, as we read them."""
    with VideoInput(str(path)) as video:
        return [float(item.time * video.time_base) for item in video if isinstance(item, Shot)]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}")
    opened = Browser(tmp_path_factory.mktemp("browser"))
    try:
        if not opened.evaluate("""document.createElement("video").canPlayType('video/mp4; codecs="avc1.64001f"')"""):
            pytest.skip("this Chromium has no H.264")
        yield opened
    finally:
        opened.close()


def off(some: Levels, others: Levels) -> int:
    return int(np.abs(some - others).max())


def typically_off(some: Levels, others: Levels) -> float:
    return float(np.median(np.abs(some - others)))


def played(browser: Browser, path: Path, times: list[float], which: slice = slice(None)) -> Shown:
    """Frames of these times, each sought in its middle: shortly after it begins Chromium 150 shows the one before where the
    header says that one lasts longer, see VARYING.
    """
    lasts = [later - time for time, later in zip(times, [*times[1:], times[-1] + 0.02], strict=True)]
    places = [time + last / 2 for time, last in zip(times, lasts, strict=True)]
    return by_chromium(browser, path, times[which], places[which])


@needs_ffmpeg
@each_kind
def test_ffmpeg_reads_what_was_written(kind: Kind, made: Callable[[Kind], Made]) -> None:
    video = made(kind)
    shown, record = by_ffmpeg(video.output), Record.read(video.output)
    said = shown.said
    assert record is not None
    assert len(shown.times) == len(shown.levels) == record.found["frames"] == len(kind.times)
    assert shown.times == pytest.approx(video.times, abs=SAME_TIME)
    assert shown.times == pytest.approx([time / 1000 for time in kind.times], abs=SAME_TIME)
    assert shown.seconds == pytest.approx(kind.lasts, abs=SAME_TIME)
    assert shown.size == kind.upright(picture(0, *kind.size)).shape[:2]
    assert Fraction(said.get("sample_aspect_ratio", "1:1").replace(":", "/")) == kind.shown_aspect
    assert "side_data_list" not in said, "pictures are stored upright"
    assert (said["color_space"], said["color_primaries"], said["color_transfer"]) == kind.tags
    assert said["color_range"] == "tv"
    assert off(shown.levels, video.levels) <= FFMPEG_OFF
    if "ffmpeg" not in kind.misread:
        given = by_ffmpeg(video.source)
        assert off(given.levels, video.levels) <= FFMPEG_OFF
        assert given.times == pytest.approx(shown.times, abs=SAME_TIME)
        if not kind.sound and kind.times != VARYING:  # see VARYING
            assert given.seconds == pytest.approx(shown.seconds, abs=SAME_TIME)


@needs_ffmpeg
@pytest.mark.parametrize("kept", [True, False])
def test_sound_is_kept_as_it_was_or_dropped(kept: bool, made: Callable[[Kind], Made]) -> None:
    [kind] = [kind for kind in KINDS if kind.sound and bool(kind.options) == kept]
    given, written = (sound_packets(path) for path in (made(kind).source, made(kind).output))
    assert len(given) == 5
    assert written == (given if kept else [])


@each_kind
def test_chromium_shows_what_was_written(kind: Kind, made: Callable[[Kind], Made], browser: Browser) -> None:
    video = made(kind)
    shown = played(browser, video.output, video.times)
    height, width = kind.upright(picture(0, *kind.size)).shape[:2]
    aspect = kind.shown_aspect  # Chromium makes the side longer along which pixels are longer
    assert shown.size == ((height, round(width * aspect)) if aspect >= 1 else (round(height / aspect), width))
    assert shown.times == pytest.approx([time / 1000 for time in kind.times], abs=SAME_TIME)
    assert shown.seconds == pytest.approx(kind.lasts, abs=SAME_TIME)
    assert kind.converts or off(shown.levels, video.levels) <= CHROMIUM_OFF
    if "chromium" not in kind.misread:
        given = played(browser, video.source, video.times)
        assert (given.size, given.times) == (shown.size, pytest.approx(shown.times, abs=SAME_TIME))
        assert off(given.levels, shown.levels) <= CHROMIUM_OFF
        assert (off(given.levels, video.levels) > CHROMIUM_OFF) == kind.converts


def case(name: str, folder: Path) -> tuple[Path, Path]:
    """A file that people report troubles with, and its output."""
    source, output = CASES / name, folder / "out.mp4"
    if not source.is_file():
        pytest.skip(f"{source} is not there")
    anonymize(str(source), output, Same(), VideoOptions(), list[str]().append)
    return source, output


@needs_ffmpeg
@pytest.mark.parametrize("name", CASE_NAMES)
def test_other_players_agree_on_reported_files(name: str, tmp_path: Path, browser: Browser) -> None:
    """Chromium shows the frames, times and colours that FFmpeg reads of the output, and FFmpeg reads the same of the input,
    unless `OTHERWISE` says why not.
    """
    source, output = case(name, tmp_path)
    times = our_times(output)
    read = by_ffmpeg(output)
    assert read.times == pytest.approx(times, abs=SAME_TIME)
    which = slice(None, None, max(1, len(times) // 4))
    shown = played(browser, output, times, which)
    assert shown.times == pytest.approx(times[which], abs=SAME_TIME)
    assert shown.seconds == pytest.approx(read.seconds, abs=SAME_TIME)
    assert typically_off(shown.levels, read.levels[which]) <= CASE_OFF
    given = by_ffmpeg(source)
    assert len(given.times) == len(times)
    if "times" not in OTHERWISE.get(name, ""):
        assert [time - given.times[0] for time in given.times] == pytest.approx(times, abs=SAME_TIME)
    if "colours" not in OTHERWISE.get(name, ""):
        assert typically_off(given.levels, read.levels) <= CASE_OFF
