"""The rows of the loader: training clips from videos in the forms that data sets have, against the fastest correct decoder,
and whole videos, by decord against PyAV.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tests.benchmarks.plain import decoded_in_order
from tests.benchmarks.speed_setup import Row, Size, in_turn, timed
from tests.support.numbered import write_numbered
from trainables.config import TrialConfig
from trainables.data.decoding.by_decord import DecordReader, gives_frames
from trainables.data.decoding.files import File
from trainables.data.decoding.video import VideoReader
from trainables.data.items import Video
from trainables.data.loader import Loader, SampleId, TrainingClips
from trainables.data.reading import choose_decoder, count_frames, find_frames
from trainables.data.sampling import clip_indices

try:
    import decord
except ImportError:  # no wheel for this platform
    decord = None

Decoder = Callable[[Path, list[int], int], np.ndarray]
_WHOLE = (64, 112)  # sides at which `data.decoder=auto` reads whole videos by decord
_APART = 4.0  # grey levels on average: two decoders round differently, two frames differ by far more


@dataclass(frozen=True)
class _Form:
    """How the videos of a data set are coded."""

    suffix: str
    frames: int
    codec: str
    options: Mapping[str, str]
    packed: bool = False


_FORMS = {
    "UCF101, B-frames, one key frame": _Form("avi", 164, "mpeg4", {"g": "300", "bf": "1"}, packed=True),
    "UCF101, nine key frames": _Form("avi", 107, "mpeg4", {"g": "12"}),
    "UCF101, B-frames, five key frames": _Form("avi", 450, "mpeg4", {"g": "100", "bf": "1"}, packed=True),
    "MPEG-4 in MP4, nine key frames": _Form("mp4", 107, "mpeg4", {"g": "12"}),
    "Kinetics, H.264, four key frames": _Form("mp4", 280, "libx264", {"g": "80", "bf": "2", "preset": "veryfast"}),
}


def row_loader(size: Size, folder: Path) -> Iterator[Row]:
    """One process that loads training clips of each form, in seconds of a core."""
    small = size.rounds <= 2
    size = replace(size, config=TrialConfig(), kind="cpu", rounds=min(size.rounds, 5))
    for name, form in _FORMS.items():
        videos = []
        for number in range(2 if small else 4):
            path = folder / f"{form.frames}-{number}.{form.suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_numbered(path, range(form.frames), form.codec, form.options, size=(320, 240), packed=form.packed)
            videos.append(Video(path.name, path, 0, path.name))
        epochs = 1 if small else 3
        yield _row(f"training loader, {name}, 320 x 240, 16 frames", size, videos, epochs)
        for side in _WHOLE:
            if gives_frames(File.at(videos[0].path), find_frames(videos[0].path), side):
                yield _whole(f"all frames, {name}, 320 x 240 to {side} x {side}", size, videos, side)


def _whole(what: str, size: Size, videos: list[Video], side: int) -> Row:
    """Reads all frames of each video, as `VideoFile` does with those it keeps: by decord, against PyAV."""

    def by(reader: type[VideoReader] | type[DecordReader]) -> None:
        for video in videos:
            index = find_frames(video.path)
            reader(File.at(video.path), index, side).read(range(index.count))

    seconds, reference, ratio = in_turn(size, partial(by, DecordReader), partial(by, VideoReader), time.process_time)
    frames = sum(count_frames(video.path) for video in videos)
    return Row(what, "PyAV", "frames/s of a core", frames / seconds, frames / reference, ratio, 1.0)


def _row(what: str, size: Size, videos: list[Video], epochs: int) -> Row:
    samples = TrainingClips(videos, size.config.clip, 0)
    loader = Loader(samples, len(videos), shuffle=True)
    begun = itertools.count(step=epochs)
    now = 0

    def ours() -> None:
        nonlocal now
        now = next(begun)
        for _ in loader.stretch(now * len(loader), epochs * len(loader)):
            pass

    def alone(decode: Decoder) -> None:
        for epoch, number in itertools.product(range(now, now + epochs), range(len(videos))):
            decode(videos[number].path, indices(epoch, number), size.config.clip.decode_size)

    def indices(epoch: int, number: int) -> list[int]:
        position = samples.draw(SampleId(epoch, number))[0]
        return clip_indices(count_frames(videos[number].path), size.config.clip, position)

    ours()
    right = {
        decoder: decode for decoder, decode in _decoders().items() if _is_right(decode, videos[0].path, indices(0, 0), size)
    }
    taken = {name: timed(partial(alone, decode), size.device, time.process_time) for name, decode in _decoders().items()}
    name = min(right, key=lambda name: taken[name])
    seconds, reference, ratio = in_turn(size, ours, partial(alone, right[name]), time.process_time)
    clips = len(videos) * epochs
    notes = {f"{decoder} gives the frames (1: yes)": float(decoder in right) for decoder in _decoders()}
    notes |= {f"{decoder}, clips/s of a core": clips / some for decoder, some in taken.items()}
    if gives_frames(File.at(videos[0].path), find_frames(videos[0].path), size.config.clip.decode_size):
        choose_decoder("decord")
        notes["the loader by decord, clips/s of a core"] = clips / timed(ours, size.device, time.process_time)
        choose_decoder("auto")
    return Row(what, name, "clips/s of a core", clips / seconds, clips / reference, ratio, 0.9, notes=notes)


def _decoders() -> dict[str, Decoder]:
    others: dict[str, Decoder] = {} if decord is None else {"decord": _by_decord}
    return {"PyAV in order": decoded_in_order, **others}


def _by_decord(path: Path, indices: list[int], side: int) -> np.ndarray:
    reader = decord.VideoReader(str(path), num_threads=1, width=side, height=side)
    frames: np.ndarray = reader.get_batch(indices).asnumpy()
    return frames


def _is_right(decode: Decoder, path: Path, indices: list[int], size: Size) -> bool:
    side = size.config.clip.decode_size
    expected, found = decoded_in_order(path, indices, side), decode(path, indices, side)
    return float(np.abs(expected.astype(float) - found).mean((1, 2, 3)).max()) < _APART
