"""What the READMEs name is there: links, spaces, options, make targets, modules, variables, and the examples they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from search_spaces.registry import load_spaces
from tests.support import ROOT

PACKAGES = ("study", "analysis", "search_spaces", "trainables")
PAGES = sorted(path for path in ROOT.rglob("*.md") if not {".venv", ".pytest_cache"} & set(path.relative_to(ROOT).parts))
TEXTS = {path: path.read_text() for path in PAGES}
WITH_SUBCOMMANDS = ("-m analysis", "-m trainables.data", "-m study.storage")
COMMANDS = ("study/run.py", "-m trainables", "-m tests.benchmarks.speed", *WITH_SUBCOMMANDS)
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS[page]):
        if not link.startswith(("http:", "https:")):
            assert (page.parent / link).exists(), link


def test_every_package_has_a_readme_with_its_reading_order() -> None:
    for package in (*PACKAGES, "study/backend", "trainables/methods", "trainables/attacks"):
        text = (ROOT / package / "README.md").read_text()
        assert "## Reading order" in text, package
        assert "## How to add" in text, package


@pages
def test_every_file_of_a_reading_order_exists(page: Path) -> None:
    order = re.search(r"## Reading order\n(.*?)(?=\n## |\Z)", TEXTS[page], flags=re.DOTALL)
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", order[1] if order else ""):
        assert (page.parent / name).exists() or (ROOT / name).exists(), name


def test_every_space_is_named_and_no_other() -> None:
    own = {path.stem for path in (ROOT / "search_spaces").glob("*.py")}
    spaces = {name for name in load_spaces() if not name.startswith("my_")}  # other tests have plug-ins
    assert len(own) > 15
    assert set(re.findall(r"`(\w+)`", TEXTS[ROOT / "search_spaces" / "README.md"])) >= spaces & _registered_here()
    for text in TEXTS.values():
        assert set(re.findall(r"--space ([a-z]\w+)", text)) <= spaces


def _registered_here() -> set[str]:
    found = set()
    for path in (ROOT / "search_spaces").glob("*.py"):
        found |= set(re.findall(r"SPACES\.register\(\"(\w+)\"\)", path.read_text()))
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_exists(command: str) -> None:
    called = re.compile(rf"{re.escape(command)}(?![.\w])(.*)")
    rests = [found[1] for text in TEXTS.values() for line in text.splitlines() if (found := called.search(line))]
    assert rests, command
    start = [sys.executable, *command.split()]
    helps = [_help(start)]
    if command in WITH_SUBCOMMANDS:
        named_commands = {found[1] for rest in rests if (found := re.match(r" ([a-z]+)", rest))}
        helps += [_help([*start, name]) for name in sorted(named_commands)]
    named = {option for rest in rests for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest)}
    assert named <= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", "".join(helps)))


def _help(command: list[str]) -> str:
    return subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_options_of_a_study_are_explained() -> None:
    listed = set(re.findall(r"`(--[a-z][a-z-]+)", TEXTS[ROOT / "study" / "RUNNING.md"]))
    known = _help([sys.executable, "study/run.py"]) + _help([sys.executable, "-m", "study.storage", "prune"])
    assert listed <= set(re.findall(r"--[a-z][a-z-]+", known))
    variables = {"ANONYMIZATION_DATA_ROOT", "ANONYMIZATION_STORAGE", "MLFLOW_TRACKING_URI"}
    assert variables <= set(re.findall(r"`([A-Z_]+)`", TEXTS[ROOT / "README.md"]))


def test_the_examples_shown_are_those_of_the_tests() -> None:
    examples = {path.name: path.read_text() for path in (ROOT / "tests" / "examples").glob("my_*.py")}
    shown = set()
    for text in TEXTS.values():
        for name, code in re.findall(r"examples/(my_\w+\.py)\):?\n\n```python\n(.*?)```", text, flags=re.DOTALL):
            assert code == examples[name], name
            shown.add(name)
        shown |= set(re.findall(r"examples/(my_\w+\.py)\)", text))
    assert shown == set(examples)
    for name, code in examples.items():
        assert len([line for line in code.splitlines() if line.strip()]) <= 45, name


def test_every_make_target_exists() -> None:
    for text in TEXTS.values():
        for target in set(re.findall(r"(?:^    |`)make (\w+)", text, flags=re.MULTILINE)):
            subprocess.run(["make", "--dry-run", "--always-make", target], cwd=ROOT, check=True, capture_output=True)


def test_the_readme_is_short_and_begins_with_a_picture() -> None:
    lines = TEXTS[ROOT / "README.md"].splitlines()
    assert len(lines) <= 200
    assert [line for line in lines[:6] if line.startswith("![")]


def test_the_published_numbers_are_there_and_nothing_else_of_the_data() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert "analysis/paper/published_results.csv" in tracked
    assert not [name for name in tracked if name.endswith((".avi", ".mp4", ".jpg", ".pickle", ".pkl", ".pt"))]
