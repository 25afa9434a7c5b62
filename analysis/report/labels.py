"""Places names at points of a figure so that no text covers a mark, a line or another text.

A name with no free place is left out. adjustText moves names until they overlap less, but never leaves one out, so in a
crowded figure names would still cover one another.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from analysis.report.drawing import DARK, GREY

Array = NDArray[np.float64]
OFFSETS = [(7, 4), (-7, 4), (7, -4), (-7, -4), (0, 8), (0, -8)]  # points from the mark, in the order they are tried
OFFSETS += [(side * 16, up * far) for far in (15, 28, 41) for up in (1, -1) for side in (1, -1)]
_FAR = 9  # points; a name further away gets a line to its mark


def place_labels(axes: Axes, names: Sequence[str], places: Array, taken: Array) -> None:
    """Writes each name at the first free offset around its place (n, 2), in data coordinates; the first names go first.

    `taken` (m, 4) are the boxes on the canvas that names must not touch, see `boxes`. The figure must be laid out already.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inside = axes.get_window_extent(renderer)
    offsets = np.array(OFFSETS, float)
    written: list[Bbox] = []
    lines: list[Path] = []
    for name, place in zip(names, places, strict=True):
        extent = Text(0, 0, name, fontsize=8, figure=figure).get_window_extent(renderer)
        size = np.array([extent.width, extent.height])
        mark = axes.transData.transform(place)
        # A name to the right of its mark begins at its offset, one to the left ends there; above and below likewise.
        corners = mark + offsets * figure.dpi / 72 + (np.sign(offsets) - 1) / 2 * size
        for (dx, dy), corner in zip(OFFSETS, corners, strict=True):
            box = Bbox(np.array([corner, corner + size]))
            fits = inside.containsx(box.x0) and inside.containsx(box.x1) and inside.containsy(box.y1)
            if not fits or _overlaps(box, taken):
                continue
            line = Path(np.array([mark, corner + size / 2]))
            if any(line.intersects_bbox(other) for other in written) or any(other.intersects_bbox(box) for other in lines):
                continue
            axes.annotate(
                name,
                (place[0], place[1]),
                (dx, dy),
                textcoords="offset points",
                ha="left" if dx > 0 else "right" if dx < 0 else "center",
                va="bottom" if dy > 0 else "top",
                color=DARK,
                fontsize=8,
                zorder=6,
                arrowprops={"arrowstyle": "-", "lw": 0.6, "color": GREY, "shrinkA": 0}
                if max(abs(dx), abs(dy)) > _FAR
                else None,
            )
            written.append(box)
            lines.append(line)
            taken = np.vstack([taken, box.extents])
            break


def boxes(axes: Axes, at: Array, margin: float, end: Array | None = None) -> Array:
    """(n, 4): the boxes x0, y0, x1, y1 on the canvas, in pixels, that enclose points (n, 2) in data coordinates, or the
    horizontal or vertical lines from them to `end`, with a margin in pixels."""
    ends = np.stack([axes.transData.transform(at), axes.transData.transform(at if end is None else end)])
    return np.hstack([ends.min(axis=0) - margin, ends.max(axis=0) + margin])


def boxes_of(axes: Axes, texts: Sequence[Text]) -> list[Array]:
    """The boxes (1, 4) on the canvas of texts that are drawn already."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    return [np.array(text.get_window_extent(renderer).extents).reshape(1, 4) for text in texts]


def _overlaps(box: Bbox, others: Array) -> bool:
    x0, y0, x1, y1 = others.T
    return bool(((box.x0 <= x1) & (x0 <= box.x1) & (box.y0 <= y1) & (y0 <= box.y1)).any())
