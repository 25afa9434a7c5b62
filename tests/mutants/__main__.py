"""Plants one mutant at a time in a copy of the project, runs its tests, and prints how many are killed, area by area."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.listed import Mechanical, Mutant, mechanical, semantic
from tests.support import ROOT

KILLED, LIVED, BROKEN = "killed", "lived", "broken"
_PROCESSOR_SECONDS = 120  # of one process: a mutant that takes longer is killed, because it loops
_SECONDS = 1800.0  # likewise, where it sleeps
_PRELOADED = ("torch", "torch.utils.data", "numpy", "pydantic", "pytest", "hypothesis", "beartype")  # others as tests use them
_OWN = ("tests", "trainables", "analysis", "search_spaces", "study", "conftest", "__main__", "_pytest", "pytest_timeout")
AnyMutant = Mutant | Mechanical


@dataclass(frozen=True)
class Trial:
    """A mutant that is being tried in a tree of its own."""

    mutant: AnyMutant
    tree: Path
    started: float
    unchanged: str


def copied(folder: Path, number: int) -> Path:
    """A copy of the project's files, as git knows them."""
    tree = folder / f"tree{number}"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    # checked by content: a mutated file is compiled anew, all others are not
    compile_all = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "."]
    subprocess.run(compile_all, cwd=tree, check=True)
    return tree


