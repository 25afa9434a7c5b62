"""Where people are in videos and images, from a file or from a detector. "Nobody there" is not "nobody looked".

    boxes.csv    filename,frame,x0,y0,x1,y1

`filename` is the name of the item's file inside the data set, `frame` counts from the first frame of that file, 0, also where
the item is a stretch of it or a frame of a clip (an image is frame 0). Coordinates are shares of
the width and height of the whole picture, from its top left corner. A row with empty coordinates says that this frame was
looked at and shows nobody.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainables.data.items import DataError, Still, Video
from trainables.data.readers.common import refuse

BOXES_FILE = "boxes.csv"
COLUMNS = ("filename", "frame", "x0", "y0", "x1", "y1")
_REMEDY = "write filename,frame,x0,y0,x1,y1 with 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, or no coordinates where nobody is"

Box = tuple[float, float, float, float]
Found = Mapping[str, Mapping[int, Sequence[Box]]]  # file -> frame that was looked at -> the people in it


@dataclass(frozen=True, eq=False)
class Boxes:
    """People's boxes in the files of a data set; a frame has those of the nearest frame looked at, less than `every` away.

    `files`: name -> its rows [first, last + 1) of `frames`, the frame numbers looked at, ascending within a file.
    `starts` (F + 1,): the people of row i are `corners[starts[i]:starts[i + 1]]`; `corners` (M, 4) float32 x0 y0 x1 y1.
    """

    where: str
    every: int
    files: Mapping[str, tuple[int, int]]
    frames: NDArray[np.int64]
    starts: NDArray[np.int64]
    corners: NDArray[np.float32]
    fingerprint: str = ""

    @staticmethod
    def of(where: str, every: int, found: Found, fingerprint: str = "") -> Boxes:
        files: dict[str, tuple[int, int]] = {}
        frames: list[int] = []
        counts: list[int] = []
        corners: list[Box] = []
        for name, by_frame in found.items():
            files[name] = (len(frames), len(frames) + len(by_frame))
            for frame in sorted(by_frame):
                frames.append(frame)
                counts.append(len(by_frame[frame]))
                corners += by_frame[frame]
        return Boxes(
            where,
            every,
            files,
            np.array(frames, dtype=np.int64),
            np.cumsum([0, *counts], dtype=np.int64),
            np.array(corners, dtype=np.float32).reshape(-1, 4),
            fingerprint,
        )

    @staticmethod
    def of_columns(where: str, every: int, names: Sequence[str], columns: Mapping[str, NDArray[Any]]) -> Boxes:
        """Rebuilds boxes from their file names and the arrays that `columns` returned."""
        ends = np.cumsum([0, *columns["frames_a_file"]]).tolist()
        files = dict(zip(names, pairwise(ends), strict=True))
        return Boxes(where, every, files, columns["frames"], columns["starts"], columns["corners"])

    def columns(self) -> dict[str, NDArray[Any]]:
        """Returns everything but the file names as arrays, for `of_columns`."""
        lengths = np.array([end - first for first, end in self.files.values()], dtype=np.int64)
        return {"frames_a_file": lengths, "frames": self.frames, "starts": self.starts, "corners": self.corners}

    @cached_property
    def most(self) -> int:
        """The largest number of people in a frame, at least 1."""
        return max(1, int(np.diff(self.starts).max(initial=0)))

    def grown(self, margin: float) -> Boxes:
        """Returns boxes that are wider and higher by the share `margin`, about their centres, and within the picture."""
        centre = (self.corners[:, :2] + self.corners[:, 2:]) / 2
        half = (self.corners[:, 2:] - self.corners[:, :2]) / 2 * (1.0 + margin)
        return replace(self, corners=np.concatenate([centre - half, centre + half], axis=1).clip(0.0, 1.0))

    def at(self, item: Video | Still, indices: Sequence[int]) -> NDArray[np.float32]:
        """Frames `indices` of the item's file -> (T, N, 4); N is `most`, rows without a person are NaN.

        Raises DataError for a file or a frame that nobody has looked at.
        """
        rows = self._rows(file_of(item), np.asarray(indices, dtype=np.int64))
        if rows is None or (rows < 0).any():
            frame = "" if rows is None else f"frame {indices[int(np.argmax(rows < 0))]} of "
            raise DataError(f"{self.where}: no row for {frame}{file_of(item)!r}; {_ADD_ROWS}")
        out = np.full((len(rows), self.most, 4), np.nan, dtype=np.float32)
        for place, row in zip(out, rows, strict=True):
            people = self.corners[self.starts[row] : self.starts[row + 1]]
            place[: len(people)] = people
        return out

    def require(self, items: Iterable[Video | Still], name: str) -> None:
        """Raises DataError if items of the data set `name` are not in the file; of a video, or a frame at some moment of one,
        the name alone is looked up: which frame that is shows when the video is opened.
        """
        items = list(items)
        missing = [item.name for item in items if not self._knows(item)]
        if missing:
            first = ", ".join(repr(item) for item in missing[:3])
            raise DataError(
                f"{self.where}: no row for {len(missing):,} of {len(items):,} items of {name}, first {first}; {_ADD_ROWS}"
            )

    def _knows(self, item: Video | Still) -> bool:
        if isinstance(item, Video) or item.clip is not None:
            return file_of(item) in self.files
        rows = self._rows(file_of(item), np.array([item.frame or 0]))
        return rows is not None and rows[0] >= 0

    def _rows(self, file: str, wanted: NDArray[np.int64]) -> NDArray[np.int64] | None:
        """The row of the nearest frame looked at, -1 where that is too far away; None for an unknown file."""
        if file not in self.files:
            return None
        first, end = self.files[file]
        distance = abs(self.frames[None, first:end] - wanted[:, None])
        return np.where(distance.min(axis=1) < self.every, first + distance.argmin(axis=1), -1)


_ADD_ROWS = (
    "add its rows, with empty coordinates where nobody is"
    " (obfuscation.every says how many frames may share a row), or set obfuscation.detector"
)


def file_of(item: Video | Still) -> str:
    """The name of the file that an item is, or is a frame or a stretch of."""
    if isinstance(item, Video):
        return item.file
    if item.clip is not None:
        return item.clip.file
    return item.name if item.frame is None else item.name.removesuffix(f"#{item.frame}")


def boxes_file(setting: str, root: Path, folder: str | None) -> Path:
    """The file that `obfuscation.boxes` means for a data set in `folder` of `root`. Raises DataError where there is none."""
    if setting != "auto":
        path = root / setting
        if not path.is_file():
            raise DataError(
                f"obfuscation.boxes = {setting!r}: {path} is no file; give a file (relative to the data root), or auto"
            )
        return path
    places = list(dict.fromkeys([root / (folder or "") / BOXES_FILE, root / BOXES_FILE]))
    for path in places:
        if path.is_file():
            return path
    raise DataError(
        f"no boxes of people, and this method changes people only: there is no {' nor '.join(map(str, places))};"
        " put them there, or set obfuscation.boxes=FILE,"
        " or obfuscation.detector=fasterrcnn_resnet50_fpn_v2 and obfuscation.detector_weights=coco"
    )


def read_boxes(path: Path, every: int) -> Boxes:
    """Reads a file of boxes. Raises DataError of one line, with file and line, where it cannot be used."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); put the file of boxes there") from None
    reader = csv.reader(io.StringIO(content.decode("utf-8-sig", errors="surrogateescape"), newline=""))
    found: dict[str, dict[int, list[Box]]] = {}
    nobody: set[tuple[str, int]] = set()
    wrong, contradicting = [], []
    try:
        if (header := tuple(column.strip() for column in next(reader, []))) != COLUMNS:
            raise DataError(f"{path}:1: the header is {','.join(header)!r}; write {','.join(COLUMNS)}")
        for row in reader:
            if not row:
                continue
            parsed = _parse(row)
            if parsed is None:
                wrong.append(f"{path}:{reader.line_num}: {','.join(row)[:120]!r} is no box")
                continue
            name, frame, box = parsed
            people = found.setdefault(name, {}).setdefault(frame, [])
            if box is None:
                nobody.add((name, frame))
            else:
                people.append(box)
            if people and (name, frame) in nobody:
                contradicting.append(f"{path}:{reader.line_num}: frame {frame} of {name!r} has a box and a row without one")
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no CSV ({error}); correct the file") from None
    refuse(wrong, _REMEDY)
    refuse(contradicting, "take one of them out")
    return Boxes.of(str(path), every, found, hashlib.sha256(content).hexdigest()[:16])


def _parse(row: Sequence[str]) -> tuple[str, int, Box | None] | None:
    """File, frame and box (None: nobody there) of a row; None for a malformed one."""
    values = [value.strip() for value in row]
    if len(values) != len(COLUMNS) or not values[0] or not (values[1].isascii() and values[1].isdecimal()):
        return None
    if not any(values[2:]):
        return values[0], int(values[1]), None
    try:
        x0, y0, x1, y1 = (float(value) for value in values[2:])
    except ValueError:
        return None
    if not (0.0 <= x0 < x1 <= 1.0 and 0.0 <= y0 < y1 <= 1.0):  # false for NaN as well
        return None
    return values[0], int(values[1]), (x0, y0, x1, y1)
