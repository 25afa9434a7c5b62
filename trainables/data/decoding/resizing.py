"""Frames as RGB pictures of a given size: one function for all decoders, so that pixels do not depend on who decodes."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av import VideoFrame

RESIZING = 2  # in the keys of stages that read resized videos; raised when their pixels change


class Resizer:
    """Turns frames of PyAV into pictures (H, W, 3) RGB, resized to (size, size) if `size` is given.

    What resizes is FFmpeg's filter `scale` with linear interpolation, which is also what decord resizes with. libswscale called
    without the filter, as `VideoFrame.reformat` does, takes colours from a fraction of a pixel beside.
    """

    def __init__(self, size: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._size = size
        self._convert = VideoReformatter().reformat
        self._graph: Any = None
        self._made_for: tuple[Any, ...] = ()

    def picture(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Returns a view of memory that is valid as long as the array is."""
        if self._size is None or (frame.width, frame.height) == (self._size, self._size):
            rgb = self._convert(frame, frame.width, frame.height, "rgb24", threads=1)
        else:
            rgb = self._scaled(frame)
        plane = rgb.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(rgb.height, plane.line_size)
        return rows[:, : 3 * rgb.width].reshape(rgb.height, rgb.width, 3)

    def _scaled(self, frame: VideoFrame) -> VideoFrame:
        form = (frame.width, frame.height, frame.format.name, int(frame.colorspace), int(frame.color_range))
        if form != self._made_for:
            self._graph, self._made_for = _scaling(form, self._size), form
        self._graph.push(frame)
        return self._graph.pull()


def _scaling(form: tuple[Any, ...], size: int | None) -> Any:
    from av.filter import Graph

    width, height, pixels, colours, levels = form
    graph = Graph()
    graph.threads = 1
    given = graph.add(
        "buffer",
        video_size=f"{width}x{height}",
        pix_fmt=pixels,
        time_base=str(Fraction(1, 1000)),
        pixel_aspect="1/1",
        colorspace=str(colours),
        range=str(levels),
    )
    steps = (given, graph.add("scale", f"{size}:{size}:flags=bilinear"), graph.add("format", "rgb24"), graph.add("buffersink"))
    graph.link_nodes(*steps).configure()
    return graph
