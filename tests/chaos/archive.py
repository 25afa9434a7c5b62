"""A folder of videos that is anonymized on a cluster under faults, and looked at when all is done."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import archive_plugin
import psutil
from chaos import Attempt, ChaosResult, folder_of_a_run, table_of
from cluster import ROOT, Cluster
from faults import (
    Fault,
    Scene,
    cut_off_node,
    fill_storage,
    kill_driver,
    kill_head,
    kill_node,
    kill_trial,
    pause_node,
    signal_group,
    stop_job,
    terminate_node,
    terminate_trial,
)
from ray.job_submission import JobStatus

from analysis.__main__ import main as analysis
from analysis.deploy.record import path_of
from tests.support.tiny_onnx import write_onnx
from tests.support.videos import frame_times, moving_noise, read_video, write_video

FULL_SECONDS = 10.0
LOST_SECONDS = 90.0  # that nodes of a lost head are given to end, before the command is given for the last time
OUTPUT = "anonymized"


@dataclass(frozen=True)
class Video:
    """An output: its frames as bytes, their times in seconds, and its record as text; empty where there is none."""

    frames: bytes
    times: Sequence[float]
    record: str

    @staticmethod
    def read(path: Path) -> Video:
        record = path_of(path)
        return Video(read_video(path).tobytes(), frame_times(path), record.read_text() if record.exists() else "")


@dataclass(frozen=True)
class Step:
    """A line of the journal: a process has `begun` to look at a video, or has `made` it."""

    what: str
    name: str
    process: int


@dataclass(frozen=True)
class Left:
    """What a chaos run of an archive has left behind.

    names: all files of the output, hidden ones too. videos: those that could be read. stamps: name -> inode and time of change,
    in ns, of each file. before, steps_before: the stamps, and how many steps there were, when all was done and the command was
    about to be given once more. ended: how that last command ended.
    """

    names: Sequence[str]
    videos: Mapping[str, Video]
    steps: Sequence[Step]
    stamps: Mapping[str, tuple[int, int]]
    before: Mapping[str, tuple[int, int]]
    steps_before: int
    ended: str


@dataclass(frozen=True)
class ChaosArchive:
    """A folder of videos, a model, and what the same command without Ray and without faults makes of them, by name."""

    folder: Path
    model: Path
    expected: Mapping[str, Video]

    @staticmethod
    def of(videos: int, folder: Path, frames: int = 60) -> ChaosArchive:
        """Makes so many videos of about so many frames in `folder`, and runs the reference there."""
        (folder / "videos").mkdir(parents=True)
        for number in range(videos):
            write_video(folder / "videos" / f"{number:03d}.mkv", moving_noise(frames - number % 7, 24, 32))
        made = ChaosArchive(folder / "videos", write_onnx(folder / "model.onnx", 0.5), {})
        with contextlib.redirect_stdout(io.StringIO()):
            assert analysis(made.arguments(folder / "reference")) == 0
        expected = {path.name: Video.read(path) for path in sorted((folder / "reference").glob("*.mkv"))}
        return ChaosArchive(made.folder, made.model, expected)

    def arguments(self, output: Path) -> list[str]:
        """Of `python -m analysis`."""
        given = ["anonymize", str(self.folder), str(output), "--model", str(self.model)]
        return [*given, "--codec", "ffv1", "--batch", "1"]

    def command(self, output: Path) -> str:
        plugin = str(Path(archive_plugin.__file__).relative_to(ROOT))
        return shlex.join(["python", "-m", "analysis", *self.arguments(output), "--plugin", plugin, "--ray"])


class ArchiveCluster(Cluster):
    """A cluster without MLflow. Its trials are the processes that write a video."""

    def start_mlflow(self) -> None:
        """There is nothing to record."""

    def trial_processes(self) -> list[psutil.Process]:
        return [process for node in self.workers for process in node.processes() if self._writes(process)]

    @staticmethod
    def is_driver(command: list[str]) -> bool:
        return command[1:4] == ["-m", "analysis", "anonymize"]

    def _writes(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):  # it has just ended
            folder = self.storage / OUTPUT
            return any(Path(file.path).parent == folder for file in process.open_files())
        return False


class _ArchiveAttempt(Attempt):
    """The user of an archive: when all is done, the command is given once more, which must change nothing."""

    def __init__(self, cluster: Cluster, archive: ChaosArchive, base: Path, start: float) -> None:
        self.output = cluster.storage / OUTPUT
        super().__init__(cluster, archive.command(self.output), base, start)
        self._archive, self._since = archive, 0.0
        self.before: tuple[Mapping[str, tuple[int, int]], int] | None = None

    def left(self) -> Left:
        names = sorted(str(path.relative_to(self.output)) for path in self.output.rglob("*") if path.is_file())
        videos = {}
        for name in names:
            with contextlib.suppress(OSError, ValueError):  # PyAV's errors are among them
                videos[name] = Video.read(self.output / name)
        before, count = self.before or ({}, 0)
        return Left(names, videos, steps(self._base), self._stamps(), before, count, str(self.status))

    def _complete(self) -> bool:
        return self._share() == 1.0

    def _share(self) -> float:
        """Of all videos, those that are there with their records."""
        found = [self.output / name for name in self._archive.expected]
        return sum(path.exists() and path_of(path).exists() for path in found) / len(found)

    def _waits(self, scene: Scene) -> bool:
        """Until everything is repaired and nothing is left of a head that was lost: what follows is an undisturbed command."""
        self._since = self._since or time.monotonic()
        return bool(scene.later) or (self._cluster.lost_ones_live() and time.monotonic() - self._since < LOST_SECONDS)

    def _once_more(self) -> bool:
        if self.before is not None:
            return False
        self.before = self._stamps(), len(steps(self._base))
        return True

    def _stamps(self) -> dict[str, tuple[int, int]]:
        found = {}
        for path in self.output.glob("[!.]*"):
            status = path.stat()
            found[path.name] = (status.st_ino, status.st_mtime_ns)
        return found


def run_archive(
    archive: ChaosArchive, faults: Sequence[Fault], seed: int, isolated: bool, keep: Path | None = None, workers: int = 2
) -> ChaosResult:
    """Anonymizes the archive once on `workers` nodes, with `faults` in their order, spread over its progress; `seed` chooses
    what each hits.
    """
    with folder_of_a_run(keep) as base:
        start = time.monotonic()
        (base / "full").mkdir()
        with ArchiveCluster(base, workers, isolated=isolated, environment={archive_plugin.FOLDER: str(base)}) as cluster:
            attempt = _ArchiveAttempt(cluster, archive, base, start)
            scene = Scene(cluster, base, random.Random(seed), attempt.stop, attempt.told)
            injected = attempt.run(scene, faults)
            found = archive_violations(archive.expected, attempt.left())
            return ChaosResult(injected, attempt.submissions, time.monotonic() - start, (), found)


def archive_violations(expected: Mapping[str, Video], left: Left) -> dict[str, list[str]]:
    """Invariant -> what violates it, for all invariants."""
    records = {str(path_of(Path(name))) for name in expected}
    there = [name for name in left.names if not name.startswith(".")]
    checks = {
        "videos missing": (name for name in expected if name not in left.videos),
        "records missing": sorted(records - set(left.names)),
        "files too many": (name for name in there if name not in expected and name not in records),
        "frames or times differ": (name for name, video in left.videos.items() if _differs(expected.get(name), video)),
        "records differ": (
            name for name, video in left.videos.items() if name in expected and video.record not in ("", expected[name].record)
        ),
        "unfinished files left": (name for name in left.names if name.startswith(".")),
        "made again": _made_again(left.steps),
        "changed by a rerun": _changed(left),
        "ended otherwise": [] if left.ended == JobStatus.SUCCEEDED else [left.ended],
    }
    return {name: list(found) for name, found in checks.items()}


def archive_table(results: Mapping[str, ChaosResult], archive: ChaosArchive) -> str:
    """A column for each run, as Markdown."""
    return table_of(results, [("videos", [len(archive.expected)] * len(results))])


def steps(base: Path) -> list[Step]:
    """The journal of a run."""
    path = base / "journal"
    return [Step(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def _differs(expected: Video | None, video: Video) -> bool:
    return expected is not None and (video.frames, video.times) != (expected.frames, expected.times)


def _made_again(steps: Sequence[Step]) -> Iterator[str]:
    """Videos that were made by a process which began with them when they had been made already. A worker that was taken for
    dead may end beside the one that took its place.
    """
    made: set[str] = set()
    late: set[tuple[int, str]] = set()
    for step in steps:
        this = (step.process, step.name)
        if step.what == "begun":
            late.discard(this)
            if step.name in made:
                late.add(this)
            continue
        if this in late:
            yield f"{step.name} by {step.process}"
        made.add(step.name)


def _changed(left: Left) -> Iterator[str]:
    names = sorted({*left.before, *left.stamps})
    yield from (name for name in names if left.before.get(name) != left.stamps.get(name))
    yield from (f"{step.name} was made" for step in left.steps[left.steps_before :] if step.what == "made")


def fill_node(scene: Scene) -> str:
    """The disk of one node that writes a video is full for a while."""
    busy = {process.pid for process in scene.cluster.trial_processes()}
    found = [node for node in scene.cluster.workers if busy & {process.pid for process in node.processes()}]
    if not found:
        return ""
    flag = scene.data_root / "full" / scene.choice.choice(found).name
    flag.touch()
    scene.after(FULL_SECONDS, flag.unlink)
    return f"{flag.name} {FULL_SECONDS:g} s"


EVERYWHERE: tuple[Fault, ...] = (
    *(kill_trial, terminate_trial, kill_node, terminate_node, pause_node, fill_node),
    *(kill_driver, signal_group, stop_job, kill_head),
)
ISOLATED: tuple[Fault, ...] = (fill_storage, cut_off_node)
