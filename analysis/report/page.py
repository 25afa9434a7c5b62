"""What a report is made of: tables of texts, pictures, and sections of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from analysis.report.figures import image_uri


@dataclass(frozen=True)
class Table:
    """What the template prints as one table: cells as text, the first column names the row."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Picture:
    """An image inside the page and, where it has a `figure`, in files beside it named `file`."""

    uri: str
    alt: str
    caption: str = ""
    pixelated: bool = False
    narrow_uri: str = ""  # shown instead where the window is as narrow as a phone's
    figure: Figure | None = None
    file: str = ""
    of: str = ""  # id of the run whose frames these are
    id: str = ""


@dataclass(frozen=True)
class Section:
    """A heading with what belongs under it, in this order: text, pictures, tables, notes."""

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = field(default=())
    tables: Sequence[Table] = field(default=())
    notes: Sequence[str] = ()


def picture(figure: Figure, file: str, alt: str, caption: str = "") -> Picture:
    """A drawn figure, embedded as SVG; `file` without its suffix."""
    return Picture(image_uri(figure), alt, caption, figure=figure, file=file)
