"""How fast the parts of a study are, each against what it is to be measured with, side by side in one run.

    python -m tests.benchmarks.speed [--device cuda] [--out speed.json] [--small] [--rows step,loader,...]

Needs PyTorch, what the stages import and PyAV; only the row `study` needs Ray and MLflow as well. On a CPU the networks are
narrow, on a GPU they are the paper's. `--small` is a trial run of everything: its figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.speed_gpu import MORE_ON_GPU
from tests.benchmarks.speed_profile import MORE
from tests.benchmarks.speed_rows import ROWS
from tests.benchmarks.speed_setup import (
    Row,
    sizes,
)
from trainables.data.loader import close_loaders

ON_CPU = ("loader", "study", "export", "flops")  # rows that a GPU changes nothing of
ON_GPU = tuple(MORE_ON_GPU)  # what only a GPU has


def processor() -> str:
    """The name of this machine's processor."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine(device: str) -> dict[str, str]:
    names = ("torch", "torchvision", "timm", "segmentation-models-pytorch", "pytorchvideo", "decord", "av", "numpy")
    versions = {}
    for name in names:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "none"
    gpu = torch.cuda.get_device_name() if device == "cuda" else "none"
    threads = str(torch.get_num_threads())
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    here = {"processor": processor(), "cores": str(os.cpu_count()), "threads": threads, "load before": load, "GPU": gpu}
    return {**here, "python": platform.python_version(), **versions}


def table(rows: Sequence[Row]) -> str:
    lines = ["| what | against | measured | reference | ratio | reach | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        sign = "<=" if row.at_most else ">="
        verdict = "yes" if row.holds else "NO"
        lines.append(
            f"| {row.what} | {row.against} | {row.value:.3g} {row.unit} | {row.reference:.3g} {row.unit} | {row.ratio:.2f}"
            f" | {sign} {row.reach:g} | {verdict} |"
        )
    return "\n".join(lines)


def _figures(notes: Mapping[str, Any]) -> str:
    """Those of a row's notes that are a number or a few."""
    few = {name: value if isinstance(value, list) else [value] for name, value in notes.items() if name != "losses"}
    return "; ".join(f"{name} {', '.join(f'{one:.3g}' for one in values)}" for name, values in few.items())


def _print(content: dict[str, Any], rows: Sequence[Row]) -> None:
    print("\n".join(f"{name}: {value}" for name, value in content["machine"].items()))
    print("\n" + table(rows) if rows else "")
    for row in rows:
        if figures := _figures(row.notes):
            print(f"{row.what}: {figures}")
    for name in ("parts", "roofline", "flops", *MORE_ON_GPU):
        if name in content:
            print(f"\n{name}:\n" + "\n".join(f"  {key}: {value:.3g}" for key, value in content[name].items()))
    for name, points in content.get("curves", {}).items():
        print(f"clips/s by {name}: " + ", ".join(f"{key}: {value:.3g}" for key, value in points.items()))
    for name, why in content["failed"].items():
        print(f"FAILED {name}: {why}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path, help="a file for everything as JSON")
    parser.add_argument("--small", action="store_true", help="a trial run: the figures mean nothing")
    more = {**MORE, **MORE_ON_GPU}
    every = (*ROWS, *more)
    parser.add_argument("--rows", default="", help=f"of {','.join(every)}; default: all, on a GPU all but study")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no GPU here")
    of_device = [name for name in every if name not in (ON_CPU if options.device == "cuda" else ON_GPU)]
    wanted = options.rows.split(",") if options.rows else of_device
    if unknown := set(wanted) - set(every):
        parser.error(f"--rows {unknown.pop()}: there are {', '.join(every)}")
    torch.set_num_threads(1)
    size, rows = sizes(options.device, options.small), []
    failed: dict[str, str] = {}
    content: dict[str, Any] = {"machine": machine(options.device), "small": options.small, "seconds": {}, "failed": failed}
    with tempfile.TemporaryDirectory() as directory:
        for name in wanted:
            folder, start = Path(directory) / name, time.perf_counter()
            folder.mkdir()
            try:
                if name in ROWS:
                    for row in ROWS[name](size, folder):
                        rows.append(row)
                        print(f"{row.what}: {row.ratio:.2f}", file=sys.stderr, flush=True)
                else:
                    content[name] = more[name](size, folder)
            except Exception as error:  # of one row: the others are measured all the same
                failed[name] = f"{type(error).__name__}: {error}"
                print(f"{name}: FAILED, {failed[name]}", file=sys.stderr, flush=True)
            content["seconds"][name] = time.perf_counter() - start
            close_loaders()
            content["rows"] = [{**asdict(row), "holds": row.holds} for row in rows]
            if options.out is not None:  # after each, so that a run that is ended early leaves what it has
                options.out.write_text(json.dumps(content, indent=1) + "\n")
    _print(content, rows)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
