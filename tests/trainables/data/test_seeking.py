"""Seeking that leads astray is noticed: the file is then read from its start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.numbered import numbers_of, write_numbered
from trainables.data.decoding import video
from trainables.data.decoding.files import File
from trainables.data.decoding.index import Start, index_of
from trainables.data.decoding.video import VideoReader
from trainables.data.items import DataError

H264 = {"preset": "ultrafast", "x264-params": "keyint=12:min-keyint=12:bframes=2:b-adapt=0:scenecut=0"}


@pytest.mark.parametrize(("suffix", "codec", "options"), [("mp4", "libx264", H264), ("avi", "mpeg4", {"g": "12", "bf": "2"})])
def test_a_start_that_is_another_frame_s_is_not_believed(
    tmp_path: Path, suffix: str, codec: str, options: dict[str, str]
) -> None:
    file = File.at(write_numbered(tmp_path / f"video.{suffix}", range(48), codec, options))
    index = index_of(file)
    later = index.starts[2]
    wrong = replace(index, starts=(Start(10, later.tag, later.time),))
    asked = [11, 13, 12, 40, 11]
    assert numbers_of(VideoReader(file, index).read(asked)) == asked
    assert file not in video._IN_ORDER_ONLY
    assert numbers_of(VideoReader(file, wrong).read(asked)) == asked
    assert file in video._IN_ORDER_ONLY
    video._IN_ORDER_ONLY.clear()


def test_frames_past_the_end_are_refused(tmp_path: Path) -> None:
    file = File.at(write_numbered(tmp_path / "video.mp4", range(12), "libx264", H264))
    for number in (12, -1):
        with pytest.raises(DataError, match=f"frame {number} of 12 is asked for"):
            VideoReader(file, index_of(file)).read([number])
