"""One whole trial of the `paper` profile on this machine: every stage, its seconds and the memory it took at most.

    python -m tests.benchmarks.paper_size --storage DIR      # runs again where it stopped; half an hour and 8 GiB on 2 cores

It makes a handful of videos of 320 x 240 pixels, runs `study/run.py` on them as on a cluster, with networks and clips of the
paper's size (`paper_size_space.py` says what is smaller), then `analysis evidence` and `analysis export`, and prints a table.
Memory is what the process of the trial holds, looked at five times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from tests.benchmarks.speed_setup import write_video

ROOT = Path(__file__).resolve().parents[2]
SPACE = "tests/benchmarks/paper_size_space.py"
SIDE, FRAMES = (320, 240), 80
CLASSES, ATTRIBUTES = ("walk", "wave"), ("tall", "red")
CLIPS = {"train": 4, "validation": 4, "test": 4}
IMAGES = {"train": 8, "validation": 4, "test": 4}
GIB = 2**30


def make_data(root: Path) -> Path:
    """Videos and images with labels in the layout `folders`: a rectangle whose look is a person's, over noise.

    Of four items in turn one has each pair of attributes; half of the clips show either action.
    """
    generator = np.random.default_rng(0)
    rows = {"clip": [], "image": []}  # type: dict[str, list[str]]
    for part, count in CLIPS.items():
        names = []
        for number in range(count):
            look = (number // 2 % 2, number % 2)
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
            look = (number // 2 % 2, number % 2)
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


@dataclass(frozen=True)
class Watched:
    """The memory of the largest process of a study, in bytes, with the time it was looked at."""

    samples: list[tuple[float, int]]

    def most(self, start: float, end: float) -> int:
        return max((size for moment, size in self.samples if start <= moment <= end), default=0)


def watched(command: Sequence[str], environment: dict[str, str]) -> Watched:
    """Runs a command to its end and watches its processes. Raises CalledProcessError where it fails."""
    found: list[tuple[float, int]] = []
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        over = threading.Event()

        def look() -> None:
            root = psutil.Process(process.pid)
            while not over.wait(0.2):
                sizes = []
                for one in _family(root):
                    try:
                        sizes.append(one.memory_info().rss)
                    except psutil.Error:
                        continue
                if sizes:
                    found.append((time.time(), max(sizes)))

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        code = process.wait()
        over.set()
        thread.join()
    if code:
        raise subprocess.CalledProcessError(code, command)
    return Watched(found)


def _family(root: psutil.Process) -> list[psutil.Process]:
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def stage_rows(storage: Path, seen: Watched) -> list[tuple[str, int, float, float]]:
    """(stage, how often it was computed, seconds, GiB at most) in the order in which they ended."""
    rows: dict[str, list[float]] = {}
    records = sorted((storage / "stages").glob("*/*/record.json"), key=lambda path: path.stat().st_mtime)
    for path in records:
        end, seconds = path.stat().st_mtime, float(json.loads(path.read_text())["seconds"])
        row = rows.setdefault(path.parent.parent.name, [0, 0.0, 0.0])
        row[0] += 1
        row[1] += seconds
        row[2] = max(row[2], seen.most(end - seconds, end) / GIB)
    return [(name, int(count), seconds, memory) for name, (count, seconds, memory) in rows.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storage", type=Path, required=True, help="a folder for data, stages, records and what is exported")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="passed on to study/run.py")
    options = parser.parse_args(arguments)
    storage: Path = options.storage.absolute()
    data = storage / "data"
    if not (data / "image_attributes.csv").is_file():
        make_data(data)
    uri = f"sqlite:///{storage / 'mlflow.db'}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri}
    study = [sys.executable, "study/run.py", "--plugin", SPACE, "--space", "paper_size", "--data-root", str(data)]
    study += ["--storage", str(storage), "--gpus-per-trial", "0", "--cpus-per-trial", str(options.cores)]
    study += [part for value in options.set for part in ("--set", value)]
    seen_file, start = storage / "seen.json", time.time()
    seen = watched(study, environment)
    samples = [*(json.loads(seen_file.read_text()) if seen_file.is_file() else []), *seen.samples]
    seen_file.write_text(json.dumps(samples))
    rows: list[tuple[str, int | str, float, float | str]] = list(stage_rows(storage, Watched([tuple(one) for one in samples])))
    print(f"study: {time.time() - start:.0f} s", file=sys.stderr, flush=True)
    run = _run_id(uri)
    for name, command in (
        ("evidence", ["evidence", "--trial", run, "--out", str(storage / "evidence")]),
        ("export", ["export", "--trial", run, "--format", "onnx", "--out", str(storage / "anonymizer.onnx")]),
    ):
        start = time.time()
        memory = watched([sys.executable, "-m", "analysis", *command], environment)
        rows.append((f"`analysis {name}`", 1, time.time() - start, memory.most(start, time.time()) / GIB))
    lines = ["| stage | times | seconds | GiB at most |", "|---|---|---|---|"]
    lines += [f"| {name} | {count} | {seconds:.0f} | {float(memory):.1f} |" for name, count, seconds, memory in rows]
    print("\n".join(lines))
    return 0


def _run_id(uri: str) -> str:
    from analysis.read.study import read_study

    trials: Any = read_study("paper_size", "paper", uri).trials
    return str(trials["run_id"].iloc[0])


if __name__ == "__main__":
    sys.exit(main())
