"""Images as uint8 RGB arrays, upright, with the grey levels that a viewer shows; what cannot be read right is refused."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from trainables.data.decoding.files import File, short
from trainables.data.items import DataError

_DEEP_GREY = ("I;16", "I;16B", "I;16L", "I;16N")  # PIL would clip them to white
_NO_LEVELS = {"F": "floating point", "I": "32-bit"}  # which number is white, the file does not say
_ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_TAIL = 1024  # bytes; some cameras write more behind the end


def decode_image(path: Path, size: int | None = None) -> NDArray[np.uint8]:
    """Returns an image as (H, W, 3), resized to (size, size) if `size` is given.

    Raises DataError for a file that is no image, is cut short, is too large, or has numbers that are no grey levels.
    """
    File.at(path, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice as many pixels are an error
            image = Image.open(path)
        with image:
            if image.mode in _NO_LEVELS:
                raise DataError(f"{path}: an image of {_NO_LEVELS[image.mode]} numbers; save it with 8 or 16 bits a channel")
            rgb = _eight_bits(ImageOps.exif_transpose(image)).convert("RGB")
            if size is not None and rgb.size != (size, size):
                rgb = rgb.resize((size, size), Image.Resampling.BILINEAR)
            return np.array(rgb)
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise DataError(f"{path}: more than {most:.0f} megapixels; make the image smaller") from None
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: not a readable image ({short(error)}); replace the file") from None


def check_image(path: Path) -> None:
    """Opens an image without decoding it, if its end is there; else decodes it. Raises DataError as `decode_image` does."""
    file = File.at(path, "image")
    try:
        with Image.open(path) as image, path.open("rb") as opened:
            opened.seek(max(0, file.bytes - _TAIL))
            whole = _ENDS.get(image.format or "", b"no end") in opened.read() and image.mode not in _NO_LEVELS
    except Exception:  # whatever it is, decoding says it
        whole = False
    if not whole:
        decode_image(path)


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode not in _DEEP_GREY:
        return image
    levels = np.asarray(image)
    return Image.fromarray(((levels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8))
