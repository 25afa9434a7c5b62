"""Makes the tables and pictures of the READMEs anew, each by the commands that are declared for it.

    python -m tests.figures [NAME ...] [--storage figures] [--list]

Run again, it continues: a figure that was measured by this very code is left alone, and studies find their stages in the
storage. What was measured lies in `tests/figures/measured`, with its commit, day and machine; a test compares it with what the
READMEs show.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.benchmarks.speed import processor
from tests.figures.declared import FIGURES, STORAGE, Figure
from tests.support import ROOT

MEASURED = ROOT / "tests" / "figures" / "measured"
CODE = ("study", "analysis", "search_spaces", "trainables")


@dataclass(frozen=True)
class Measured:
    """A table as it was measured. `code`: a digest of all Python files of the packages and of the benchmarks."""

    name: str
    commands: tuple[str, ...]
    commit: str
    code: str
    day: str
    machine: str
    table: str

    @classmethod
    def read(cls, name: str) -> Measured:
        return cls(**json.loads((MEASURED / f"{name}.json").read_text()))

    def write(self) -> None:
        MEASURED.mkdir(exist_ok=True)
        (MEASURED / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    def shown(self) -> str:
        """What a README shows of it: the table, and in small print where it is from."""
        return f"{self.table}\n\n<sub>{self.day}, commit {self.commit}, {self.machine}</sub>"


def begin(name: str) -> str:
    return f"<!-- figure {name} -->\n"


END = "<!-- end -->"


def replaced(text: str, name: str, content: str) -> str:
    """A README with `content` between the marks of a figure. Raises ValueError where they are not there exactly once."""
    if text.count(begin(name)) != 1:
        raise ValueError(f"figure {name}: the README has {text.count(begin(name))} marks {begin(name).strip()}; it needs one")
    before, _, rest = text.partition(begin(name))
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"figure {name}: no {END} after its mark")
    return f"{before}{begin(name)}{content}\n{END}{after}"


def measure(figure: Figure, storage: Path) -> Measured:
    """Runs the commands of a figure. Raises CalledProcessError where one fails; its output is in the storage."""
    start, output = datetime.datetime.now(datetime.UTC).date(), ""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    for number, command in enumerate(figure.commands):
        file = storage / f"{figure.name}.{number}.out"
        arguments = command.replace(STORAGE, str(storage)).split()
        with file.open("w") as out:
            subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=out)
        output = file.read_text()
    machine = f"{os.cpu_count()} cores of {processor()}"
    table = figure.table(storage, output)
    shown = tuple(f"python {command.replace(STORAGE, 'figures')}" for command in figure.commands)
    return Measured(figure.name, shown, _commit(), code(), start.isoformat(), machine, table)


def code() -> str:
    files = sorted(path for folder in (*CODE, "tests/benchmarks", "tests/chaos") for path in (ROOT / folder).rglob("*.py"))
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    changed = [line for line in git("status", "--porcelain").splitlines() if line.endswith(".py")]
    return git("rev-parse", "--short=8", "HEAD") + (" with changes" if changed else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--storage", type=Path, default=ROOT / "figures")
    parser.add_argument("--list", action="store_true", help="what there is, how long it takes, and from which commit it is")
    parser.add_argument("--anew", action="store_true", help="also those that this code has measured")
    options = parser.parse_args()
    if unknown := set(options.names) - set(FIGURES):
        parser.error(f"{unknown.pop()}: there are {', '.join(FIGURES)}")
    storage: Path = options.storage.absolute()
    for name, figure in FIGURES.items():
        known = Measured.read(name) if (MEASURED / f"{name}.json").is_file() else None
        if options.list:
            print(f"{name:14} {figure.minutes:3} min  {figure.page:32} {known.commit if known else 'not measured'}")
            continue
        if (options.names and name not in options.names) or (known and known.code == code() and not options.anew):
            continue
        if figure.needs and not os.environ.get(figure.needs):
            print(f"{name}: left out, as {figure.needs} does not say where its data are ({figure.page})")
            continue
        print(f"{name}: about {figure.minutes} minutes", flush=True)
        storage.mkdir(parents=True, exist_ok=True)
        found = measure(figure, storage)
        found.write()
        page = ROOT / figure.page
        page.write_text(replaced(page.read_text(), name, found.shown()))
        for target, source in figure.pictures.items():
            shutil.copyfile(storage / source, ROOT / target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
