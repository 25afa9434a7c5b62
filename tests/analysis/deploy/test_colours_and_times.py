"""Colours of HDR by the standards' own numbers, pixels as those that were measured, and times that go on rising."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorTrc

from analysis.deploy.colour import RgbReader, to_sdr
from analysis.deploy.timeline import Timeline
from analysis.deploy.video_input import Shot, VideoInput
from tests.support.numbered import write_numbered
from trainables.data.reading import read_frames

HLG, PQ = ColorTrc.ARIB_STD_B67, ColorTrc.SMPTE2084


@pytest.mark.parametrize(
    ("transfer", "coded", "level"),
    [
        (HLG, 0.75, 255),  # BT.2408: the signal of HLG for white at 203 cd/m2
        (PQ, 0.5807, 255),  # and that of PQ
        (PQ, 0.4418, 137),  # a quarter of that light, 50.75 cd/m2: sRGB 0.537
        (HLG, 1.0, 255),
        (PQ, 1.0, 255),
        (HLG, 0.0, 0),
        (PQ, 0.0, 0),
    ],
)
def test_white_is_white_and_grey_is_grey(transfer: int, coded: float, level: int) -> None:
    for primaries in (ColorPrimaries.BT2020, ColorPrimaries.BT709):
        found = to_sdr(np.full((2, 2, 3), coded, np.float32), transfer, primaries)
        assert found.dtype == np.uint8
        assert np.abs(found.astype(int) - level).max() <= 1


@pytest.mark.parametrize(
    ("primaries", "transfer", "meaning"),
    [
        (ColorPrimaries.BT470BG, ColorTrc.GAMMA28, (5, 5)),
        (ColorPrimaries.SMPTE432, ColorTrc.UNSPECIFIED, (12, None)),
        (99, 0, (None, None)),  # no codes of H.273
        (ColorPrimaries.BT2020, ColorTrc.BT2020_10, (9, 14)),
        (ColorPrimaries.BT2020, HLG, (1, 1)),  # HDR is mapped to sRGB
        (ColorPrimaries.SMPTE432, PQ, (12, 1)),
    ],
)
def test_what_levels_mean_is_known(primaries: int, transfer: int, meaning: tuple[int | None, int | None]) -> None:
    frame = av.VideoFrame(16, 16, "yuv420p10le")
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    frame.color_primaries, frame.color_trc = primaries, transfer
    reader = RgbReader()
    assert (reader.primaries, reader.transfer) == (None, None)
    reader.picture(frame)
    assert (reader.primaries, reader.transfer) == meaning


def test_frames_are_those_that_anonymizers_are_measured_on(tmp_path: Path) -> None:
    """A square is what training and its attackers read: the same pixels, not only the same size."""
    path = write_numbered(tmp_path / "in.mp4", range(12), "libx264")
    with VideoInput(str(path), size=(40, 40)) as video:
        ours = [item.picture for item in video if isinstance(item, Shot)]
    assert np.array_equal(np.stack(ours), read_frames(path, range(12), 40))  # type: ignore[arg-type]


def shifted(times: list[int], leaps: bool) -> list[int]:
    """What becomes of decoding times in hundredths of a second, of frames that last four."""
    line, found = Timeline(Fraction(1, 100), leaps), []
    for time in times:
        packet = SimpleNamespace(pts=time + 8, dts=time, duration=4)
        line.put_right(packet, 4)
        assert packet.pts == packet.dts + 8
        found.append(packet.dts)
    return found


def test_times_go_on_where_they_were() -> None:
    assert shifted([0, 40, 80, 0, 40], False) == [0, 40, 80, 84, 124]
    assert shifted([500, 504, 0, 4, 700, 704], False) == [500, 504, 508, 512, 1208, 1212]
    assert shifted([0, 4, 2000, 2004], True) == [0, 4, 8, 12], "a broadcast that begins anew"
    assert shifted([0, 4, 2000, 2004], False) == [0, 4, 2000, 2004], "a long frame"
    assert shifted([0, 4, 900, 904], True) == [0, 4, 900, 904], "less than ten seconds are a pause"
    assert shifted([0, 4, 2, 8], False) == [0, 4, 2, 8], "a packet that is a little early is no new beginning"


def test_packets_without_a_time_stay_as_they_are() -> None:
    packet = SimpleNamespace(pts=None, dts=None, duration=4)
    Timeline(Fraction(1, 100), True).put_right(packet, 4)
    assert packet.pts is packet.dts is None
