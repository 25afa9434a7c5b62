"""Codecs in containers: frames in whatever order they are asked for, each the one of that number."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from tests.support.inputs import Input
from tests.support.numbered import decoded_numbers, numbers_of, write_numbered
from trainables.config import ClipConfig
from trainables.data import reading
from trainables.data.decoding import video
from trainables.data.decoding.by_decord import DecordReader, decord_version
from trainables.data.items import Still, Video
from trainables.data.loader import EvaluationClips, SampleId, Stills, TrainingClips
from trainables.data.sampling import clip_indices
from trainables.data.sampling import test_positions as positions_for_test

os.environ.setdefault("SVT_LOG", "0")  # the AV1 encoder talks
FRAMES = 48
BY_TIMES, BY_DECODING = "each frame by its number, from the packets", "each frame by its number, found by decoding once"
EITHER, ALONE = "by either decoder", "by PyAV alone"
FORMS = {"m2ts": "mpegts", "m4v": "mp4"}  # of suffixes that libavformat takes for something else


@dataclass(frozen=True)
class Form:
    """How a video is coded, and the suffixes it comes with.

    `how`: how its frames are found, and which decoders give them. `in_order`: seeking gives other frames, and so is not done.
    """

    what: str
    codec: str
    options: Mapping[str, str]
    suffixes: str
    how: tuple[str, str] = (BY_DECODING, EITHER)
    pixels: str = "yuv420p"
    packed: bool = False
    in_order: bool = False


def _mpeg4(b_frames: int, keys: int = 12) -> dict[str, str]:
    return {"g": str(keys), "bf": str(b_frames), "sc_threshold": "1000000000"}


def _x264(**more: int) -> dict[str, str]:
    values = {"keyint": 12, "min-keyint": 12, "bframes": 2, "b-adapt": 0, "scenecut": 0, **more}
    return {"preset": "ultrafast", "x264-params": ":".join(f"{key}={value}" for key, value in values.items())}


def _x265(open_groups: int) -> dict[str, str]:
    values = {"keyint": 12, "min-keyint": 12, "bframes": 3, "b-adapt": 0, "scenecut": 0, "open-gop": open_groups, "pools": 1}
    values |= {"frame-threads": 1}
    return {
        "preset": "ultrafast",
        "x265-params": "log-level=none:" + ":".join(f"{key}={value}" for key, value in values.items()),
    }


CODECS = [
    Form("MPEG-4 without B-frames", "mpeg4", _mpeg4(0), "avi mp4 mkv mov"),
    Form("MPEG-4 with B-frames", "mpeg4", _mpeg4(2), "avi mp4 mkv m4v", (BY_DECODING, ALONE)),
    Form(
        "XviD: B-frames packed two to a packet, one key frame",
        "mpeg4",
        _mpeg4(2, 300),
        "avi",
        (BY_DECODING, ALONE),
        packed=True,
    ),
    Form(
        "XviD: B-frames packed two to a packet, several key frames",
        "mpeg4",
        _mpeg4(1),
        "avi",
        (BY_DECODING, ALONE),
        packed=True,
    ),
    Form("DivX 3", "msmpeg4", {"g": "12"}, "avi"),
    Form("H.264, closed groups", "libx264", _x264(**{"open-gop": 0}), "mp4 mov mkv 3gp", (BY_TIMES, EITHER)),
    Form("H.264, open groups", "libx264", _x264(**{"open-gop": 1}), "mp4 mkv", (BY_TIMES, ALONE)),
    Form("H.264 refreshed bit by bit", "libx264", _x264(**{"intra-refresh": 1}), "mp4 mkv", (BY_TIMES, ALONE), in_order=True),
    Form("H.264 in containers without reliable times", "libx264", _x264(), "avi ts m2ts flv", (BY_DECODING, ALONE)),
    Form("H.264 without container", "libx264", _x264(), "h264", (BY_DECODING, ALONE)),
    Form("HEVC, closed groups", "libx265", _x265(0), "mp4 mkv", (BY_TIMES, EITHER)),
    Form("HEVC, open groups", "libx265", _x265(1), "mp4 mkv", (BY_TIMES, ALONE)),
    Form("HEVC in containers without reliable times", "libx265", _x265(1), "ts", (BY_DECODING, ALONE)),
    Form("VP8 with hidden frames", "libvpx", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "12", "b": "300k"}, "webm mkv"),
    Form(
        "VP9",
        "libvpx-vp9",
        {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "12", "cpu-used": "8"},
        "webm mkv mp4",
        (BY_TIMES, EITHER),
    ),
    Form("AV1", "libsvtav1", {"g": "12", "preset": "10", "svtav1-params": "lp=1"}, "webm mkv mp4", (BY_TIMES, ALONE)),
    Form("MJPEG in AVI", "mjpeg", {}, "avi", pixels="yuvj420p"),
    Form("MJPEG with times", "mjpeg", {}, "mov mkv mp4", (BY_TIMES, EITHER), pixels="yuvj420p"),
    Form("raw video", "rawvideo", {}, "avi"),
    Form("FFV1 in AVI", "ffv1", {"g": "12"}, "avi"),
    Form("FFV1 in Matroska", "ffv1", {"g": "12"}, "mkv", (BY_TIMES, EITHER)),
    Form("HuffYUV", "huffyuv", {}, "avi", pixels="yuv422p"),
    Form("ProRes", "prores", {}, "mov", (BY_TIMES, EITHER), pixels="yuv422p10le"),
    Form("MPEG-1", "mpeg1video", {"g": "12", "bf": "2"}, "mpg", (BY_DECODING, ALONE)),
    Form("MPEG-2", "mpeg2video", {"g": "12", "bf": "2"}, "mpg vob ts mkv", (BY_DECODING, ALONE), in_order=True),
    Form("Windows Media Video", "wmv2", {"g": "12"}, "wmv avi"),
    Form("Flash video (H.263)", "flv", {"g": "12"}, "flv"),
]


def try_form(form: Form, folder: Path) -> str:
    if form.codec not in av.codecs_available:
        pytest.skip(f"this PyAV has no {form.codec}")
    found, cares = set(), set[str]()
    for suffix in form.suffixes.split():
        path = folder / f"video.{suffix}"
        numbers = range(FRAMES)
        write_numbered(path, numbers, form.codec, form.options, form.pixels, packed=form.packed, form=FORMS.get(suffix))
        assert decoded_numbers(path) == list(numbers), f"{suffix}: the encoder has lost frames"
        _read_in_all_ways(path)
        assert form.in_order or not video._IN_ORDER_ONLY, f"{suffix}: seeking gives other frames"
        index = reading.find_frames(path)
        found.add(index.timed)
        cares.update(index.care)
        if not index.care and decord_version():
            _read_by_decord(path)
    how = BY_TIMES if found == {True} else BY_DECODING if found == {False} else str(found)
    return f"{how}, {ALONE if cares else EITHER}"


def _read_by_decord(path: Path) -> None:
    """Reads the frames in all ways with each decoder: pixels are those of PyAV, and it is decord that gives them."""
    readers: list[DecordReader] = []

    class Noted(DecordReader):
        def read(self, indices: Sequence[int]) -> np.ndarray:
            readers.append(self)
            return super().read(indices)

    for size in (112, 280):
        with nothing_kept(small_ones_too=True), pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "DecordReader", Noted)
            patch.setitem(reading._CHOSEN, "decoder", "pyav")
            whole = reading.read_frames(path, range(FRAMES), size)
            assert not readers
            patch.setitem(reading._CHOSEN, "decoder", "decord")
            assert np.array_equal(reading.read_frames(path, range(FRAMES), size), whole), f"{path.suffix} at {size}"
            _as_the_loader_does(path, size, whole)
            backwards = reading.VideoFile(path, size)
            for indices in ([47], [30, 29, 28], [0, 47, 0], [13, 13]):
                assert np.array_equal(backwards.frames(indices), whole[indices]), f"{path.suffix} at {size}: {indices}"
            assert readers
            assert all(reader._other is None for reader in readers), f"{path.suffix} at {size}: decord gave up"
            readers.clear()


def _read_in_all_ways(path: Path) -> None:
    """Reads the frames three times as training, evaluation and labels do, at two sizes, twice in threads at once."""
    for size in (48, 280):
        with nothing_kept():
            whole = reading.read_frames(path, range(FRAMES), size)
            assert numbers_of(whole) == list(range(FRAMES)), f"{path.suffix} at {size}: all frames"
            with ThreadPoolExecutor(2) as threads:
                reads = [threads.submit(_as_the_loader_does, path, size, whole) for _ in range(2)]
                for read in reads:
                    read.result()
        with nothing_kept(small_ones_too=True):
            _as_the_loader_does(path, size, whole)


def _as_the_loader_does(path: Path, size: int, whole: np.ndarray) -> None:
    clip = ClipConfig(frames=4, skip=3, size=32, decode_size=size, test_clips=5)
    item = [Video(path.name, path, 0, "g")]
    training = TrainingClips(item, clip, seed=3)
    seen = []
    for epoch in range(4):
        sample = SampleId(epoch, 0)
        expected = clip_indices(FRAMES, clip, training.draw(sample)[0])
        seen.append((expected, training[sample]["clips"]))
    expected = [index for position in positions_for_test(clip) for index in clip_indices(FRAMES, clip, position)]
    seen.append((expected, EvaluationClips(item, clip, seed=3)[SampleId(0, 0)]["clips"]))
    for frame in (37, 3, 47, 11, 12, 13):
        still = Stills([Still("s", path, (1.0,), "g", frame=frame)], clip, seed=3)
        seen.append(([frame], still[SampleId(0, 0)]["clips"]))
    for expected, clips in seen:
        found = clips.permute(0, 2, 3, 1).numpy()
        assert numbers_of(found) == expected, f"{path.suffix} at {size}: asked {expected}"
        assert np.array_equal(found, whole[expected]), f"{path.suffix} at {size}: pixels depend on what is asked for"


@contextmanager
def nothing_kept(small_ones_too: bool = False) -> Iterator[None]:
    """As in a new process; with `small_ones_too`, small videos are not decoded whole either."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_INDICES", {})
        patch.setattr(reading, "_CACHE", reading._Cache(limit=2**28))
        if small_ones_too:
            patch.setattr(reading, "_SMALL_BYTES", 0)
        video._IN_ORDER_ONLY.clear()
        yield


def _suffixes(form: Form) -> str:
    return " ".join(f"`.{suffix}`" for suffix in form.suffixes.split())


INPUTS = [Input(f"{form.what}: {_suffixes(form)}", ", ".join(form.how), partial(try_form, form)) for form in CODECS]
