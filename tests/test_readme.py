"""What the README names is there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from search_spaces.registry import load_spaces
from study.run import TRACKING_URI_VARIABLE, _parser
from trainables.config import DATA_ROOT_VARIABLE, STORAGE_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_every_space_and_option_exists() -> None:
    spaces = {path.stem for path in (ROOT / "search_spaces").glob("*.py")} & set(load_spaces())  # other tests have plug-ins
    assert len(spaces) > 15
    assert set(re.findall(r"--space ([\w-]+)", README)) <= spaces
    assert spaces <= set(re.findall(r"`(\w+)`", README)), "a space that the README does not name"
    options = _parser().format_help()
    lines = [line.rpartition("study/run.py")[2] for line in README.splitlines() if re.search(r"study/run\.py|^\* `--", line)]
    assert len(lines) > 8
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "\n".join(lines))):
        assert option in options, option
    assert {DATA_ROOT_VARIABLE, STORAGE_VARIABLE, TRACKING_URI_VARIABLE} <= set(re.findall(r"`([A-Z_]+)`", README))


def test_the_plug_ins_shown_are_those_of_the_tests() -> None:
    shown = dict(re.findall(r"`(my_\w+)\.py`\n\n```python\n(.*?)```", README, flags=re.DOTALL))
    files = {path.stem: path.read_text() for path in (ROOT / "tests" / "examples").glob("my_*.py")}
    assert shown == files
    for name, code in files.items():
        assert len([line for line in code.splitlines() if line.strip()]) <= 30, name


def test_every_make_target_exists() -> None:
    for target in set(re.findall(r"(?:^    |`)make (\w+)", README, flags=re.MULTILINE)):
        subprocess.run(["make", "--dry-run", "--always-make", target], cwd=ROOT, check=True, capture_output=True)


def test_every_file_of_the_reading_order_exists() -> None:
    order = README.split("## Reading order")[1].split("`make check`")[0]
    folder = ROOT
    names = 0
    for line in order.splitlines():
        if found := re.match(r"    (\w+)/ ", line):
            folder = ROOT / found[1]
        for name in re.findall(r"[\w]+\.(?:py|csv)", line):
            assert list(folder.rglob(name)), f"{folder.name}: {name}"
            names += 1
    assert names > 15


def test_the_published_numbers_are_there_and_nothing_else_of_the_data() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "analysis/published_results.csv" in tracked
    assert not [name for name in tracked if name.endswith((".avi", ".mp4", ".jpg", ".pickle", ".pkl", ".pt"))]
