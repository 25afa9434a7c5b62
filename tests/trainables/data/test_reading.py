"""From a file to the anonymizer's input: the frames are the video's, and a broken file is one clear line."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.support import ROOT
from trainables.config import ClipConfig
from trainables.data.items import DataError, Still, Video
from trainables.data.loader import EvaluationClips, FramePairs, Loader, SampleId, Stills, TrainingClips, close_loaders
from trainables.data.reading import VideoFile, count_frames, read_frames, read_image
from trainables.data.sampling import clip_indices, fitting_skip, pair_indices
from trainables.data.sampling import test_positions as positions_for_test
from trainables.models.axes import clips_of, frames_of


def pictures(count: int, height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    """Random frames, so that any mix-up of planes, rows, columns or times changes pixels."""
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def write_lossless(path: Path, frames: np.ndarray, rate: int = 25) -> Path:
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "bgr0"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
        container.mux(stream.encode())
    return path


def write_mpeg4(path: Path, frames: np.ndarray, rate: int = 25) -> Path:
    with av.open(str(path), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def video(path: Path, label: int = 0) -> Video:
    return Video(path.name, path, label, "g01")


def test_frames_given_to_the_anonymizer_are_the_video_s(tmp_path: Path) -> None:
    """Pixel by pixel through decoder, loader and axes, on a lossless clip."""
    frames = pictures(20)
    path = write_lossless(tmp_path / "a.avi", frames)
    clip = ClipConfig(frames=4, skip=3, size=32, decode_size=32)
    loader = Loader(TrainingClips([video(path)], clip, seed=5), batch_size=1, shuffle=True)
    batch = next(loader.epoch(2))
    position = TrainingClips([video(path)], clip, seed=5).draw(SampleId(epoch=2, item=0))[0]
    expected = frames[clip_indices(20, clip, position)].transpose(0, 3, 1, 2)
    given_to_anonymizer = frames_of(batch["clips"].float())
    assert np.array_equal(given_to_anonymizer.numpy(), expected.astype(np.float32))
    assert torch.equal(clips_of(given_to_anonymizer, 1), batch["clips"].float())


@pytest.mark.parametrize("name", ["a b.avi", "x#y;z&(1)!+.avi", "v%20_=@.avi"])
def test_names_with_special_characters(tmp_path: Path, name: str) -> None:
    path = write_mpeg4(tmp_path / name, pictures(5))
    assert count_frames(path) == 5


@pytest.mark.parametrize(("height", "width", "rate"), [(18, 34, 7), (50, 20, 60), (16, 16, 30)])
def test_odd_sizes_and_rates_are_squeezed_to_the_square(tmp_path: Path, height: int, width: int, rate: int) -> None:
    path = write_mpeg4(tmp_path / "a.avi", pictures(6, height, width), rate)
    assert read_frames(path, [0, 5], size=24).shape == (2, 24, 24, 3)


def test_small_videos_are_kept_decoded(tmp_path: Path) -> None:
    path = write_lossless(tmp_path / "a.avi", pictures(6))
    first = VideoFile(path, 32).frames([1, 2])
    path.unlink()
    assert np.array_equal(VideoFile(path, 32).frames([1, 2]), first)


def broken(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / f"{kind}.avi"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("this is no video\n" * 100)
    elif kind == "truncated":
        whole = write_mpeg4(tmp_path / "whole.avi", pictures(60, 32, 32))
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    elif kind == "directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "empty video file"),
        ("text", "not a readable video"),
        ("truncated", "truncated|not a readable video"),
        ("missing", "no such video file"),
        ("directory", "no frames in this folder"),
    ],
)
def test_a_broken_video_is_one_clear_line(tmp_path: Path, kind: str, message: str) -> None:
    path = broken(tmp_path, kind)
    with pytest.raises(DataError, match=message) as error:
        count_frames(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_broken_image_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match="not a readable image"):
        read_image(path)


def test_images_of_any_mode_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P", "CMYK"):
        path = tmp_path / f"{mode}.{'png' if mode in ('RGBA', 'P') else 'jpg'}"
        Image.new(mode, (9, 7)).save(path)
        assert read_image(path).shape == (7, 9, 3)


# Sampling


@given(length=st.integers(1, 300), frames=st.integers(1, 20), skip=st.integers(1, 9), position=st.floats(0, 1))
def test_clip_indices_are_inside_the_video_and_evenly_spaced(length: int, frames: int, skip: int, position: float) -> None:
    clip = ClipConfig(frames=frames, skip=skip)
    indices = clip_indices(length, clip, position)
    assert len(indices) == frames
    assert all(0 <= i < length for i in indices)
    used = fitting_skip(length, clip)
    assert used <= skip
    if length >= frames:
        assert indices == list(range(indices[0], indices[0] + frames * used, used))
    if frames > 1 and length > (frames - 1) * skip:
        assert used == skip


def test_every_start_is_equally_likely() -> None:
    clip = ClipConfig(frames=4, skip=2)
    starts = [clip_indices(10, clip, (i + 0.5) / 400)[0] for i in range(400)]
    assert sorted(set(starts)) == [0, 1, 2, 3]
    assert {starts.count(s) for s in range(4)} == {100}


def test_test_clips_reach_from_the_first_to_the_last_frame() -> None:
    clip = ClipConfig(frames=4, skip=2, test_clips=5)
    clips = [clip_indices(100, clip, p) for p in positions_for_test(clip)]
    assert clips[0][0] == 0
    assert clips[-1][-1] == 99
    assert len({c[0] for c in clips}) == 5


@given(length=st.integers(1, 50), distance=st.integers(1, 10), position=st.floats(0, 1))
def test_pairs_are_as_far_apart_as_asked(length: int, distance: int, position: float) -> None:
    first, second = pair_indices(length, distance, position)
    assert 0 <= first <= second < length
    assert second - first == min(distance, length - 1)


# Loading


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    root = tmp_path_factory.mktemp("videos")
    return [video(write_mpeg4(root / f"{i}.avi", pictures(9 + i, seed=i)), label=i % 3) for i in range(7)]


CLIP = ClipConfig(frames=3, skip=2, size=32, decode_size=32, test_clips=2)


def stream(items: list[Video], workers: int) -> list[list[torch.Tensor]]:
    loader = Loader(TrainingClips(items, CLIP, seed=3), batch_size=2, shuffle=True, workers=workers)
    return [[batch[k] for k in ("index", "clips", "draws")] for e in (0, 1) for batch in loader.epoch(e)]  # type: ignore[literal-required]


def test_sampling_is_the_same_for_any_number_of_workers(videos: list[Video]) -> None:
    alone = stream(videos, 0)
    for workers in (1, 3):
        other = stream(videos, workers)
        assert len(alone) == len(other)
        assert all(torch.equal(a, b) for one, two in zip(alone, other, strict=True) for a, b in zip(one, two, strict=True))


def test_workers_do_not_run_the_users_script_again(videos: list[Video], tmp_path: Path) -> None:
    """They need nothing of it: importing it would cost each of them seconds at the start of each stage, and a script without a
    guard would start its study anew in each.
    """
    script = tmp_path / "script.py"
    script.write_text(
        "import os, pickle, sys\n"
        "print('script', os.getpid(), flush=True)\n"
        "from trainables.data.loader import Loader, close_loaders\n"
        "samples = pickle.load(open(sys.argv[1], 'rb'))\n"
        "batches = list(Loader(samples, batch_size=3, shuffle=True, workers=2).epoch(0))\n"
        "close_loaders()\n"
        "print('items', sum(len(batch['index']) for batch in batches))\n"
    )
    (tmp_path / "samples").write_bytes(pickle.dumps(TrainingClips(videos, CLIP, seed=3)))
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "samples")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["script", "items"], "the script ran once"
    assert lines[1] == f"items {len(videos)}"


def test_a_stretch_of_the_stream_does_not_depend_on_what_came_before(videos: list[Video]) -> None:
    loader = Loader(TrainingClips(videos, CLIP, seed=3), batch_size=3, shuffle=True)
    whole = [batch["index"].tolist() for batch in loader.stretch(0, 9)]
    assert [batch["index"].tolist() for batch in loader.stretch(4, 3)] == whole[4:7]
    assert [batch["index"].tolist() for batch in loader.epoch(1)] == whole[3:6]


def test_an_epoch_holds_every_video_once_and_its_last_batch_is_kept(videos: list[Video]) -> None:
    loader = Loader(TrainingClips(videos, CLIP, seed=3), batch_size=3, shuffle=True)
    for epoch in (0, 1):
        assert sorted(i for batch in loader.epoch(epoch) for i in batch["index"].tolist()) == list(range(7))
    assert [i for b in loader.epoch(0) for i in b["index"].tolist()] != [
        i for b in loader.epoch(1) for i in b["index"].tolist()
    ]


def test_two_epochs_and_two_seeds_draw_differently(videos: list[Video]) -> None:
    samples = TrainingClips(videos, CLIP, seed=3)
    assert not np.array_equal(samples.draw(SampleId(0, 0))[1], samples.draw(SampleId(1, 0))[1])
    assert not np.array_equal(samples.draw(SampleId(0, 0))[1], TrainingClips(videos, CLIP, seed=4).draw(SampleId(0, 0))[1])


def test_closing_loaders_ends_their_workers_and_leaves_them_usable(videos: list[Video]) -> None:
    loader = Loader(TrainingClips(videos, CLIP, seed=3), batch_size=2, shuffle=True, workers=2)
    first = [batch["clips"] for batch in loader.epoch(0)]
    before = multiprocessing.active_children()
    close_loaders()
    assert len(before) - len(multiprocessing.active_children()) == 2
    again = [batch["clips"] for batch in loader.epoch(0)]
    close_loaders()
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_video_among_good_ones_is_named(videos: list[Video], tmp_path: Path, workers: int) -> None:
    path = tmp_path / "broken.avi"
    path.write_text("no video")
    loader = Loader(TrainingClips([*videos, video(path)], CLIP, seed=3), batch_size=2, shuffle=True, workers=workers)
    with pytest.raises(DataError, match=r"^\S*broken.avi: not a readable video [^\n]*$"):
        list(loader.epoch(0))


def test_every_test_video_counts_once_with_all_its_clips(videos: list[Video]) -> None:
    loader = Loader(EvaluationClips(videos, CLIP, seed=0), batch_size=2, shuffle=False)
    batches = list(loader.epoch(0))
    assert [i for batch in batches for i in batch["index"].tolist()] == list(range(7))
    assert batches[0]["clips"].shape == (2, 6, 3, 32, 32)


def test_a_pair_of_frames_is_from_one_video(videos: list[Video], tmp_path: Path) -> None:
    frames = pictures(10, seed=9)
    path = write_lossless(tmp_path / "a.avi", frames)
    batch = next(Loader(FramePairs([video(path)], CLIP, seed=1, distance=4), 1, shuffle=True).epoch(0))
    pair = batch["clips"][0].permute(0, 2, 3, 1).numpy()
    numbers = [next(i for i in range(10) if np.array_equal(frames[i], frame)) for frame in pair]
    assert numbers[1] - numbers[0] == 4
    assert batch["draws"].shape[1] == 2


def test_a_still_may_be_a_frame_of_a_video(tmp_path: Path) -> None:
    frames = pictures(10)
    path = write_lossless(tmp_path / "a.avi", frames)
    batch = next(Loader(Stills([Still("a", path, (1.0,), "g", frame=7)], CLIP, seed=0), 1, shuffle=False).epoch(0))
    assert np.array_equal(batch["clips"][0, 0].permute(1, 2, 0).numpy(), frames[7])
