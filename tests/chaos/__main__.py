"""Chaos: `python tests/chaos` runs a small study on a real cluster of one machine while things die, and says what was lost.

    python tests/chaos [--stop-early | --archive] [--seeds 0,1,2] [--faults kill_trial,kill_node,...] [--scale 2] [--keep DIR]

Each seed is one study with every fault once, in an order and on victims that the seed chooses, besides one without faults.
Afterwards the records, the storage and a journal of all that was computed are compared with the same trials run by the
pipeline alone. Ends with 1 if an invariant is violated. With --stop-early trials that cannot win end early, and the study is
submitted once more when all is done, which must change nothing. With --archive it is no study but a folder of videos that is
anonymized, compared with the same command without faults and without Ray.

Where the machine allows it (`unshare`), everything runs in namespaces of its own: each node has its own network and host
name, nothing of it can be reached from outside, and nothing of it stays. Elsewhere two faults are left out, which is said.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from namespaces import ISOLATE

MARK = "CHAOS_ISOLATED"
# The shell stays as the first process of its namespace, and takes up who has lost its parent. /run is for `ip netns`.
PREPARE = 'ip link set lo up && mount -t tmpfs run /run && mkdir /run/netns && "$0" "$@"; exit $?'


def main() -> int:
    options = _options()
    isolated = MARK in os.environ
    if not isolated and _can_isolate():
        os.environ[MARK] = "1"
        os.execvp(ISOLATE[0], [*ISOLATE, "sh", "-c", PREPARE, sys.executable, *sys.argv])
    from chaos import ChaosResult

    if options.archive:
        from archive import EVERYWHERE, ISOLATED
    else:
        from faults import EVERYWHERE, ISOLATED

    faults = [*EVERYWHERE, *(ISOLATED if isolated else ())]
    if not isolated:
        print(f"no namespaces on this machine: without {' and '.join(fault.__name__ for fault in ISOLATED)}")
    if options.faults is not None:
        wanted = options.faults.split(",")
        if unknown := set(wanted) - {fault.__name__ for fault in faults}:
            raise SystemExit(f"--faults {unknown.pop()}: there are {', '.join(fault.__name__ for fault in faults)}")
        faults = [fault for name in wanted for fault in faults if fault.__name__ == name]
    with tempfile.TemporaryDirectory(prefix="chaos") as folder:
        run, table = (_archive if options.archive else _study)(options, Path(folder))
        results: dict[str, ChaosResult] = {}
        for seed in (*((None,) if options.faults is None else ()), *options.seeds):
            chosen = list(faults) if seed is not None else []
            if options.faults is None:
                random.Random(seed).shuffle(chosen)
            name = "undisturbed" if seed is None else f"seed {seed}"
            print(f"{name}: {', '.join(fault.__name__ for fault in chosen)}", flush=True)
            keep = None if options.keep is None else options.keep / name.replace(" ", "")
            results[name] = run(chosen, seed or 0, isolated, keep)
            print(f"{name}: {sum(map(len, results[name].found.values()))} violations", flush=True)
    print(table(results))
    bad = [(name, check, what) for name, result in results.items() for check in result.found for what in result.found[check]]
    if options.stop_early:
        from chaos import stopped

        bad += [(name, "nobody was stopped early", "nothing was tried out") for name in results if not stopped(results[name])]
    for name, check, what in bad:
        print(f"{name}: {check}: {what}")
    return 1 if bad else 0


def _study(options: argparse.Namespace, folder: Path) -> tuple[Callable[..., Any], Callable[[Any], str]]:
    """What runs a study under faults, and what makes a table of the results."""
    from chaos import ChaosStudy, run_chaos, table
    from chaos_space import EARLY, SETTINGS

    settings = {key: value * options.scale if "epochs" in key else value for key, value in SETTINGS.items()}
    study = ChaosStudy.of(2, settings, folder, EARLY if options.stop_early else "chaos")
    return partial(run_chaos, study), lambda results: table(results, study.expected)


def _archive(options: argparse.Namespace, folder: Path) -> tuple[Callable[..., Any], Callable[[Any], str]]:
    """The same of a folder of videos."""
    from archive import ChaosArchive, archive_table, run_archive

    archive = ChaosArchive.of(20 * options.scale, folder)
    return partial(run_archive, archive), lambda results: archive_table(results, archive)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2], help="which (default: 0,1,2)")
    parser.add_argument("--faults", help="only these, in this order, and no undisturbed study")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--stop-early", action="store_true", help="trials that cannot win end early")
    kinds.add_argument("--archive", action="store_true", help="a folder of videos in place of a study")
    parser.add_argument(
        "--scale", type=int, default=2, help="how many times the epochs of chaos_space.py, or 20 videos (default: 2)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where to keep logs, journal and records")
    return parser.parse_args()


def _can_isolate() -> bool:
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        return False
    return subprocess.run([*ISOLATE, "sh", "-c", PREPARE, "true"], capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
