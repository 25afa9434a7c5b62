"""A detector finds the boxes of people, once, in every file that an evaluator or attacker reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trainables.data.boxes import Box, Boxes, file_of
from trainables.data.items import Still, Video
from trainables.data.reading import VideoFile, read_image
from trainables.execution.context import StageContext
from trainables.execution.loop import Epoch, run_epochs
from trainables.methods.obfuscation import DETECT
from trainables.models.detector import PeopleDetector
from trainables.store import Outcome

_FILES_A_ROUND = 32  # boxes are saved after each round of so many files

_Span = tuple[float, float | None] | None
_Place = tuple[Path, tuple[int, ...], tuple[_Span, ...]]


@dataclass
class _File:
    """A file in which people are detected: an image, or frames `frames` of a video and every `every`-th frame of each of its
    stretches `spans` (None: all of it).
    """

    name: str
    path: Path
    frames: set[int] = field(default_factory=set)
    spans: set[_Span] = field(default_factory=set)

    @property
    def place(self) -> _Place:
        """A key that two entries share if they are the same file, also in different data sets."""
        return self.path, tuple(sorted(self.frames)), tuple(sorted(self.spans, key=str))


def run(context: StageContext) -> Outcome:
    """Detects people in every file. The state of the outcome holds, by data set, the file names and columns of its `Boxes`."""
    settings = context.config.obfuscation
    sets = {name: _files(context.data.items(name)) for name in DETECT.data}
    keys: dict[_Place, str] = {}  # a file of two data sets goes by its name in the first, on every machine
    todo: dict[str, _File] = {}
    for name, files in sets.items():
        for file in files:
            key = keys.setdefault(file.place, f"{name}/{file.name}")
            todo.setdefault(key, file)
    order = sorted(todo)
    found = _Found()
    detector = PeopleDetector.of(settings, context.device)

    def one_round(now: Epoch) -> dict[str, float]:
        keys = order[now.number * _FILES_A_ROUND : (now.number + 1) * _FILES_A_ROUND]
        for key in now.steps(lambda done: iter(keys[done:])):
            found.by_file[key] = _look(todo[key], detector, settings.every)
        people = [len(boxes) for key in keys for boxes in found.by_file[key].values()]
        return {"people_per_frame": sum(people) / len(people)}

    history = run_epochs(context, {"found": found}, -(-len(order) // _FILES_A_ROUND), one_round)
    state, notes = {}, []
    for name, files in sets.items():
        by_file = {file.name: found.by_file[keys[file.place]] for file in files}
        boxes = Boxes.of("", settings.every, by_file)
        columns = {column: torch.from_numpy(values) for column, values in boxes.columns().items()}
        state[name] = {"names": list(boxes.files), "columns": columns}
        frames = [people for seen in by_file.values() for people in seen.values()]
        share = sum(map(bool, frames)) / len(frames)
        notes.append(
            f"{settings.detector}: people in {share:.1%} of the frames looked at of {name}; the others stay as they are"
        )
    return Outcome({}, history, state, notes=tuple(notes))


def _files(items: Iterable[Video | Still]) -> list[_File]:
    """Returns the files of the items; for stills that are numbered frames of a video, only those frames of it."""
    files: dict[str, _File] = {}
    for item in items:
        file = files.setdefault(file_of(item), _File(file_of(item), item.path))
        clip = item if isinstance(item, Video) else item.clip
        if clip is not None:
            file.spans.add(clip.span)
        elif isinstance(item, Still) and item.frame is not None:
            file.frames.add(item.frame)
    return list(files.values())


def _look(file: _File, detector: PeopleDetector, every: int) -> dict[int, list[Box]]:
    if not file.frames and not file.spans:
        return {0: detector(read_image(file.path)[None])[0]}
    video = VideoFile(file.path)
    stretches = [VideoFile(file.path, span=span) for span in file.spans]
    frames = sorted(file.frames.union(*(part.in_file(range(0, len(part), every)) for part in stretches)))
    found: dict[int, list[Box]] = {}
    for start in range(0, len(frames), 64):  # in parts, so that no whole film is in memory
        part = frames[start : start + 64]
        found |= dict(zip(part, detector(video.frames(part)), strict=True))
    return found


class _Found:
    """The boxes found so far, which a checkpoint keeps."""

    def __init__(self) -> None:
        self.by_file: dict[str, dict[int, list[Box]]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"by_file": self.by_file}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.by_file = state["by_file"]
