"""What `anonymize FOLDER --ray` costs its driver: `python -m tests.benchmarks.archive [--listed 10000] [--files 200]`.

A folder of so many files is listed, and so many videos are handed to a Ray of this machine; they are empty, so that a task ends
as soon as it begins. In seconds of CPU of the driver, but for those that say otherwise.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from analysis.deploy.archive import ModelFile, on_ray
from analysis.deploy.folder import Done, Job, Work, anonymize_folder
from analysis.deploy.video import VideoOptions
from tests.support.tiny_onnx import write_onnx


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listed", type=int, default=10_000)
    parser.add_argument("--files", type=int, default=200)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        listed, few = _empty(folder / "listed", given.listed), _empty(folder / "few", given.files)
        start = time.process_time()
        timed = _Timed(lambda jobs: (Done(kept=True) for _ in jobs))
        anonymize_folder(listed, folder / "none", timed, lambda line: None)
        print(f"{given.listed:,} files listed and their outputs named: {timed.begun - start:.2f} s")
        wall = time.monotonic()
        model_file = ModelFile(write_onnx(folder / "model.onnx"))
        timed = _Timed(on_ray(folder / "out", model_file, VideoOptions(), "", lambda line: None))
        anonymize_folder(few, folder / "out", timed, lambda line: None)
        cpu, took = (1000 * seconds / max(1, given.files - 1) for seconds in (timed.cpu, timed.wall))
        print(f"on Ray: {timed.first - wall:.1f} s by the clock until the first of {given.files} files ended")
        print(f"then a file: {cpu:.1f} ms of the driver, {took:.1f} ms by the clock")


class _Timed:
    """Work, with when it was begun (CPU), when the first video ended (clock), and what passed from then to the last."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.begun = self.first = self.cpu = self.wall = 0.0

    def __call__(self, jobs: Sequence[Job]) -> Generator[Done]:
        self.begun, cpu = time.process_time(), 0.0
        for number, done in enumerate(self._work(jobs)):
            if number == 0:
                self.first, cpu = time.monotonic(), time.process_time()
            self.cpu, self.wall = time.process_time() - cpu, time.monotonic() - self.first
            yield done


def _empty(folder: Path, count: int) -> Path:
    """A folder of so many empty files, of a kind whose outputs get another name."""
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}.ts").touch()
    return folder


if __name__ == "__main__":
    main()
