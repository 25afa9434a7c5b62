"""How fast `anonymize` is beside deface, whole commands in turn: `python -m tests.benchmarks.beside_deface [--frames 200]`.

Both get the same 720p video in H.264 (a picture that moves; faces, which deface blurs, it has none) and write one in H.264,
each with the threads that it takes by itself. deface (ORB-HD/deface, of the extra `attackers`) finds faces by CenterFace
through onnxruntime, at the size of the video.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import av
import numpy as np
import onnx
import torch

from analysis.deploy.anonymizers import read_stored
from analysis.deploy.export import checked_onnx
from search_spaces.profiles import PROFILES
from tests.benchmarks.speed import processor
from tests.support.tiny_onnx import write_onnx
from trainables.config import TrialConfig, with_values
from trainables.models.anonymizers import build_anonymizer

HEIGHT, WIDTH = 720, 1280
DEFACE = "deface"
ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        narrow, same = _narrow(folder / "narrow.onnx"), write_onnx(folder / "same.onnx")
        ways = {
            DEFACE: [str(Path(sys.executable).with_name("deface")), "{source}", "--output", "{output}"],
            "narrow UNet++ at 720p, `--size native`": _ours(narrow, "native"),
            "narrow UNet++ at 112 x 112, scaled up": _ours(narrow, "112x112"),
            "a network that changes nothing": _ours(same, "native"),
        }
        long = _write(folder / "long.mp4", given.frames)
        rates = _seconds(ways, long, given.rounds)
        starts = _seconds(ways, _write(folder / "one.mp4", 1), given.rounds)
    print(f"{given.frames} frames of {WIDTH} x {HEIGHT}, {processor()}, {os.cpu_count()} cores\n")
    print("| command | frames/s | times deface | a video of one frame |\n|---|---|---|---|")
    for way in ways:
        ratio = statistics.median(base / own for base, own in zip(rates[DEFACE], rates[way], strict=True))
        rate, start = given.frames / statistics.median(rates[way]), statistics.median(starts[way])
        print(f"| {way} | {rate:.1f} | {ratio:.2f} | {start:.1f} s |")


def _ours(model: Path, size: str) -> list[str]:
    return [sys.executable, "-m", "analysis", "anonymize", "{source}", "{output}", "--model", str(model), "--size", size]


def _seconds(ways: Mapping[str, Sequence[str]], source: Path, rounds: int) -> dict[str, list[float]]:
    """How long each command takes in each round, in seconds by the clock."""
    found: dict[str, list[float]] = {way: [] for way in ways}
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    for _ in range(rounds):
        for way, command in ways.items():
            output = source.with_name("out.mp4")
            output.unlink(missing_ok=True)
            start = time.monotonic()
            subprocess.run(
                [word.format(source=source, output=output) for word in command],
                cwd=ROOT,
                env=environment,
                check=True,
                capture_output=True,
            )
            found[way].append(time.monotonic() - start)
            with av.open(str(source)) as asked, av.open(str(output)) as made:
                wanted, frames = (sum(1 for _ in file.decode(video=0)) for file in (asked, made))
            if frames != wanted:
                raise RuntimeError(f"{way} wrote {frames} of {wanted} frames")
    return found


def _narrow(path: Path) -> Path:
    """The narrow anonymizer of the profile `small`, untrained, as ONNX for frames of any size."""
    torch.manual_seed(0)
    config = with_values(TrialConfig(), PROFILES["small"].values).anonymizer
    file = path.with_suffix(".pt")
    torch.save({"config": config.model_dump(mode="json"), "state_dict": build_anonymizer(config).state_dict()}, file)
    model, _ = checked_onnx(read_stored(file))
    onnx.save(model, path)
    return path


def _write(path: Path, frames: int) -> Path:
    """A picture of 1280 x 720 with fine and coarse structure that moves by four pixels a frame, at 25 frames/s."""
    random = np.random.default_rng(0)
    coarse = np.kron(random.integers(0, 200, (HEIGHT // 40, WIDTH // 40, 3)), np.ones((40, 40, 1)))
    picture = (coarse + random.integers(0, 32, (HEIGHT, WIDTH, 1))).astype(np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(picture, 4 * number, 1), "rgb24")))
        container.mux(stream.encode())
    return path


if __name__ == "__main__":
    main()
