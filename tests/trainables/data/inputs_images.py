"""Images as people have them: odd numbers of bits, orientations, sizes, and broken ones."""

from __future__ import annotations

import struct
import zlib
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.inputs import Input
from tests.support.odd_videos import place_of_corner
from trainables.data.reading import read_image

_GREYS = np.linspace(0, 255, 6).astype(np.uint8)


def _ramp(mode: str, suffix: str, folder: Path) -> str:
    """Six grey levels from black to white, in an image of that mode."""
    path, levels = folder / f"ramp.{suffix}", np.broadcast_to(_GREYS.repeat(8), (16, 48))
    if mode == "I;16":
        Image.fromarray(levels.astype(np.uint16) * 257).save(path)
    elif mode == "I":
        Image.fromarray(levels.astype(np.int32) * 257, "I").save(path)
    elif mode == "F":
        Image.fromarray(levels.astype(np.float32) / 255).save(path)
    elif mode == "1":
        Image.fromarray(np.where(levels > 127, 255, 0).astype(np.uint8)).convert("1").save(path)
    else:
        image = Image.fromarray(np.ascontiguousarray(levels)).convert("RGB")
        image.convert(mode).save(path, **({"quality": 95} if suffix in ("jpg", "webp") else {}))
    return _greys(read_image(path))


def _greys(picture: np.ndarray) -> str:
    expected = _GREYS.repeat(8)
    found = picture.astype(int).mean((0, 2))
    return "right grey levels" if np.abs(found - expected).max() < 4 else f"grey levels {np.unique(found.round()).tolist()}"


def _black_and_white(folder: Path) -> str:
    path = folder / "bits.png"
    Image.fromarray(np.repeat([[0, 255]], 8, 1).astype(np.uint8)).convert("1").save(path)
    return f"levels {', '.join(map(str, np.unique(read_image(path)).tolist()))}"


def deep_png(path: Path, levels: np.ndarray) -> Path:
    """A 16-bit RGB PNG (H, W, 3), which PIL reads but does not write."""
    height, width = levels.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in levels)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    coded = b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + coded)
    return path


def _deep_colours(folder: Path) -> str:
    levels = np.broadcast_to(_GREYS.repeat(8)[None, :, None], (16, 48, 3)).astype(np.uint32) * 257
    return _greys(read_image(deep_png(folder / "deep.png", levels)))


def _turned(orientation: int, folder: Path) -> str:
    """A picture whose bright corner is at its top left, with an EXIF orientation."""
    picture = np.full((64, 96, 3), 20, np.uint8)
    picture[:16, :48] = 220
    image = Image.fromarray(picture)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(folder / "turned.jpg", exif=exif, quality=95)
    own, squeezed = read_image(folder / "turned.jpg"), read_image(folder / "turned.jpg", 48)
    assert place_of_corner(own) == place_of_corner(squeezed)
    return f"turned upright: its top left corner is at the {place_of_corner(own)}"


def _cut(suffix: str, folder: Path) -> str:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = folder / f"cut.{suffix}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return str(read_image(path, 48).shape)


def _content(content: bytes, folder: Path) -> str:
    (folder / "image.jpg").write_bytes(content)
    return str(read_image(folder / "image.jpg").shape)


def _large(side: int, folder: Path) -> str:
    path = folder / "panorama.png"
    Image.new("1", (2 * side, side)).save(path)
    return f"a picture of {read_image(path, 48).shape[0]} pixels a side"


def _missing(folder: Path) -> str:
    return str(read_image(folder / "gone.jpg").shape)


def _frames(folder: Path) -> str:
    first, second = (Image.fromarray(np.full((8, 8), level, np.uint8)) for level in (200, 20))
    first.save(folder / "moving.gif", save_all=True, append_images=[second])
    return f"its first picture, level {int(read_image(folder / 'moving.gif').mean().round())}"


_CORNERS = {
    2: "top right, level",
    3: "bottom right, level",
    4: "bottom left, level",
    5: "top left, upright",
    6: "top right, upright",
    7: "bottom right, upright",
    8: "bottom left, upright",
}
_LEVELS = "right grey levels"

INPUTS = [
    *(
        Input(f"a {mode} image as `.{suffix}`", _LEVELS, partial(_ramp, mode, suffix))
        for mode, suffix in (
            ("RGB", "jpg"),
            ("L", "jpg"),
            ("CMYK", "jpg"),
            ("RGBA", "png"),
            ("LA", "png"),
            ("P", "png"),
            ("RGB", "webp"),
            ("RGB", "bmp"),
            ("P", "gif"),
            ("RGB", "tif"),
            ("YCbCr", "tif"),
        )
    ),
    Input("a black and white PNG of one bit", "levels 0, 255", _black_and_white),
    Input("a 16-bit grey PNG", _LEVELS, partial(_ramp, "I;16", "png")),
    Input("a 16-bit grey TIFF", _LEVELS, partial(_ramp, "I;16", "tif")),
    Input("a 16-bit colour PNG", _LEVELS, _deep_colours),
    Input("a floating point TIFF", "refused: an image of floating point numbers", partial(_ramp, "F", "tif")),
    Input("a 32-bit TIFF", "refused: an image of 32-bit numbers", partial(_ramp, "I", "tif")),
    *(
        Input(
            f"a JPEG with EXIF orientation {number}",
            f"turned upright: its top left corner is at the {corner}",
            partial(_turned, number),
        )
        for number, corner in _CORNERS.items()
    ),
    Input("an animated GIF", "its first picture, level 200", _frames),
    Input("half of a JPEG", "refused: not a readable image (image file is truncated", partial(_cut, "jpg")),
    Input("half of a PNG", "refused: not a readable image", partial(_cut, "png")),
    Input("text with the name of an image", "refused: not a readable image", partial(_content, b"no image")),
    Input("an empty image file", "refused: empty image file; replace it", partial(_content, b"")),
    Input("an image that is not there", "refused: no such image file; replace it", _missing),
    Input("an image of 128 megapixels", "a picture of 48 pixels a side", partial(_large, 8000)),
    Input("an image of 200 megapixels", "refused: more than 179 megapixels; make the image smaller", partial(_large, 10000)),
]
