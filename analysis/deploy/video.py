"""How a video is to be anonymized, and how it turned out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from analysis import text
from analysis.deploy.colour import RgbFrame
from analysis.deploy.flicker import Flicker
from analysis.deploy.measured import Size
from analysis.read.store import AnalysisError
from trainables.one_line import reason

if TYPE_CHECKING:
    from analysis.deploy.frame_model import FrameModel

_RECIPE = 3  # raised when the same options give another output


@dataclass(frozen=True)
class Box:
    """A part of the upright picture, in its pixels."""

    left: int
    top: int
    width: int
    height: int

    @staticmethod
    def of_text(option: str, given: str) -> Box:
        """Of `LEFT,TOP,WIDTH,HEIGHT`. Raises AnalysisError for anything else, which names the option."""
        try:
            left, top, width, height = map(int, given.split(","))
        except ValueError:
            left = top = width = height = -1
        if min(left, top) < 0 or min(width, height) < 1:
            raise AnalysisError(f"{option} {given}: give LEFT,TOP,WIDTH,HEIGHT in pixels, e.g. 0,0,64,48, or a PNG file")
        return Box(left, top, width, height)

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    def of(self, picture: RgbFrame) -> RgbFrame:
        """The part of a picture (H, W, 3), not a copy."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]

    def fill(self, picture: RgbFrame, content: RgbFrame | None) -> None:
        """Puts this part of another picture (H, W, 3) in its place; black for None."""
        self.of(picture)[:] = 0 if content is None else self.of(content)

    def require_inside(self, option: str, video: str, size: Size) -> None:
        """Raises AnalysisError where it reaches out of a video of this (height, width)."""
        if self.top + self.height > size[0] or self.left + self.width > size[1]:
            raise AnalysisError(f"{video}: {option} {self} reaches out of its pictures of {text.frame_size(size)} (HxW)")


@dataclass(frozen=True)
class Mask:
    """A part of any shape of the upright picture: the pixels that are not black in a PNG file. `size`: its (height, width);
    `bits`: its pixels row by row, eight to a byte.
    """

    name: str
    sha256: str
    size: Size
    bits: bytes = field(repr=False)

    @staticmethod
    def of_file(option: str, path: str) -> Mask:
        """Raises AnalysisError, which names the option, for a file that is no PNG, or shows no part, or is transparent."""
        from PIL import Image

        try:
            content = Path(path).read_bytes()
            with Image.open(BytesIO(content), formats=["PNG"]) as image:
                alpha = image.has_transparency_data
                form = "RGBA" if alpha else "RGB" if image.mode == "P" else image.mode
                pixels = np.asarray(image.convert(form))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise AnalysisError(f"{option} {path}: not a readable PNG file ({reason(error, 160)})") from None
        clear = alpha and bool((pixels[..., 3] < 255).any())
        inside = pixels.reshape(*pixels.shape[:2], -1)[..., :3].any(-1)
        if clear or not inside.any():
            wrong = "is transparent" if clear else "has no pixel that is not black"
            raise AnalysisError(f"{option} {path}: {wrong}; give a PNG file that is white where the part is, and else black")
        height, width = inside.shape
        return Mask(Path(path).name, hashlib.sha256(content).hexdigest(), (height, width), np.packbits(inside).tobytes())

    def __str__(self) -> str:
        return f"{self.name} (sha256 {self.sha256[:16]})"

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(height, width): whether a pixel belongs to the part."""
        height, width = self.size
        return np.unpackbits(np.frombuffer(self.bits, np.uint8), count=height * width).reshape(height, width).astype(bool)

    def fill(self, picture: RgbFrame, content: RgbFrame | None) -> None:
        """Puts this part of another picture (H, W, 3) in its place; black for None."""
        picture[self.inside] = 0 if content is None else content[self.inside]

    def require_inside(self, option: str, video: str, size: Size) -> None:
        """Raises AnalysisError for a video of another (height, width)."""
        if self.size != size:
            own, others = text.frame_size(self.size), text.frame_size(size)
            raise AnalysisError(f"{video}: {option} {self.name} is {own}, and its pictures, upright, are {others} (HxW)")


def part_of_text(option: str, given: str) -> Box | Mask:
    """A PNG file by its name, or a box. Raises AnalysisError for what is none of both."""
    return Mask.of_file(option, given) if given.lower().endswith(".png") else Box.of_text(option, given)


@dataclass(frozen=True)
class VideoOptions:
    """How a video is anonymized.

    `size`: the (height, width) the network works at, `native` for the video's own, None for that at which the anonymizer was
    measured (the video's own where that is not known). `batch`: frames at a time, fewer where memory does not hold them.
    `codec`: an encoder of PyAV, None for H.264 where it is there. `start`, `end`: the seconds of the input to begin and to end
    at, None for its own. `seconds`: how long the output is at most, None for any length. `black`, `leave`: parts of the picture
    that are always black, and that stay RAW.
    """

    size: Size | Literal["native"] | None = None
    batch: int = 8
    side_by_side: bool = False
    keep_audio: bool = False
    overwrite: bool = False
    codec: str | None = None
    start: float | None = None
    end: float | None = None
    seconds: float | None = None
    black: tuple[Box | Mask, ...] = ()
    leave: tuple[Box | Mask, ...] = ()

    def work_size(self, model: FrameModel) -> Size | None:
        """The size of the frames that the network gets; None for the video's own."""
        if model.size is not None:
            return model.size
        if self.size is None:
            return model.measured_at.whole_frame if model.measured_at else None
        return None if self.size == "native" else self.size

    def made_with(self, model: FrameModel) -> dict[str, Any]:
        """Everything besides the input that changes the output."""
        size = self.work_size(model)
        return {
            "model": model.digest,
            "dial": model.dial.at if model.dial else None,
            "computed_by": model.kind,
            "size": text.frame_size(size) if size else "native",
            "side_by_side": self.side_by_side,
            "keep_audio": self.keep_audio,
            "codec": self.codec or "auto",
            "start": self.start,
            "end": self.end,
            "seconds": self.seconds,
            "black": text.listed(self.black) or None,
            "left_raw": text.listed(self.leave) or None,
            "recipe": _RECIPE,
        }


@dataclass
class VideoResult:
    """How one video turned out. `lost` frames could not be decoded, `failed` ones not anonymized; both are black. `why` is the
    first error of the network, `cut` says if the file ends early, `batch` how many frames were worked on at a time."""

    output: Path
    frames: int = 0
    lost: int = 0
    failed: int = 0
    why: str = ""
    cut: str = ""
    seconds: float = 0.0
    video_seconds: Fraction = Fraction(0)
    batch: int = 0
    flicker: Flicker = field(default_factory=Flicker)

    @property
    def black(self) -> int:
        return self.lost + self.failed

    @property
    def whole(self) -> bool:
        return not self.black and not self.cut
