"""How long it takes to bring data of one's own to a study: four folders as people have them, and the commands of the README.

    python -m tests.benchmarks.own_data [--clips DIR] [--name folders] [--ways 1,2,3,4] [--most 120] [--out own_data.md]

`--clips` is a data root whose clips carry private labels (`--name`: its data set), by default the one that the variable
ANONYMIZATION_DATA_ROOT names; without either, clips are generated. Of them it makes class folders, one table, whole videos with
a table of Kinetics, and folders of JPEG frames; then for each it runs `init`, `check`, `--dry-run` and a study of four trials
with one or two epochs a stage, and prints a table of the seconds they took.
"""

from __future__ import annotations

import argparse
import csv
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from tests.support.videos import write_video
from trainables.config import DATA_ROOT_VARIABLE, ActionData
from trainables.data.generated import GeneratedSpec, ensure
from trainables.data.items import digest_of
from trainables.data.reading import VideoFile
from trainables.data.registry import load_videos

ROOT = Path(__file__).resolve().parents[2]
RATE = 25
EPOCHS = {"reconstruct": 1, "warm_up": 1, "minimax": 1, "evaluate_action": 2, "evaluate_privacy": 2}
STEPS = ("init", "check", "dry run", "study")


@dataclass(frozen=True)
class Clip:
    """A clip with the class, the source and a word for who is in it."""

    path: Path
    label: str
    source: str
    who: str


def clips_of(root: Path, name: str, most: int) -> list[Clip]:
    """About `most` clips of a data set, of whole sources evenly from all of it.

    `who` is the one attribute that a clip has, or the value of the first attribute.
    """
    splits = load_videos(ActionData(name=name), root)
    videos = sorted((*splits.train, *splits.validation, *splits.test), key=lambda video: video.name)
    one = all(sum(video.attributes or ()) == 1 for video in videos)
    sources = sorted({video.group for video in videos}, key=digest_of)
    chosen = set(sources[:: -(-len(videos) // most)])
    found = []
    for video in (video for video in videos if video.group in chosen):
        values = video.attributes or (0.0,)
        who = splits.attributes[values.index(1.0)] if one else ("no", "yes")[int(values[0])]
        found.append(Clip(video.path, splits.classes[video.label], video.group.replace("/", "-"), who))
    return found


def class_folders(root: Path, clips: Sequence[Clip]) -> list[str]:
    for number, clip in enumerate(clips):
        place = root / clip.label / clip.source
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, place / f"{number:03}_{clip.who}{clip.path.suffix}")
    return ["--attribute", r"who=\d_([^/]+)\.\w+$"]


def one_table(root: Path, clips: Sequence[Clip]) -> list[str]:
    for number, clip in enumerate(clips):
        shutil.copy(clip.path, root / f"{number:03}{clip.path.suffix}")
    rows = [(f"{n:03}{clip.path.suffix}", clip.label, clip.source, clip.who) for n, clip in enumerate(clips)]
    return _table(root / "mine.csv", ("path", "label", "person", "who"), rows)


def times_in_videos(root: Path, clips: Sequence[Clip]) -> list[str]:
    by_source: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_source[clip.source].append(clip)
    rows = []
    for number, source in enumerate(by_source.values()):
        parts = [_frames(clip) for clip in source]
        ends = np.cumsum([0, *map(len, parts)]) / RATE
        write_video(root / f"id{number:03}.mp4", np.concatenate(parts), codec="libx264", rate=RATE)
        rows += [
            (clip.label, f"id{number:03}", f"{start:g}", f"{end:g}", clip.who)
            for clip, (start, end) in zip(source, pairwise(ends), strict=True)
        ]
    return _table(root / "mine.csv", ("label", "youtube_id", "time_start", "time_end", "who"), rows)


def folders_of_frames(root: Path, clips: Sequence[Clip]) -> list[str]:
    for number, clip in enumerate(clips):
        place = root / clip.label / clip.source / f"{number:03}_{clip.who}"
        place.mkdir(parents=True)
        for frame, picture in enumerate(_frames(clip), 1):
            Image.fromarray(picture).save(place / f"img_{frame:05}.jpg", quality=95)
    return ["--attribute", r"who=\d_([^/]+)$"]


Way = Callable[[Path, Sequence[Clip]], list[str]]
WAYS: dict[str, Way] = {
    "class folders of videos": class_folders,
    "one table of path, label, person and attribute": one_table,
    "whole videos and a table of times, as of Kinetics": times_in_videos,
    "folders of JPEG frames": folders_of_frames,
}


def _frames(clip: Clip) -> np.ndarray:
    video = VideoFile(clip.path)
    return video.frames(range(len(video)))


def _table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return ["--csv", str(path)]


def commands(root: Path, init: Sequence[str]) -> list[list[str]]:
    """The commands of one way, in the order of STEPS."""
    data = [sys.executable, "-m", "trainables.data"]
    names = {"data.action.name": "clips", "data.privacy.name": "frames_of_clips"}
    values = names | {f"{stage}.epochs": str(epochs) for stage, epochs in EPOCHS.items()}
    study = [sys.executable, "study/run.py", "--space", "tradeoff", "--profile", "small", "--attacks", "none"]
    study += ["--data-root", str(root), "--storage", f"{root}-results"]
    study += [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    return [[*data, "init", str(root), *init], [*data, "check", str(root), "--only", "clips"], [*study, "--dry-run"], study]


def measured(way: Way, clips: Sequence[Clip], folder: Path) -> list[float]:
    """The seconds that each command of one way took. Raises RuntimeError with what it said where one fails."""
    root = folder / way.__name__
    root.mkdir()
    seconds = []
    for command in commands(root, way(root, clips)):
        print(f"$ {shlex.join(['python', *command[1:]])}", file=sys.stderr)
        start = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - start)
        print(done.stdout[-2000:] if len(seconds) < len(STEPS) else "", file=sys.stderr)
        if done.returncode:
            raise RuntimeError(f"{shlex.join(command)} ends with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return seconds


def table(rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    lines = [f"| what is there | {' | '.join(f'`{step}`' for step in STEPS)} | together |", "|---" * (len(STEPS) + 2) + "|"]
    for name, seconds in rows:
        lines.append(f"| {name} | {' | '.join(f'{value:.0f} s' for value in (*seconds, sum(seconds)))} |")
    return "\n".join(lines)


def _generated(folder: Path) -> Path:
    return ensure(folder / "generated", GeneratedSpec(train_clips=90, test_clips=30, train_images=2))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    given = os.environ.get(DATA_ROOT_VARIABLE)
    parser.add_argument(
        "--clips", type=Path, metavar="DIR", default=given, help="a data root with labelled clips (default: generated ones)"
    )
    parser.add_argument("--name", default="folders", help="the data set under --clips (default: %(default)s)")
    parser.add_argument("--ways", default="1,2,3,4", help="which of the four ways (default: all)")
    parser.add_argument("--most", type=int, default=120, help="clips (default: %(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the table to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        root, name = (Path(options.clips), options.name) if options.clips else (_generated(folder), "ucf101")
        clips = clips_of(root, name, options.most)
        chosen = [list(WAYS.items())[int(number) - 1] for number in options.ways.split(",")]
        load = os.getloadavg()[0]
        found = table([(name, measured(way, clips, folder)) for name, way in chosen])
    found = f"{found}\n\n{len(clips)} clips; {os.cpu_count()} cores, load {load:.1f} before"
    print(found)
    if options.out:
        options.out.write_text(f"{found}\n")


if __name__ == "__main__":
    main()
