"""PyAV and decord give the same pixels at every size, whatever form pictures have: who reads them changes no figure."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

from tests.support.numbered import numbers_of, write_numbered
from tests.trainables.data.inputs_codecs import nothing_kept
from trainables.config import ClipConfig, ConfigError, TrialConfig, with_values
from trainables.data import reading
from trainables.data.decoding import by_decord
from trainables.data.decoding.by_decord import DecordReader, decord_version, gives_frames
from trainables.data.decoding.files import File
from trainables.data.decoding.resizing import Resizer
from trainables.data.decoding.video import VideoReader
from trainables.data.items import DataError, Video
from trainables.data.loader import Loader, TrainingClips, close_loaders
from trainables.data.reading import VideoFile, choose_decoder, chosen_decoder, find_frames
from trainables.data.trial_data import TrialData
from trainables.plan import plan_trial

by_decord_alone = pytest.mark.skipif(not decord_version(), reason="decord is not installed")
H264 = {"preset": "ultrafast", "g": "12"}
# codec, options, pixels, width and height, and the matrix and levels of colours that the file says it has
FORMS: dict[str, tuple[str, dict[str, str], str, tuple[int, int], tuple[int, int] | None]] = {
    "a.avi": ("mpeg4", {}, "yuv420p", (320, 240), None),
    "odd.avi": ("mpeg4", {}, "yuv420p", (102, 75), None),
    "hd.mp4": ("libx264", H264, "yuv420p", (1280, 720), (Colorspace.ITU709, ColorRange.MPEG)),
    "sd.mp4": ("libx264", H264, "yuv420p", (320, 240), (Colorspace.ITU601, ColorRange.MPEG)),
    "full.mp4": ("libx264", H264, "yuv420p", (320, 240), (Colorspace.ITU709, ColorRange.JPEG)),
    "interlaced.mp4": ("libx264", {**H264, "x264-params": "interlaced=1:tff=1"}, "yuv420p", (320, 240), None),
    "colours_top_left.mp4": ("libx264", {**H264, "x264-params": "chromaloc=2"}, "yuv420p", (320, 240), None),
    "deep.mp4": ("libx264", H264, "yuv420p10le", (320, 240), None),
    "half.mp4": ("libx264", H264, "yuv422p", (320, 240), None),
    "whole.mp4": ("libx264", H264, "yuv444p", (101, 75), None),
    "jpeg.avi": ("mjpeg", {}, "yuvj420p", (320, 240), None),
    "raw.avi": ("rawvideo", {}, "bgr24", (96, 72), None),
    "grey.mkv": ("ffv1", {}, "gray", (96, 72), None),
}
SIZES = (64, 100, 112, 140, 224, 280)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with nothing_kept(small_ones_too=True):
        yield
    choose_decoder("auto")


def write_noise(path: Path) -> Path:
    """Three frames of squares of random colours, which show the least difference in how colours are resized."""
    codec, options, pixels, (width, height), tags = FORMS[path.name]
    draw = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number in range(3):
            squares = draw.integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), dtype=np.uint8)
            picture = np.ascontiguousarray(squares.repeat(8, 0).repeat(8, 1)[:height, :width])
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = number, Fraction(1, 25)
            if tags is not None:
                stream.codec_context.colorspace, stream.codec_context.color_range = tags
                frame.colorspace, frame.color_range = tags
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@by_decord_alone
@pytest.mark.parametrize("name", FORMS)
def test_pixels_are_the_same_whatever_form_they_have_in_the_file(name: str, tmp_path: Path) -> None:
    file = File.at(write_noise(tmp_path / name))
    index = find_frames(file.path)
    for size in SIZES:
        assert gives_frames(file, index, size), size
        reader = DecordReader(file, index, size)
        assert np.array_equal(reader.read([0, 1, 2]), VideoReader(file, index, size).read([0, 1, 2])), size
        assert reader._other is None


@by_decord_alone
def test_decord_is_not_asked_where_its_pixels_differ(tmp_path: Path) -> None:
    """At their own size, resized in one direction alone, and narrower than decord can copy: PyAV."""
    file = File.at(write_noise(tmp_path / "a.avi"))  # 320 x 240
    index = find_frames(file.path)
    assert [size for size in (None, 16, 48, 63, 64, 240, 280, 320) if gives_frames(file, index, size)] == [64, 280]


def test_resizing_moves_no_colour() -> None:
    """Halves: colours lie where the brightness lies, at any size."""
    picture = np.zeros((64, 128, 3), np.uint8)
    picture[:, :64], picture[:, 64:] = (200, 30, 30), (30, 30, 200)
    frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format="yuv420p")
    for size in (40, 96, 256):
        found = Resizer(size).picture(frame).astype(int)
        assert np.abs(found[:, : size // 2 - 4] - (200, 30, 30)).max() <= 4
        assert np.abs(found[:, size // 2 + 4 :] - (30, 30, 200)).max() <= 4
    own = Resizer(None).picture(frame)
    assert np.array_equal(own, frame.to_ndarray(format="rgb24"))


def test_pictures_that_change_their_form_are_resized_each_by_its_own() -> None:
    resizer, picture = Resizer(32), np.full((48, 64, 3), 90, np.uint8)
    for width, pixels in ((64, "yuv420p"), (40, "yuv420p"), (64, "rgb24"), (32, "rgb24"), (64, "yuv420p")):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture[:, :width]), "rgb24").reformat(format=pixels)
        found = resizer.picture(frame)
        assert found.shape == (32, 32, 3)
        assert np.abs(found.astype(int) - 90).max() <= 2


@by_decord_alone
def test_who_reads_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_numbered(tmp_path / "a.avi", range(40), "mpeg4", {"g": "12"})

    def reader(size: int) -> str:
        return type(VideoFile(path, size)._reader).__name__

    def readers() -> list[str]:
        found = [reader(112)]  # a clip of a long video
        with monkeypatch.context() as patch:
            patch.setattr(reading, "_SMALL_BYTES", 4 * 2**20)
            return [*found, reader(112), reader(160)]  # of which all frames are read

    found = {}
    for decoder in ("auto", "decord", "pyav"):
        choose_decoder(decoder)
        found[decoder] = readers()
        reading._CACHE._kept.clear()
    assert found == {
        "auto": ["VideoReader", "DecordReader", "VideoReader"],
        "decord": ["DecordReader"] * 3,
        "pyav": ["VideoReader"] * 3,
    }


@by_decord_alone
def test_what_decord_cannot_read_the_other_reader_reads_or_names(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.mp4", range(40), "libx264", {**H264, "bf": "2"})
    index = find_frames(path)
    one_more = reading.replace(index, count=41)
    with pytest.raises(DataError, match=r"a\.mp4: frame 40 of 41 cannot be decoded"):
        DecordReader(File.at(path), one_more, 112).read([40])
    for number in (-1, 40):
        with pytest.raises(DataError, match=f"frame {number} of 40 is asked for"):
            DecordReader(File.at(path), index, 112).read([number])
    with av.open(str(path)) as container:
        place = next(packet.pos for number, packet in enumerate(container.demux(video=0)) if number == 30)
    content = bytearray(path.read_bytes())
    content[place + 6 : place + 60] = bytes(54)
    path.write_bytes(content)
    reader = DecordReader(File.at(path), index, 112)
    with pytest.raises(DataError, match=r"a\.mp4: frame \d+ of 40 cannot be decoded"):
        reader.read(list(range(40)))
    assert numbers_of(reader.read([3, 1])) == [3, 1]


def test_decord_can_only_be_chosen_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "decord_version", lambda: "")
    monkeypatch.setattr(by_decord, "decord_version", lambda: "")
    with pytest.raises(ConfigError, match=r"data\.decoder = decord: it is not installed here"):
        choose_decoder("decord")
    assert "decord" not in reading.decoder()
    with pytest.raises(ConfigError, match=r"data\.decoder = 'opencv'"):
        with_values(TrialConfig(), {"data.decoder": "opencv"})


class _Tells(TrainingClips):
    def __getitem__(self, sample: Any) -> Any:
        return super().__getitem__(sample) | {"index": np.array(["auto", "decord", "pyav"].index(chosen_decoder()))}


def test_processes_that_load_decode_as_the_trial_says(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "a.avi", range(24), "mpeg4", {"g": "12"})
    choose_decoder("pyav")
    clip = ClipConfig(frames=2, skip=2, size=16, decode_size=16)
    loader = Loader(_Tells([Video("a", path, 0, "g")], clip, 0), 1, shuffle=False, workers=1)
    assert [int(batch["index"]) for batch in loader.epoch(0)] == [2]
    close_loaders()


def test_the_key_tells_resized_videos_from_those_of_before_and_leaves_others_as_they_were(
    tiny_data: Path, tiny_config: TrialConfig
) -> None:
    """16 pixels a side, as they are in the file: nothing is resized, and no key changes."""

    def resizing(size: int) -> dict[str, Any]:
        config = with_values(tiny_config, {"clip.decode_size": size})
        return {
            stage.role: stage.depends_on.get("resizing") for stage in plan_trial(config, TrialData(config, tiny_data)).stages
        }

    assert set(resizing(16).values()) == {None}
    resized = resizing(20)
    assert {role for role, value in resized.items() if value == 2} >= {"reconstruct", "warm_up", "minimax", "evaluate_action"}
    assert resized["evaluate_privacy"] is None, "images"
