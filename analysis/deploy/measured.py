"""At which size an anonymizer was measured: its figures hold for frames of that size, and are no promise for any other.

What is exported carries it in its metadata, and `anonymize` lets the network work at it unless told otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from analysis import text
from analysis.read.store import AnalysisError
from trainables.config import ClipConfig

Size = tuple[int, int]  # height, width in pixels

_LARGEST_SIDE = 8192
_NO_OTHER_SIZE = ("None", "nan")  # as `evaluate_at` is recorded where a trial is evaluated at the size it is trained at

KEY = "measured_at"  # of the metadata of an ONNX file, and of the content of a file of PyTorch


@dataclass(frozen=True)
class MeasuredAt:
    """What the networks of a trial's tests were shown: at the size `evaluate_at` where the trial sets one.

    A frame is resized to a square of `decode_size` pixels a side, whatever its shape; of it the middle `crop` of each side is
    taken and resized to a square of `clip_size`, which is what the anonymizer gets. A clip has `frames` frames, every `skip`-th
    of the video.
    """

    decode_size: int
    clip_size: int
    crop: float
    frames: int
    skip: int

    @property
    def whole_frame(self) -> Size:
        """The size of a whole frame of which people and things are as large as they were when measured."""
        side = round(self.clip_size / self.crop)
        return side, side

    def words(self) -> str:
        """`frames of 40x40 pixels (of each the middle 32x32), one in 2 frames` for a reader."""
        middle = f" (of each the middle {text.frame_size((self.clip_size,) * 2)})" if self.crop < 1 else ""
        every = "every frame" if self.skip == 1 else f"one in {self.skip} frames"
        return f"frames of {text.frame_size(self.whole_frame)} pixels{middle}, {every}"

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_json(given: str) -> MeasuredAt | None:
        """None for what is not the JSON of one."""
        try:
            content = json.loads(given)
            found = MeasuredAt(
                int(content["decode_size"]),
                int(content["clip_size"]),
                float(content["crop"]),
                int(content["frames"]),
                int(content["skip"]),
            )
        except (ValueError, TypeError, KeyError):
            return None
        return found if found.clip_size > 0 and 0 < found.crop <= 1 else None

    @staticmethod
    def of_config(values: Mapping[str, object]) -> MeasuredAt | None:
        """Reads it from the configuration of a trial, as text by dotted key; None where a value is not there."""
        try:
            clip = ClipConfig(size=int(str(values["clip.size"])), decode_size=int(str(values["clip.decode_size"])))
            at = str(values.get("evaluate_at"))
            clip = clip if at in _NO_OTHER_SIZE else clip.at(int(float(at)))
            return MeasuredAt(
                decode_size=clip.decode_size,
                clip_size=clip.size,
                crop=float(str(values["augment.test_crop"])),
                frames=int(str(values["clip.frames"])),
                skip=int(str(values["clip.skip"])),
            )
        except (KeyError, ValueError):
            return None


def parse_size(given: str, option: str = "--size") -> Size:
    """`240x320` as (height, width) in pixels. Raises AnalysisError for anything else."""
    found = re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", given.strip())
    size = (int(found[1]), int(found[2])) if found else (0, 0)
    if not all(4 <= side <= _LARGEST_SIDE for side in size):
        raise AnalysisError(f"{option} {given}: give HEIGHTxWIDTH in pixels, 4 to {_LARGEST_SIDE} each, such as 240x320")
    return size
