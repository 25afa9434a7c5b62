"""The list of mutants fits the code: every change can still be made, and every test that it names is there."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.__main__ import KILLED, LIVED, table, unsound
from tests.mutants.listed import Mutant, mechanical, semantic
from tests.support import ROOT

MUTANTS = semantic()
SPREAD = ("losses", "methods", "evaluation", "metrics", "attacks", "data", "study", "deploy", "analysis")


@functools.cache
def unchanged(file: str) -> str:
    return ast.dump(ast.parse((ROOT / file).read_text()))


def test_there_are_enough_in_every_area() -> None:
    assert len(MUTANTS) >= 100
    areas = Counter(mutant.area for mutant in MUTANTS)
    assert set(SPREAD) <= areas.keys()
    assert min(areas.values()) >= 5
    assert [name for name, count in Counter(mutant.name for mutant in MUTANTS).items() if count > 1] == []


@pytest.mark.parametrize("area", sorted({mutant.area for mutant in MUTANTS}))
def test_each_changes_the_code_and_names_tests_that_are_there(area: str) -> None:
    for mutant in (mutant for mutant in MUTANTS if mutant.area == area):
        source = mutant.source()  # raises where the old text has moved
        assert ast.dump(ast.parse(source)) != unchanged(mutant.file), mutant.name
        assert mutant.tests, mutant.name
        for test in mutant.tests:
            file, _, name = test.partition("::")
            name = name.rpartition("::")[2]  # of a method, without its class
            assert (ROOT / file).exists(), f"{mutant.name}: {file}"
            assert not name or f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), f"{mutant.name}: {test}"


def test_the_mechanical_ones_can_be_made_and_are_the_same_in_every_call() -> None:
    found = mechanical()
    assert [one.name for one in found] == [one.name for one in mechanical()]
    assert len({one.name for one in found}) == len(found) >= 100
    assert [test for one in found for test in one.tests if not (ROOT / test.partition("::")[0]).exists()] == []
    for one in found[::20]:
        assert ast.dump(ast.parse(one.source())) != ast.dump(ast.parse((ROOT / one.file).read_text())), one.name


def test_the_table_counts_by_area_and_lists_those_that_live() -> None:
    mutants = [Mutant(name, area, "a.py", "a", "b", (), lives) for name, area, lives in (("x", "p", ""), ("y", "p", "why"))]
    shown = table(mutants, {"x": KILLED, "y": LIVED})
    assert "| p | 2 | 1 | 50 % |" in shown
    assert shown.endswith("lived: p: y: why")


def test_tests_that_fail_or_are_not_there_without_a_mutant_are_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree, log, imported = tmp_path / "tree", tmp_path / "log.txt", tmp_path / "imported.txt"
    tree.mkdir()
    (tree / "test_a.py").write_text("def test_right(): pass\ndef test_wrong(): assert False\n")
    (tree / "test_b.py").write_text("def test_right(): pass\n")
    with capfd.disabled():  # pytest runs within pytest, and says what it finds in the log
        named = ["test_b.py", "test_a.py::test_right", "test_a.py::test_wrong", "test_b.py::test_right", "test_a.py::test_gone"]
        assert unsound(named, tree, log, imported) == {"test_a.py::test_wrong", "test_a.py::test_gone"}
        assert "1 failed, 2 passed" in log.read_text(), "each once"
        assert unsound(["test_a.py", "test_b.py"], tree, log, imported) == {"test_a.py"}
