"""What both pages, report and evidence, are made of: tables, pictures, sections, and the HTML they become.

A page is one file: pictures are data URIs, and its policy lets a browser load nothing and run no script but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure
from PIL import Image

from analysis.read.store import AnalysisError
from analysis.report.drawing import image_uri

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Table:
    """A table of texts; the first cell of a row is its heading. `label` names it to a screen reader if it has no caption.

    `how`: for each row the id of the part of the page that says how its figures were made, to which the heading of the row
    leads; empty for none. `how_columns`: likewise for each column. Without `columns` it has no head. A `narrow` table becomes
    one block a row where the window is as narrow as a phone's.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    label: str = ""
    narrow: bool = False
    how: Sequence[str] = ()
    how_columns: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """An image inside the page; `figure`, where it has one, is also written to files beside the page, named `file`.

    `pixelated` images are enlarged without smoothing. `narrow_uri` is shown instead in a window as narrow as a phone's. `of`
    is the id of the run whose frames these are, `id` that of the HTML element.
    """

    uri: str
    alt: str
    caption: str = ""
    title: str = ""
    pixelated: bool = False
    narrow_uri: str = ""
    figure: Figure | None = None
    file: str = ""
    of: str = ""
    id: str = ""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order: text, pictures, tables, notes."""

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()


def picture(figure: Figure, file: str, alt: str, caption: str = "") -> Picture:
    """A drawn figure, embedded as SVG; `file` has no suffix."""
    return Picture(image_uri(figure), alt, caption, figure=figure, file=file)


@dataclass(frozen=True)
class Encoding:
    """How an image file is embedded: its width at most, in pixels, and the formats to try until one is small enough."""

    width: int
    formats: Sequence[tuple[str, dict[str, Any]]]
    small: int = 200_000  # bytes


def embedded(path: Path, encoding: Encoding) -> tuple[str, bool]:
    """An image file as a data URI, and whether it is so small that a browser should enlarge it without smoothing.

    Raises OSError or PIL.UnidentifiedImageError for a file that cannot be read.
    """
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    small = image.width < encoding.width
    if not small:
        height = max(1, round(image.height * encoding.width / image.width))
        image = image.resize((encoding.width, height), Image.Resampling.LANCZOS)
    for kind, options in encoding.formats:
        out = io.BytesIO()
        image.save(out, kind, **options)
        if len(out.getvalue()) <= encoding.small:
            break
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}", small


def render(name: str, script: str = "", **content: Any) -> str:
    """The page `name`.html.j2 in the style of base.css and `name`.css, every text in it escaped.

    `script` is the file of the page's own script; without one nothing runs.
    """
    environment = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    code = (_HERE / script).read_text(encoding="utf-8").strip() if script else ""
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() if code else ""
    style = "".join((_HERE / f"{sheet}.css").read_text(encoding="utf-8") for sheet in ("base", name))
    template = environment.get_template(f"{name}.html.j2")
    return template.render(style=Markup(style), script=Markup(code), script_hash=digest, **content)


def cannot_write(what: str, folder: Path, error: OSError) -> AnalysisError:
    """The error for a page that cannot be written to `folder`."""
    return AnalysisError(f"{what} cannot be written to {folder} ({error.strerror or error}); give another --out")
