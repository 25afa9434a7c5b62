"""Which videos need care, by name: those of which decord would give other frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.support.numbered import write_numbered
from tests.support.odd_videos import cut, turned_video, with_cover
from tests.trainables.data.inputs_codecs import _mpeg4, _x264
from trainables.data.decoding import care
from trainables.data.decoding.files import File
from trainables.data.decoding.index import index_of


def _written(name: str, codec: str, options: dict[str, str], folder: Path, packed: bool = False) -> Path:
    return write_numbered(folder / name, range(40), codec, options, packed=packed)


def _cut(folder: Path, first: int) -> Path:
    return cut(_written("whole.mp4", "libx264", _x264(), folder), folder / "cut.mp4", first, 35)


def _with_cover(folder: Path) -> Path:
    return with_cover(folder / "cover.mp4", 40)


MAKES: dict[str, tuple[Callable[[Path], Path], tuple[str, ...]]] = {
    "H.264 with B-frames, closed groups": (partial(_written, "a.mp4", "libx264", _x264()), ()),
    "MPEG-4 without B-frames in AVI, as of UCF101": (partial(_written, "a.avi", "mpeg4", _mpeg4(0)), ()),
    "with B-frames": (partial(_written, "a.avi", "mpeg4", _mpeg4(2)), (care.REORDERED,)),
    "with one key frame": (partial(_written, "a.avi", "mpeg4", _mpeg4(1, 300), packed=True), (care.REORDERED,)),
    "MPEG-4 with B-frames in MP4": (partial(_written, "a.mp4", "mpeg4", _mpeg4(2)), (care.REORDERED,)),
    "open groups": (
        partial(_written, "a.mp4", "libx264", _x264(**{"open-gop": 1})),
        (care.REFRESHED, care.OPEN_GROUPS),
    ),
    "refreshed bit by bit": (
        partial(_written, "a.mkv", "libx264", _x264(**{"intra-refresh": 1, "bframes": 0})),
        (care.REFRESHED,),
    ),
    "cut at a key frame": (partial(_cut, first=12), ()),
    "cut between key frames": (partial(_cut, first=17), (care.EDITED,)),
    "of a phone": (lambda folder: turned_video(folder / "turned.mp4", 90, False), (care.TURNED,)),
    "cover picture": (_with_cover, (care.SEVERAL,)),
    "a codec that nobody has tried": (partial(_written, "a.mpg", "mpeg1video", {"g": "12"}), ("mpeg1video in mpeg",)),
}


@pytest.mark.parametrize("what", MAKES)
def test_what_needs_care_is_named(what: str, tmp_path: Path) -> None:
    make, expected = MAKES[what]
    file = File.at(make(tmp_path))
    assert care.care_of(file, index_of(file)) == expected
