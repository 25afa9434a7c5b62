"""One whole trial of the `paper` profile on this machine: every stage, its seconds and the memory it took at most.

    python -m tests.benchmarks.paper_size --storage DIR      # runs again where it stopped; 20 minutes and 8 GiB on 2 cores

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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.handful import make_data

ROOT = Path(__file__).resolve().parents[2]
SPACE = "tests/benchmarks/paper_size_space.py"
GIB = 2**30


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
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": uri, "RAY_raylet_start_wait_time_s": "600"}
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
    for table, names in TABLES.items():
        for network in names:
            call = f"from tests.benchmarks.paper_size import *; print(json.dumps(classifier_row({table!r}, {network!r})))"
            output = subprocess.run([sys.executable, "-c", call], cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE)
            rows.append((f"{network} ({table}), forward and backward, one clip", 1, *json.loads(output.stdout)))
    lines = ["| stage | times | seconds | GiB at most |", "|---|---|---|---|"]
    lines += [f"| {name} | {count} | {seconds:.0f} | {float(memory):.1f} |" for name, count, seconds, memory in rows]
    print("\n".join(lines))
    return 0


TABLES = {
    "Table 5": ("r3d_18", "r2plus1d_18", "mvit_v2_s", "i3d_r50", "c3d"),
    "Tables 7, 8": ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
}


def classifier_row(table: str, name: str) -> tuple[float, float]:
    """Seconds of a forward and a backward pass of a classifier for one clip of the paper's size, and GiB at most."""
    import torch

    from tests.support.memory import bytes_taken
    from trainables.config import NetworkConfig, TrialConfig
    from trainables.models.action import build_action_classifier
    from trainables.models.privacy import build_privacy_classifier

    clip = TrialConfig().clip
    frames = torch.rand(1, clip.frames, 3, clip.size, clip.size)
    of_clips, seconds = table == "Table 5", [0.0]

    def passes() -> None:
        network = NetworkConfig(name=name)
        built = build_action_classifier(network, 101, clip) if of_clips else build_privacy_classifier(network, 7)
        start = time.perf_counter()
        built.train()(frames if of_clips else frames[0]).square().mean().backward()
        seconds[0] = time.perf_counter() - start
        if not all(value.grad is not None and bool(value.grad.isfinite().all()) for value in built.parameters()):
            raise ArithmeticError(f"{name}: a parameter without a finite gradient")

    memory = bytes_taken(passes)
    return seconds[0], memory / GIB


def _run_id(uri: str) -> str:
    from analysis.read.study import read_study

    trials: Any = read_study("paper_size", "paper", uri).trials
    return str(trials.index[0])


if __name__ == "__main__":
    sys.exit(main())
