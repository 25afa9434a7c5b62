"""The rules of the house: imports run in one direction and in no circle, files stay short, every class name means one thing."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from tests.support import ROOT

PACKAGES = ("study", "analysis", "search_spaces", "trainables")  # each imports only what stands to its right
MOST_LINES = 450
# Modules that load every member of a registry when it is first asked for: the members import the registry.
REGISTRIES = {"search_spaces.registry", "trainables.data.registry"}
LOADED_BY_NAME = {"trainables.methods", "trainables.attacks"}  # packages that import all of their modules when imported


def imports_of(root: Path, packages: Iterable[str] = PACKAGES) -> set[tuple[str, str]]:
    """Every import between modules of `packages` below `root`, as (importer, imported); lazy ones and those of types too."""
    code = (
        "import grimp, json, sys\n"
        "packages = json.loads(sys.argv[1])\n"
        "graph = grimp.build_graph(*packages, cache_dir=None)\n"
        "print(json.dumps([[m, i] for m in graph.modules for i in graph.find_modules_directly_imported_by(m)]))"
    )
    # a process of its own, so that a planted tree is found in place of the project
    found = subprocess.run(
        [sys.executable, "-c", code, json.dumps(list(packages))], cwd=root, capture_output=True, text=True, check=True
    )
    return {(importer, imported) for importer, imported in json.loads(found.stdout)}


def upward(imports: Iterable[tuple[str, str]]) -> list[str]:
    floor = {package: number for number, package in enumerate(PACKAGES)}
    return sorted(f"{a} -> {b}" for a, b in imports if floor[a.partition(".")[0]] > floor[b.partition(".")[0]])


def circles(imports: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or by way of others."""
    pairs = [(a, b) for a, b in imports if not _is_registration(a, b)]
    names = sorted({name for pair in pairs for name in pair})
    number = {name: index for index, name in enumerate(names)}
    rows, columns = ([number[name] for name in side] for side in zip(*pairs, strict=True))
    graph = coo_matrix((np.ones(len(pairs)), (rows, columns)), shape=(len(names),) * 2)
    _, group = connected_components(graph, connection="strong")
    members = defaultdict(list)
    for name in names:
        members[group[number[name]]].append(name)
    return sorted(found for found in members.values() if len(found) > 1)


def _loads_stage_code(importer: str, imported: str) -> bool:
    """A declaration of stages imports their code, and torch, only when a stage runs: such an import makes no circle."""
    parts = importer.split(".")
    if importer != "trainables.stages" and not (parts[:1] == ["trainables"] and parts[1:2] in (["methods"], ["attacks"])):
        return False
    path = ROOT.joinpath(*parts)
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if "training" in parts or not file.is_file():
        return False
    at_once = {node.module for node in ast.parse(file.read_text()).body if isinstance(node, ast.ImportFrom)}
    return imported not in at_once


def _is_registration(importer: str, imported: str) -> bool:
    if _loads_stage_code(importer, imported):
        return True
    if importer in REGISTRIES:
        return imported in (importer.rpartition(".")[0], f"{importer.rpartition('.')[0]}.readers")
    return importer in LOADED_BY_NAME and imported.startswith(f"{importer}.")


@pytest.fixture(scope="module")
def imports() -> set[tuple[str, str]]:
    return imports_of(ROOT)


def test_no_import_runs_upward(imports: set[tuple[str, str]]) -> None:
    assert ("study.run", "study.study") in imports or ("study.run", "study.options") in imports  # the graph was read
    assert upward(imports) == []


def test_no_circle_of_imports(imports: set[tuple[str, str]]) -> None:
    assert circles(imports) == []


@pytest.mark.parametrize("lazy", [False, True])
def test_planted_imports_are_found(tmp_path: Path, lazy: bool) -> None:
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    body = "def load():\n    from {0} import {1}\n" if lazy else "from {0} import {1}\n"
    (tmp_path / "study" / "job.py").write_text("from trainables import trial\n")
    (tmp_path / "trainables" / "trial.py").write_text(body.format("study", "job"))
    (tmp_path / "analysis" / "one.py").write_text("from analysis import two\n")
    (tmp_path / "analysis" / "two.py").write_text("from analysis import three\n")
    (tmp_path / "analysis" / "three.py").write_text(body.format("analysis", "one"))
    planted = imports_of(tmp_path)
    assert upward(planted) == ["trainables.trial -> study.job"]
    assert circles(planted) == [["analysis.one", "analysis.three", "analysis.two"], ["study.job", "trainables.trial"]]


def _sources() -> Iterator[Path]:
    for folder in (*PACKAGES, "tests"):
        yield from sorted((ROOT / folder).rglob("*.py"))


def test_no_file_is_long() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _sources()}
    assert {path: lines for path, lines in long.items() if lines > MOST_LINES} == {}


def test_every_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for path in _sources():
        if "tests" in path.relative_to(ROOT).parts:
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}
