"""A data set with known truth: real AVI and JPEG files, in the layouts of UCF101 and VISPR.

The action is only in the motion: a figure appears at a place and in a look that do not depend on the action and moves,
wrapping around the edges, its arm still or turning, so that no single frame tells the action. The private attributes are
only in the appearance, each an independent coin of known bias. Both label the clips (`clip_attributes.csv`) as well as the
images. `boxes.csv` says where the figure is in every frame and image.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainables.config import ConfigError

Array = NDArray[np.float64]
Painted = tuple[NDArray[np.uint8], NDArray[np.bool_]]
BoxRow = tuple[str | int | float, ...]  # of BOX_COLUMNS; relative to the sides of the picture
BOX_COLUMNS = ("filename", "frame", "x0", "y0", "x1", "y1")
VERSION = 3  # of the generated pictures: a change makes new data

CLIPS_PER_SOURCE = 2
DOMAINS: tuple[Literal["known", "novel"], ...] = ("known", "novel")
FRAME_RATE = 15
PERSON_PATTERN = r"_(g\d+)_c\d+\.[^.]+$"  # in the name of a clip, whom it shows, where `GeneratedSpec.people` is not 0


@dataclass(frozen=True)
class GeneratedSpec:
    """Sizes of the generated data. `size` is the side of the square frames in pixels, `frames` the length of a clip.

    `people`: of 0, every source shows a person of its own, in one class of action. Otherwise so many people are in the training
    clips, and as many others in the test clips, each of them in every class: a source number stands for one person in all
    classes, which `data.action.group_pattern` = PERSON_PATTERN says to the reader.
    """

    train_clips: int = 600
    test_clips: int = 360
    train_images: int = 600
    val_images: int = 150
    test_images: int = 480
    size: int = 32
    frames: int = 20
    seed: int = 0
    domain: Literal["known", "novel"] = "known"
    people: int = 0

    def __post_init__(self) -> None:
        a_source_each = CLIPS_PER_SOURCE * len(MOTIONS[self.domain])
        for name, least in (("train_clips", 2 * a_source_each), ("test_clips", a_source_each)):
            if getattr(self, name) < least:
                raise ConfigError(f"generated data: {name} = {getattr(self, name)}; give at least {least}")
        clips_of_each = len(MOTIONS[self.domain]) * self.people
        for name in ("train_clips", "test_clips"):
            if not 0 <= clips_of_each <= getattr(self, name):
                raise ConfigError(
                    f"generated data: people = {self.people} with {name} = {getattr(self, name)}; each is to be in every class:"
                    f" give at least {clips_of_each} clips, or people = 0"
                )
        if self.size < 16 or self.frames < 8:
            raise ConfigError(f"generated data: size {self.size}, frames {self.frames}; give at least 16 pixels and 8 frames")


# The path (T, 2) of the figure's centre, in sides of the frame, over time t in revolutions. `side` is -1 or 1: every action
# looks the same in a mirror, because the recipe flips half of the training clips.
Course = Callable[[Array, int], Array]


def _line(x: float, y: float) -> Course:
    return lambda t, side: np.stack([side * x * t, y * t], axis=-1)


def _swing(x: float, y: float, times: float, fall: float = 0.0) -> Course:
    def path(t: Array, side: int) -> Array:
        return np.sin(2 * np.pi * times * t)[:, None] * np.array([side * x, y]) + t[:, None] * np.array([0.0, fall])

    return path


@dataclass(frozen=True)
class Motion:
    """Where the figure goes, and how often its arm turns around meanwhile: a detail that goes with the figure's details."""

    course: Course
    arm_turns: float


def _with_either_arm(courses: dict[str, Course]) -> dict[str, Motion]:
    """Every course with the arm held still, at any angle, and with the arm turning like a wheel."""
    still = {name: Motion(course, 0.0) for name, course in courses.items()}
    return still | {f"{name}Wheeling": Motion(course, 1.8) for name, course in courses.items()}


