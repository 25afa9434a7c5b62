"""How every figure of a report is drawn: colours (Okabe-Ito), sizes, fonts, and the files and SVG it becomes.

Figures plot shares in percent, as tables print them. Labels come from run names: they are never read as mathtext.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLACK, DARK, GREY = "#000000", "#333333", "#666666"
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
WIDE, NARROW, PANEL = (7.4, 4.6), (3.7, 4.4), (3.9, 3.1)  # inches; NARROW is for phones

LABEL_LENGTH = 26  # characters of a label in a figure; tables and tooltips have all of it

STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Helvetica", "Arial"],
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "text.parse_math": False,
    "svg.fonttype": "none",
}


@dataclass(frozen=True)
class Mark:
    """A point that a reader can point at: the words it has, and its row in the trials or, for a mean, in the settings."""

    words: str
    row: str
    is_mean: bool


def distinct_part(labels: Sequence[str]) -> dict[str, str]:
    """Each label without the words that all labels share; a label that has no others stays whole."""
    words = [label.split() for label in labels]
    shared = set.intersection(*map(set, words)) if len(words) > 1 else set()
    return {label: " ".join(word for word in label.split() if word not in shared) or label for label in labels}


def canvas(size: tuple[float, float]) -> Figure:
    """An empty figure that draws without a display; size in inches."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def lay_out(figure: Figure) -> None:
    """Runs the layout engine once and removes it: a figure that keeps its engine is drawn twice for each file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)


def legend_below(figure: Figure, columns: int = 2) -> None:
    """The legend of all axes under them, where it covers nothing."""
    figure.legend(loc="outside lower left", frameon=False, ncols=columns, fontsize=8, handlelength=2.4, columnspacing=1)


def save(figure: Figure, stem: Path, kinds: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Writes the figure as `<stem>.<kind>` of each kind and returns the files. Equal figures give equal bytes."""
    with matplotlib.rc_context(STYLE):
        lay_out(figure)
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in kinds]
        for kind, path in zip(kinds, paths, strict=True):
            figure.savefig(path, dpi=160, metadata={"CreationDate": None} if kind == "pdf" else None)
    return paths


def image_uri(figure: Figure) -> str:
    """The figure as SVG in a data URI: an image that needs no second file."""
    return "data:image/svg+xml;base64," + base64.b64encode(_svg(figure, "figure").encode()).decode()


def inline_svg(figure: Figure, prefix: str, marks: Mapping[str, Mark]) -> str:
    """The figure as an SVG element whose points react to a pointer and a screen reader, the means also to the keyboard.

    `marks` holds the points by their SVG id, which becomes the attribute `data-card`. `prefix` is put before every id, so
    that two figures on one page have different ids.
    """
    svg = _svg(figure, prefix)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r'(\bid="|url\(#|xlink:href="#)', rf"\g<1>{prefix}-", svg)
    for name, mark in marks.items():
        words = html.escape(mark.words, quote=True)
        role = 'role="button" tabindex="0"' if mark.is_mean else 'role="img"'
        svg = svg.replace(
            f'<g id="{prefix}-{name}">',
            f'<g id="{prefix}-{name}" class="point" data-card="{name}" aria-label="{words}" {role}>',
            1,
        )
    return re.sub(
        r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg height="[^"]*" ([^>]*?)width="[^"]*"', _unsized, svg, count=1
    )


def _unsized(match: re.Match[str]) -> str:
    return f"<svg {match.group(1) or match.group(2) or ''}"


def _svg(figure: Figure, salt: str) -> str:
    out = io.StringIO()
    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}):
        lay_out(figure)
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()
