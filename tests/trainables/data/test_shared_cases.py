"""The inputs of `shared/cases` that once failed, read as their README says."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.support import SHARED
from tests.trainables.data.inputs_codecs import nothing_kept
from trainables.data.decoding import video
from trainables.data.decoding.by_decord import DecordReader, decord_version, gives_frames
from trainables.data.decoding.care import REORDERED
from trainables.data.decoding.files import File
from trainables.data.decoding.resizing import Resizer
from trainables.data.decoding.video import VideoReader
from trainables.data.items import DataError
from trainables.data.reading import VideoFile, count_frames, find_frames, read_frames, read_image

CASES = SHARED.parent / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="shared/cases is not here")
XVID = [*range(897), 899]  # its encoder dropped two


def number_of(picture: np.ndarray) -> int:
    """Ten bits, each a square of a picture of 160 x 120 or resized from it."""
    height, width = picture.shape[0] / 120, picture.shape[1] / 160
    squares = [
        picture[round(31 * height) : round(39 * height), round((8 + 14 * b + 3) * width) : round((8 + 14 * b + 9) * width)]
        for b in range(10)
    ]
    return sum(int(square.mean() > 128) << bit for bit, square in enumerate(squares))


def played_at(path: Path, size: int) -> np.ndarray:
    """All frames in the order in which a player shows them."""
    resizer = Resizer(size)
    with av.open(str(path)) as container:
        return np.stack([resizer.picture(frame) for frame in container.decode(video=0)])


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("m1.avi", range(300)),
        ("m2.avi", range(300)),
        ("xvid.avi", XVID),
        ("cut_copy.mp4", range(300, 452)),
        ("edl.mp4", range(70, 200)),
    ],
)
def test_each_frame_is_the_one_that_was_asked_for(name: str, numbers: list[int]) -> None:
    path, expected = CASES / "videos" / name, list(numbers)
    with nothing_kept(small_ones_too=True):
        assert count_frames(path) == len(expected)
        whole = read_frames(path, range(len(expected)), 48)
        assert np.array_equal(whole, played_at(path, 48))
        wrong = [index for index, picture in enumerate(whole) if number_of(picture) != expected[index]]
        draw = np.random.default_rng(0)
        for start in draw.integers(0, len(expected) - 17, 10).tolist():
            clip = list(range(start, start + 17, 4))
            assert np.array_equal(VideoFile(path, 48).frames(clip), whole[clip])
        single = VideoFile(path, 280)
        for index in draw.integers(0, len(expected), 19).tolist():
            found = number_of(single.frames([index])[0])
            assert found == expected[index] or index in wrong
    assert len(wrong) == (23 if name == "xvid.avi" else 0), "its encoder has lost a square of 23 frames"


@pytest.mark.parametrize(
    ("name", "starts"),
    [("v_ApplyEyeMakeup_g01_c01.avi", 0), ("v_BaseballPitch_g01_c01.avi", 8), ("kinetics_like_demo.mp4", 3)],
)
def test_real_files_of_data_sets_give_the_frames_that_are_played(name: str, starts: int) -> None:
    path = SHARED / "real_forms" / name
    played = played_at(path, 48)
    with nothing_kept(small_ones_too=True):
        found = VideoFile(path, 48)
        assert len(found) == len(played)
        assert len(find_frames(path).starts) == starts
        draw = np.random.default_rng(0)
        for _ in range(12):
            clip = draw.integers(0, len(played), 5).tolist()
            assert np.array_equal(found.frames(clip), np.stack([played[index] for index in clip]))
        for first in range(0, len(played) - 28, 5):  # frames in between are passed over
            clip = list(range(first, first + 28, 4))
            assert np.array_equal(VideoFile(path, 48).frames(clip), np.stack([played[index] for index in clip]))
    assert not video._IN_ORDER_ONLY


@pytest.mark.skipif(not decord_version(), reason="decord is not installed")
@pytest.mark.parametrize(
    ("name", "gives"),
    [("v_ApplyEyeMakeup_g01_c01.avi", False), ("v_BaseballPitch_g01_c01.avi", True), ("kinetics_like_demo.mp4", True)],
)
def test_decord_reads_real_files_where_it_gives_the_same_pixels(name: str, gives: bool) -> None:
    path = SHARED / "real_forms" / name
    file, index = File.at(path), find_frames(path)
    assert gives_frames(file, index, 112) == gives
    if not gives:
        assert index.care == (REORDERED,)
        return
    for size in (64, 112, 224, 280):
        reader, draw = DecordReader(file, index, size), np.random.default_rng(0)
        whole = played_at(path, size)
        for asked in [list(range(index.count)), *draw.integers(0, index.count, (6, 5)).tolist()]:
            found = reader.read(asked)
            assert np.array_equal(found, whole[asked])
            assert np.array_equal(VideoReader(file, index, size).read(asked), found)
        assert reader._other is None


def test_images_are_right_or_refused_by_name() -> None:
    folder = CASES / "images"
    for name, words in (("trunc.jpg", "truncated"), ("f.tif", "floating point"), ("pano_200MP.jpg", "megapixels")):
        with pytest.raises(DataError, match=words) as error:
            read_image(folder / name, 48)
        assert str(folder / name) in str(error.value)
    assert np.unique(read_image(folder / "g16.png")).tolist() == [round(20000 / 257)]