MOTIONS: dict[str, dict[str, Motion]] = {
    "known": _with_either_arm({"MoveUp": _line(0.0, -1.2), "MoveDown": _line(0.0, 1.2), "SwingAcross": _swing(0.22, 0.0, 1.8)}),
    "novel": _with_either_arm(
        {"ClimbSlope": _line(0.9, -0.9), "FallSlope": _line(0.9, 0.9), "Zigzag": _swing(0.2, 0.0, 1.8, fall=0.8)}
    ),
}
ARM_LENGTH, ARM_WIDTH, ARM_COLOUR = 0.45, 0.12, (0.15, 0.8, 0.3)

# Attribute -> share of positives, from easy to see to hard (a mark of one or two pixels).
ATTRIBUTES: dict[str, dict[str, float]] = {
    "known": {"warm": 0.5, "lit_room": 0.4, "tall": 0.5, "striped": 0.4, "belted": 0.3, "badge": 0.4},
    "novel": {"purple": 0.4, "tiled_room": 0.5, "ring": 0.4, "checked": 0.5, "hooded": 0.4, "scarf": 0.3},
}


def ensure(root: Path, spec: GeneratedSpec) -> Path:
    """The data set of `spec` in `root`, made now if it is not there; returns its own directory, <root>/<hash>/<domain>.

    The domains of equal specs lie side by side: their parent is a data root with a folder for each. Written aside and
    renamed: a half-made set is never seen, and two makers at once do no harm.
    """
    sizes = {name: value for name, value in asdict(spec).items() if name != "domain" and (name != "people" or value)}
    digest = hashlib.sha256(json.dumps([VERSION, sizes]).encode()).hexdigest()[:12]
    target = root / digest / spec.domain
    if (target / "spec.json").is_file():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        aside.chmod(0o755)
        boxes = [*_write_clips(aside, spec), *_write_images(aside, spec)]
        with (aside / "boxes.csv").open("w", newline="") as file:
            csv.writer(file).writerows([BOX_COLUMNS, *boxes])
        (aside / "spec.json").write_text(json.dumps(asdict(spec), indent=1))
        os.rename(aside, target)
    except OSError:
        if not (target / "spec.json").is_file():  # otherwise another maker was first
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _write_clips(root: Path, spec: GeneratedSpec) -> list[BoxRow]:
    """Writes the clips with their lists and labels. Returns the boxes of the figure, frame by frame."""
    classes = sorted(MOTIONS[spec.domain])
    lists = root / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(classes, start=1)))
    names: dict[str, list[str]] = {"train": [], "test": []}
    rows: list[list[str | int]] = []
    boxes: list[BoxRow] = []
    first_source = 1
    for split, count in (("test", spec.test_clips), ("train", spec.train_clips)):
        per_class = [count // len(classes) + (i < count % len(classes)) for i in range(len(classes))]
        sources = spec.people or -(-max(per_class) // CLIPS_PER_SOURCE)
        for label, (motion, clips) in enumerate(zip(classes, per_class, strict=True)):
            (root / "UCF-101" / motion).mkdir(parents=True, exist_ok=True)
            for number in range(clips):
                source, part = divmod(number, CLIPS_PER_SOURCE)
                person = [first_source + source, label]  # one a source: its clips share the look
                if spec.people:
                    part, source = divmod(number, spec.people)
                    person = [first_source + source, len(classes)]  # one in all classes
                look = _Look.draw(np.random.default_rng([spec.seed, 1, *person]), spec.domain)
                name = f"{motion}/v_{motion}_g{first_source + source:02d}_c{part + 1:02d}.avi"
                clip_rng = np.random.default_rng([spec.seed, 2, first_source + source, label, part])
                frames, figure = _clip(clip_rng, look, MOTIONS[spec.domain][motion], spec)
                _write_video(root / "UCF-101" / name, frames)
                boxes += _box_rows(name, figure)
                names[split].append(name)
                rows.append([name, *look.labels])
        first_source += sources
    (lists / "testlist01.txt").write_text("".join(f"{name}\n" for name in names["test"]))
    numbers = {name: i for i, name in enumerate(classes, start=1)}
    (lists / "trainlist01.txt").write_text("".join(f"{name} {numbers[name.split('/')[0]]}\n" for name in names["train"]))
    with (root / "clip_attributes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["filename", *ATTRIBUTES[spec.domain]])
        writer.writerows(rows)
    return boxes


def _write_images(root: Path, spec: GeneratedSpec) -> list[BoxRow]:
    """Writes the images with their lists and labels. Returns the box of the figure in each image."""
    boxes: list[BoxRow] = []
    vispr = root / "VISPR"
    vispr.mkdir()
    (vispr / "attributes.txt").write_text("".join(f"{name}\n" for name in ATTRIBUTES[spec.domain]))
    counts = {"train2017": spec.train_images, "val2017": spec.val_images, "test2017": spec.test_images}
    for number, (split, count) in enumerate(counts.items()):
        for kind in ("images", "annotations"):
            (vispr / kind / split).mkdir(parents=True)
        lines = []
        for index in range(count):
            rng = np.random.default_rng([spec.seed, 3, number, index])
            look = _Look.draw(rng, spec.domain)
            stem = f"2017_{number}{index:07d}"
            pictures, figure = look.paint(rng.random(2)[None], rng.random(1), spec.size)
            boxes += _box_rows(f"images/{split}/{stem}.jpg", figure)
            Image.fromarray(pictures[0]).save(vispr / "images" / split / f"{stem}.jpg", quality=95, subsampling=0)
            labels = [name for name, on in zip(ATTRIBUTES[spec.domain], look.labels, strict=True) if on]
            annotation = {"image_path": f"images/{split}/{stem}.jpg", "labels": labels}
            (vispr / "annotations" / split / f"{stem}.json").write_text(json.dumps(annotation))
            lines.append(f"annotations/{split}/{stem}.json\n")
        (vispr / f"{split}.txt").write_text("".join(lines))
    return boxes


def _box_rows(name: str, figure: NDArray[np.bool_]) -> list[BoxRow]:
    """The rows of `boxes.csv` for one file, from the pixels (T, H, W) of the figure: one box for each part of it that the
    edges of the frame cut off.
    """
    rows: list[BoxRow] = []
    for frame, pixels in enumerate(figure):
        for top, bottom in _runs(pixels.any(axis=1)):
            for left, right in _runs(pixels.any(axis=0)):
                part = pixels[top:bottom, left:right]
                if part.any():
                    ys, xs = (np.flatnonzero(part.any(axis=axis)) for axis in (1, 0))
                    box = (left + xs[0], top + ys[0], left + xs[-1] + 1, top + ys[-1] + 1)
                    rows.append((name, frame, *(float(pixel) / len(pixels) for pixel in box)))
    return rows


def _runs(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[first, last + 1] of every unbroken run of True."""
    steps = np.flatnonzero(np.diff(line, prepend=False, append=False)).tolist()
    return list(zip(steps[::2], steps[1::2], strict=True))


def _clip(rng: np.random.Generator, look: _Look, motion: Motion, spec: GeneratedSpec) -> Painted:
    start, pace, phase, side = rng.random(2), rng.uniform(0.85, 1.15), rng.random(), int(rng.choice([-1, 1]))
    t = pace * np.arange(spec.frames) / spec.frames + phase
    arm = rng.random() + side * motion.arm_turns * t
    return look.paint((start + motion.course(t, side)) % 1.0, arm, spec.size)


@dataclass(frozen=True)
class _Look:
    """The appearance of a person and a room; `labels` are its private attributes, 0 or 1, in the order of ATTRIBUTES."""

    domain: str
    labels: tuple[int, ...]
    tint: tuple[float, float, float]
    room: tuple[float, float, float]
    texture: int

    @staticmethod
    def draw(rng: np.random.Generator, domain: str) -> _Look:
        labels = tuple(int(rng.random() < share) for share in ATTRIBUTES[domain].values())
        jitter = rng.uniform(-0.08, 0.08, 6)
        body, room = _palette(domain, labels)
        return _Look(domain, labels, _shift(body, jitter[:3]), _shift(room, jitter[3:]), int(rng.integers(2**31)))

    def paint(self, centres: Array, arm: Array, size: int) -> Painted:
        """(T, 2) centres in [0, 1], (T,) turns of the arm -> (T, size, size, 3) frames, and which of their pixels are the
        figure's, (T, size, size).

        The figure wraps around the edges.
        """
        texture = np.random.default_rng(self.texture)
        axis = (np.arange(size) + 0.5) / size
        room = np.array(self.room) + texture.uniform(-0.02, 0.02, (size, size, 1))
        room = np.broadcast_to(room, (size, size, 3)).copy()
        if self.domain == "novel" and self.labels[1]:
            room[(np.add.outer(axis * 5 // 1, axis * 5 // 1) % 2) == 0] -= 0.12
        # offsets from the centre on the torus, in [-0.5, 0.5)
        x = (axis[None, :] - centres[:, 0, None] + 0.5) % 1.0 - 0.5
        y = (axis[None, :] - centres[:, 1, None] + 0.5) % 1.0 - 0.5
        x, y = np.broadcast_arrays(x[:, None, :], y[:, :, None])
        frames = np.broadcast_to(room, (len(centres), size, size, 3)).copy()
        figure = np.zeros(frames.shape[:3], dtype=np.bool_)
        for mask, colour in [(_arm(arm, x, y), ARM_COLOUR), *_layers(self.domain, self.labels, x, y)]:
            frames[mask] = np.array(self.tint if colour is None else colour)
            figure |= mask
        return (frames.clip(0.0, 1.0) * 255).round().astype(np.uint8), figure


def _arm(turns: Array, x: Array, y: Array) -> NDArray[np.bool_]:
    """(T,) turns -> the pixels (T, H, W) of an arm from the centre outwards; the body hides its inner half."""
    angle = (2 * np.pi * turns)[:, None, None]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return (along > 0) & (along < ARM_LENGTH) & (abs(across) < ARM_WIDTH / 2)


def _palette(domain: str, labels: Sequence[int]) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Colour of the body and of the room."""
    if domain == "known":
        return ((0.95, 0.4, 0.1) if labels[0] else (0.1, 0.4, 0.95)), ((0.78,) * 3 if labels[1] else (0.22,) * 3)
    return ((0.7, 0.1, 0.9) if labels[0] else (0.1, 0.75, 0.2)), (0.5, 0.48, 0.44)


def _shift(colour: tuple[float, float, float], by: Array) -> tuple[float, float, float]:
    red, green, blue = (np.array(colour) + by).tolist()
    return red, green, blue


_Layers = list[tuple[NDArray[np.bool_], tuple[float, float, float] | None]]


def _layers(domain: str, labels: Sequence[int], x: Array, y: Array) -> _Layers:
    """The figure from back to front: masks (T, H, W) and their colours (None: the body's own)."""
    radius = np.hypot(x, y)
    light, dark = (0.95, 0.95, 0.9), (0.08, 0.08, 0.1)
    if domain == "known":
        _, _, tall, striped, belted, badge = labels
        # equal areas, so that size does not give the shape away
        body = (np.hypot(x / 0.15, y / 0.294) < 1.0) if tall else (radius < 0.21)
        layers: _Layers = [(body, None)]
        if striped:
            layers.append((body & ((y * 16 + 0.5) % 2 < 0.8), light))
        if belted:
            layers.append((body & (abs(y - 0.06) < 0.03), dark))
        if badge:
            layers.append((body & (abs(x - 0.05) < 0.05) & (abs(y + 0.09) < 0.05), (0.95, 0.85, 0.1)))
        return layers
    _, _, ring, checked, hooded, scarf = labels
    body = (radius < 0.23) & (radius > 0.1) if ring else (abs(x) * 0.9 + y * 0.5 < 0.11) & (y > -0.2) & (y < 0.2)
    layers = [(body, None)]
    if checked:
        layers.append((body & (((x * 14) // 1 + (y * 14) // 1) % 2 == 0), light))
    if hooded:
        layers.append((body & (y < -0.1), dark))
    if scarf:
        layers.append((body & (abs(x + y) < 0.03), (0.9, 0.2, 0.2)))
    return layers


def _write_video(path: Path, frames: NDArray[np.uint8]) -> None:
    """MPEG-4 in AVI, as UCF101, at a quality that keeps the badge."""
    import av

    with av.open(str(path.absolute()), "w", format="avi") as container:
        stream = container.add_stream("mpeg4", rate=FRAME_RATE)
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
        stream.codec_context.bit_rate = 4_000_000
        stream.codec_context.options = {"qmin": "1", "qmax": "3"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