def run_tests(tree: Path, tests: Sequence[str], log: Path, imported: Path, planted: bool) -> int:
    """In the forked process: the exit code of pytest on these tests of the tree; `imported` gets the names of modules.

    With a mutant planted the first failure is the last, and the time is limited.
    """
    os.setsid()
    if planted:
        resource.setrlimit(resource.RLIMIT_CPU, (_PROCESSOR_SECONDS, _PROCESSOR_SECONDS + 5))
    os.chdir(tree)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    for name in [name for name in sys.modules if name.startswith(_OWN[:5])]:
        del sys.modules[name]
    sys.path[:] = [str(tree), *(part for part in sys.path if part not in ("", str(ROOT), str(tree)))]
    os.environ |= {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    import pytest

    options = ["-p", "no:cacheprovider", "-p", "no:xdist", "--basetemp", f"{tree}.tmp", *(["-x"] if planted else [])]
    code = int(pytest.main([*options, *tests]))
    imported.write_text("\n".join(name for name in sys.modules if not name.startswith(_OWN)))
    return code


def preload(names: Iterable[str]) -> None:
    """Imports here, once, what tests import: a forked process has it then."""
    for name in names:
        if name not in sys.modules:
            with contextlib.suppress(Exception), contextlib.redirect_stderr(None):
                __import__(name)


def started(tree: Path, tests: Sequence[str], log: Path, imported: Path, planted: bool = True) -> int:
    """Starts the tests in a process of their own, see `run_tests`; the number of that process."""
    child = os.fork()
    if child == 0:
        code = 3
        try:
            code = run_tests(tree, tests, log, imported, planted)
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            os._exit(code)
    return child


def unsound(tests: Iterable[str], tree: Path, log: Path, imported: Path) -> set[str]:
    """Those of the tests that fail, or are not there, without any mutant: they would count as killing every one.

    Raises SystemExit where pytest itself breaks off.
    """
    named, gone = set(tests), {""}
    found: set[str] = set()
    while gone:  # where one test is not there pytest runs none
        named -= gone
        _, status = os.waitpid(started(tree, sorted(named), log, imported, planted=False), 0)
        code, said = os.waitstatus_to_exitcode(status), log.read_text().splitlines()
        lost = (line.removeprefix("ERROR: not found: ") for line in said if line.startswith("ERROR: not found: "))
        gone = {name.removeprefix(f"{tree.resolve()}/") for name in lost}
        found |= gone
    if code not in (0, 1):
        raise SystemExit(f"the tests break off without a mutant: see {log}")
    failed = [line.partition(" ")[2].partition(" - ")[0] for line in said if line.startswith(("FAILED ", "ERROR "))]
    return found | {test for test in named for name in failed if name == test or name.startswith(_within(test))}


def _within(test: str) -> tuple[str, ...]:
    """How the names begin of what belongs to a folder, a file, or a test with parameters."""
    return f"{test}/", f"{test}::", f"{test}["


def verdict(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return LIVED
    return BROKEN if code == 5 else KILLED  # nothing was collected; where the code cannot even be imported it is 4


def key_of(mutant: AnyMutant) -> str:
    """Changes with the mutated file and with the tests, so that what is unchanged is not tried again."""
    files = sorted({test.partition("::")[0] for test in mutant.tests})
    contents = [(ROOT / file).read_text() for file in files if (ROOT / file).is_file()]
    known = [mutant.name, mutant.source(), *mutant.tests, *contents]
    return hashlib.sha256("\0".join(known).encode()).hexdigest()[:16]


def try_all(mutants: Sequence[AnyMutant], storage: Path, jobs: int) -> dict[str, str]:
    """The verdict on each mutant by name; those of an earlier call that still hold are read from the storage."""
    results, logs = storage / "results.jsonl", storage / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    known = (
        {row["key"]: row["verdict"] for row in map(json.loads, results.read_text().splitlines())} if results.exists() else {}
    )
    keys = {mutant.name: key_of(mutant) for mutant in mutants}
    todo = [mutant for mutant in mutants if keys[mutant.name] not in known]
    print(f"{len(mutants)} mutants, {len(todo)} to be tried", flush=True)
    if todo:
        preload(_PRELOADED)
        with tempfile.TemporaryDirectory() as folder:
            imported = Path(folder) / "imported.txt"
            free = [copied(Path(folder), number) for number in range(jobs)]
            bad = unsound((test for mutant in todo for test in mutant.tests), free[0], logs / "unchanged.txt", imported)
            for mutant in [mutant for mutant in todo if not bad.isdisjoint(mutant.tests)]:
                todo.remove(mutant)
                known[keys[mutant.name]] = BROKEN  # not for the next call
                print(f"{BROKEN:7}          {mutant.area}: {mutant.name}: its tests fail without it", flush=True)
            running: dict[int, Trial] = {}
            while todo or running:
                if todo and free:
                    preload(imported.read_text().splitlines() if imported.exists() else ())
                    mutant, tree = todo.pop(0), free.pop()
                    trial = Trial(mutant, tree, time.monotonic(), (tree / mutant.file).read_text())
                    (tree / mutant.file).write_text(mutant.source(tree))
                    running[started(tree, mutant.tests, logs / f"{keys[mutant.name]}.txt", imported)] = trial
                    continue
                child, status = os.waitpid(-1, os.WNOHANG)
                if child == 0:
                    for number, trial in running.items():
                        if time.monotonic() - trial.started > _SECONDS:
                            os.killpg(number, signal.SIGKILL)
                    time.sleep(0.05)
                    continue
                if child not in running:
                    continue
                trial = running.pop(child)
                (trial.tree / trial.mutant.file).write_text(trial.unchanged)
                free.append(trial.tree)
                key, seconds = keys[trial.mutant.name], time.monotonic() - trial.started
                known[key] = verdict(status)
                row = {"key": key, "name": trial.mutant.name, "verdict": known[key], "seconds": round(seconds, 1)}
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(f"{row['verdict']:7} {seconds:5.0f} s  {trial.mutant.area}: {trial.mutant.name}", flush=True)
    return {name: known[key] for name, key in keys.items()}


def table(mutants: Sequence[AnyMutant], verdicts: dict[str, str]) -> str:
    """Killed and lived, area by area, then those that live with the reason. 100 % are all of them: shares are rounded down."""
    areas: dict[str, list[str]] = defaultdict(list)
    for mutant in mutants:
        areas[mutant.area].append(verdicts[mutant.name])
    areas["all"] = list(verdicts.values())
    lines = ["| area | mutants | killed | % |", "|---|---|---|---|"]
    for area, found in areas.items():
        killed = found.count(KILLED)
        lines.append(f"| {area} | {len(found)} | {killed} | {100 * killed // len(found)} % |")
    living = [mutant for mutant in mutants if verdicts[mutant.name] != KILLED]
    lines += ["", *(f"{verdicts[one.name]}: {one.area}: {one.name}: {one.lives or 'no reason is given'}" for one in living)]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--storage", type=Path, default=Path("mutants"), help="where results are kept, to go on from")
    parser.add_argument("--kind", choices=("semantic", "mechanical", "all"), default="all")
    parser.add_argument("--only", default="", help="an area, or how names begin")
    parser.add_argument("--share", type=float, default=1.0, help="of the sample of mechanical mutants")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at once")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    mutants: list[AnyMutant] = []
    if options.kind != "mechanical":
        mutants += semantic()
    if options.kind != "semantic":
        mutants += mechanical(options.share)
    if options.only:
        mutants = [one for one in mutants if one.area == options.only or one.name.startswith(options.only)]
    verdicts = try_all(mutants, options.storage.resolve(), options.jobs)
    print(table(mutants, verdicts))
    unexplained = [one for one in mutants if verdicts[one.name] != KILLED and not one.lives]
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
