"""What it costs to know what is in the files of a data set: parts of each, or all of it (`data.contents`).

    python -m tests.benchmarks.contents [--files 13320] [--kib 100] [--folder DIR]

Makes as many files as UCF101 has, small ones (its own have 490 KiB on average), in a folder that is deleted afterwards, and
prints the seconds each hash takes: once right after the system was asked to forget the files, so that they come from the disk,
and once more while they are in memory. Each is done once in every process that plans or runs trials.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trainables.data.contents import contents_of


def make(folder: Path, count: int, size: int) -> list[Path]:
    """Writes files of noise, a thousand to a folder."""
    content = bytearray(np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8).tobytes())
    paths = []
    for number in range(count):
        path = folder / str(number // 1000) / f"{number}.avi"
        path.parent.mkdir(exist_ok=True)
        content[:8] = number.to_bytes(8)
        path.write_bytes(content)
        paths.append(path)
    return paths


def forget(paths: Sequence[Path]) -> None:
    """Asks the system to give up the pages of these files, so that they are read from the disk again."""
    os.sync()
    for path in paths:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def seconds(paths: Sequence[Path], whole: bool) -> tuple[float, float]:
    """Of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    contents_of(paths, whole)
    return time.perf_counter() - clock, time.process_time() - processor


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=13_320, help="how many (default: %(default)s)")
    parser.add_argument("--kib", type=int, default=100, help="KiB of each (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to make them (default: the folder for temporary files)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        paths = make(Path(folder), options.files, options.kib * 2**10)
        print(f"| {options.files:,} files of {options.kib} KiB | from the disk | in memory | of the processor |")
        print("|---|---|---|---|")
        for name, whole in (("parts", False), ("whole", True)):
            forget(paths)
            cold, _ = seconds(paths, whole)
            for path in paths if not whole else ():  # so that this process knows none of them
                os.utime(path)
            warm, processor = seconds(paths, whole)
            print(f"| `data.contents={name}` | {cold:.1f} s | {warm:.1f} s | {processor:.1f} s |", flush=True)


if __name__ == "__main__":
    main()
