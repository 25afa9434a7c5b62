"""A handful of videos and images of a real size, with labels, in the layout `folders`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.speed_setup import write_video

SIDE, FRAMES = (320, 240), 80
CLASSES, ATTRIBUTES = ("walk", "wave"), ("tall", "red")
CLIPS = {"train": 3, "validation": 2, "test": 2}
IMAGES = {"train": 4, "validation": 4, "test": 4}


def make_data(root: Path) -> Path:
    """Videos and images with labels in the layout `folders`: a rectangle whose look is a person's, over noise.

    Neighbours differ in their action and in both attributes.
    """
    generator = np.random.default_rng(0)
    rows = {"clip": [], "image": []}  # type: dict[str, list[str]]
    for part, count in CLIPS.items():
        names = []
        for number in range(count):
            look = (number % 2, number % 2)
            name = f"{CLASSES[number % 2]}/{part}{number}.avi"
            file = root / "videos" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_video(file, list(_frames(generator, look, number % 2)))
            names.append(name)
            rows["clip"].append(f"{name},{part}{number},{look[0]},{look[1]}")
        _list(root / "splits" / f"{part}.txt", names)
    for part, count in IMAGES.items():
        names = []
        for number in range(count):
            look = (number % 2, number % 2)
            name = f"{part}{number}.png"
            file = root / "images" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(next(_frames(generator, look, 0))).save(file)
            names.append(name)
            rows["image"].append(f"{name},{part}{number},{look[0]},{look[1]}")
        _list(root / "splits" / f"images_{part}.txt", names)
    for kind, lines in rows.items():
        _list(root / f"{kind}_attributes.csv", [f"filename,group,{','.join(ATTRIBUTES)}", *lines])
    return root


def _list(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _frames(generator: np.random.Generator, look: tuple[int, int], action: int) -> Iterator[np.ndarray]:
    width, height = SIDE
    background = generator.integers(60, 120, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    tall, colour = (120, 60)[look[0]], ((40, 60, 200), (200, 40, 40))[look[1]]
    for time_ in range(FRAMES):
        frame = background.copy()
        x, y = (60 + 2 * time_, 60) if action == 0 else (140, 60 + int(40 * np.sin(time_ / 4)))
        frame[y : y + tall, x : x + 40] = colour
        yield frame
