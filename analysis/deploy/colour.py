"""Decoded frames as RGB in the colours that a player shows: levels of 8 bits, upright, at the size that is wanted.

HDR (HLG, PQ) is mapped to sRGB, the range of ordinary screens; other pictures keep the primaries and the transfer curve of
their file, which the output must name. Of interlaced frames the upper field is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from trainables.data.decoding.orientation import Orientation
from trainables.data.decoding.resizing import Resizer

RgbFrame = NDArray[np.uint8]  # (H, W, 3)
_Floats = NDArray[np.float32]

HD = 720  # lines from which players take BT.709 for what is not tagged
_UNSPECIFIED = 2
_HLG, _PQ = ColorTrc.ARIB_STD_B67, ColorTrc.SMPTE2084
_WHITE = 203.0  # nits of a white sheet in HDR (ITU-R BT.2408); what ordinary screens show as white
_PEAK = 1000.0  # nits of the screen that HLG is made for
_TO_709 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32)
_LUMA_2020 = np.array([0.2627, 0.6780, 0.0593], np.float32)


@dataclass
class RgbReader:
    """Turns decoded frames of one video to RGB. `size`: (height, width) of the upright result, None for the video's own.

    Squares are made as those that anonymizers are trained and measured on. `primaries`, `transfer`: what the RGB levels mean,
    as codes of ITU-T H.273, known from the first picture on; None where the file does not say.
    """

    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self._reformat = VideoReformatter().reformat
        self.orientation: Orientation | None = None  # known from the first frame on
        self.interlaced = self.hdr = self.transparent = self.changed = False
        self.primaries: int | None = None
        self.transfer: int | None = None
        self._own: tuple[int, int] | None = None
        self._square = Resizer(self.size[0]) if self.size is not None and self.size[0] == self.size[1] else None

    def picture(self, frame: Any, own_size: bool = False) -> RgbFrame:
        """(H, W, 3), upright. own_size: at the size of the frame, whatever `size` is."""
        if self.orientation is None:
            self.orientation = Orientation.of(frame)
            self.primaries, self.transfer = _meaning(frame)
        self._own = self._own or (frame.height, frame.width)
        self.changed |= self._own != (frame.height, frame.width)
        height, width = self._own
        if self.size is not None and not own_size:
            height, width = self.size[::-1] if self.orientation.transposed else self.size
        self.transparent |= any(part.is_alpha for part in frame.format.components)
        space: int | None = frame.colorspace
        if space == _UNSPECIFIED and not frame.format.is_rgb:
            space = Colorspace.ITU709 if frame.height >= HD else Colorspace.ITU601
        if space != frame.colorspace:
            frame.colorspace = space
        if frame.interlaced_frame:
            self.interlaced = True
            frame = self._upper_field(frame, space)
            space = None
        if frame.color_trc in (_HLG, _PQ):
            self.hdr = True
            deep = self._reformat(frame, width, height, "rgb48le", src_colorspace=space, threads=1).to_ndarray()
            found = to_sdr(np.asarray(deep, np.float32) / np.float32(65535), frame.color_trc, frame.color_primaries)
        elif self._square is not None and not own_size and not self.interlaced:
            found = self._square.picture(frame)
        else:
            found = _rgb(self._reformat(frame, width, height, "rgb24", src_colorspace=space, threads=1))
        return np.ascontiguousarray(self.orientation.upright(found))

    def _upper_field(self, frame: Any, space: int | None) -> Any:
        """Every second row of a frame, from the first on; the caller's resizing fills the rows between."""
        import av

        whole = _rgb(self._reformat(frame, frame.width, frame.height, "rgb24", src_colorspace=space, threads=1))
        return av.VideoFrame.from_ndarray(np.ascontiguousarray(whole[::2]), "rgb24")


def _meaning(frame: Any) -> tuple[int | None, int | None]:
    """The primaries and the transfer curve of the pictures that are made of a frame; None for what its file does not say."""
    primaries = _said(frame.color_primaries, ColorPrimaries)
    if frame.color_trc not in (_HLG, _PQ):
        return primaries, _said(frame.color_trc, ColorTrc)
    return ColorPrimaries.BT709 if primaries == ColorPrimaries.BT2020 else primaries, ColorTrc.BT709  # see `to_sdr`


def _said(code: int, known: type[ColorPrimaries] | type[ColorTrc]) -> int | None:
    return int(code) if code != _UNSPECIFIED and code in {int(one) for one in known} else None


def _rgb(frame: Any) -> RgbFrame:
    return np.asarray(frame.to_ndarray(), np.uint8)


def to_sdr(coded: _Floats, transfer: int, primaries: int) -> RgbFrame:
    """Coded HDR levels (H, W, 3) in [0, 1] -> sRGB levels of 8 bits; what is brighter than white is white.

    HLG: inverse OETF, and the system gamma of 1.2 for a screen of 1,000 nits (BT.2100); PQ: its EOTF. White is at 203 nits.
    """
    if transfer == _HLG:
        scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        nits = _PEAK * scene * np.maximum(scene @ _LUMA_2020, 1e-6)[..., None] ** 0.2
    else:
        root = np.maximum(coded, 0) ** (1 / 78.84375)
        nits = 10000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    light = nits / _WHITE
    if primaries == ColorPrimaries.BT2020:
        light = light @ _TO_709.T
    light = np.clip(light, 0, 1)
    levels = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(255 * levels), np.uint8)
