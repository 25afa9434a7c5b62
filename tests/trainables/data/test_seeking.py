"""Seeking that leads astray is noticed: the file is then read from its start."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.numbered import numbers_of, write_numbered
from trainables.data.decoding import video
from trainables.data.decoding.files import File
from trainables.data.decoding.index import Start, index_of, open_video, packets_of
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


FORMS = {
    "H.264": ("mp4", "libx264", H264, False),
    "XviD, two B-frames": ("avi", "mpeg4", {"g": "300", "bf": "2", "sc_threshold": "1000000000"}, True),
    "XviD, three B-frames": ("avi", "mpeg4", {"g": "16", "bf": "3", "sc_threshold": "1000000000"}, True),
}


@pytest.mark.parametrize("form", FORMS)
def test_frames_that_nobody_asks_for_are_passed_over_and_change_no_other(tmp_path: Path, form: str) -> None:
    suffix, codec, options, packed = FORMS[form]
    file = File.at(write_numbered(tmp_path / f"video.{suffix}", range(48), codec, options, packed=packed))
    index = index_of(file)
    whole = VideoReader(file, index).read(range(48))
    assert numbers_of(whole) == list(range(48))
    passed = 0
    for asked in [[first, *range(first + 1, 48, step)] for first in range(13) for step in (2, 3, 4)]:
        reader = VideoReader(file, index)
        assert np.array_equal(reader.read(asked), whole[asked]), asked
        passed += len(reader._passing.passed)
        for single in (40, 3, *sorted(reader._passing.passed)[:2], 4):  # also those that the same reader has just passed over
            assert np.array_equal(reader.read([single]), whole[[single]]), (asked, single)
        reader.close()
    assert passed > 0
    assert file not in video._IN_ORDER_ONLY  # it never went wrong and was mended


@pytest.mark.parametrize(("suffix", "options"), [("mp4", H264), ("mov", H264), ("mkv", H264)])
def test_seeking_leads_to_the_key_frame_itself_and_not_to_the_one_before(
    tmp_path: Path, suffix: str, options: dict[str, str]
) -> None:
    file = File.at(write_numbered(tmp_path / f"video.{suffix}", range(48), "libx264", options))
    index = index_of(file)
    assert [start.position for start in index.starts] == [12, 24, 36]
    for start in index.starts:
        container, stream = open_video(file)
        with container:
            container.seek(start.time, stream=stream)
            assert next(packets_of(file, container, stream)).pts == start.tag
