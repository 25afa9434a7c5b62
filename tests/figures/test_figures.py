"""What the READMEs show is what was measured, and every figure that is declared can be made of what its command leaves."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from analysis.read.trials import PARAM
from search_spaces.registry import load_spaces
from tests.figures import tables
from tests.figures.__main__ import MEASURED, Measured, begin, main, replaced
from tests.figures.declared import FIGURES
from tests.figures.tables import from_table, markdown, of_json, of_sizes, printed
from tests.support import ROOT
from trainables.config import DATA_ROOT_VARIABLE

PAGES = [path for path in ROOT.rglob("*.md") if ".venv" not in path.parts]


@pytest.mark.parametrize("name", FIGURES)
def test_a_readme_shows_what_was_measured(name: str) -> None:
    page = ROOT / FIGURES[name].page
    text = page.read_text()
    assert text.count(begin(name)) == 1
    if not (MEASURED / f"{name}.json").is_file():
        pytest.skip(f"{name} was not measured yet: make figures")
    found = Measured.read(name)
    assert replaced(text, name, found.shown()) == text
    assert re.match(r"[0-9a-f]{8}", found.commit)
    assert found.name == name


def test_nothing_is_measured_or_marked_that_is_not_declared() -> None:
    assert {path.stem for path in MEASURED.glob("*.json")} <= set(FIGURES)
    marked = [name for page in PAGES for name in re.findall(r"<!-- figure (\S+) -->", page.read_text())]
    assert sorted(marked) == sorted(FIGURES)


def test_the_commands_name_spaces_and_files_that_are_there() -> None:
    spaces = set(load_spaces())
    for figure in FIGURES.values():
        for command in figure.commands:
            for space in re.findall(r"--space (\w+)", command):
                assert space in spaces
            first, second, *_ = [*command.split(), ""]
            file = second.replace(".", "/") if first == "-m" else first
            assert any((ROOT / (file + end)).exists() for end in ("", ".py")), command
        for picture in figure.pictures:
            assert (ROOT / picture).is_file()


def test_a_figure_whose_data_are_not_there_is_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(DATA_ROOT_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "argv", ["figures", "identity", "codec", "--anew", "--storage", str(tmp_path)])
    assert main() == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in said] == ["identity", "codec"]
    assert all(DATA_ROOT_VARIABLE in line for line in said)
    assert not list(tmp_path.iterdir())


def test_text_between_other_marks_stays() -> None:
    text = f"a\n{begin('x')}old\n<!-- end -->\nb\n{begin('y')}kept\n<!-- end -->\n"
    assert replaced(text, "x", "new") == f"a\n{begin('x')}new\n<!-- end -->\nb\n{begin('y')}kept\n<!-- end -->\n"
    empty = text.replace("old\n", "")
    assert replaced(empty, "x", "new") == replaced(text, "x", "new")
    with pytest.raises(ValueError, match="figure z: the README has 0 marks"):
        replaced(text, "z", "new")


def test_of_each_anonymizer_the_sizes_stand_beneath_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = []
    for method, leakage, at in (("raw", 0.5, None), ("penalty", 0.25, None), ("raw", 0.625, 96), ("penalty", 0.375, 96)):
        label = ("raw" if method == "raw" else "B=0.1") + (f" at size={at}" if at else "")
        row = {"setting": label, "label": label, "method": method, "seed": 0, "protocol_tag": ""}
        for name, value in {"top1": 0.8, "leakage": leakage, "clip_leakage": leakage}.items():
            row |= {name: value, f"{name}_low": value - 0.04, f"{name}_high": value + 0.04}
        row |= {"attack.retrained": 0.5, "attack_low.retrained": 0.4, "attack_high.retrained": 0.6}
        rows.append(row | {f"{PARAM}clip.size": 32, f"{PARAM}evaluate_at": str(at)})
    monkeypatch.setattr(tables, "read_study", lambda *_: SimpleNamespace(trials=pd.DataFrame(rows)))
    cells = [line.strip("| ").split(" | ") for line in of_sizes("toy")(tmp_path, "").splitlines()]
    assert [row[:2] for row in cells[2:]] == [
        ["raw", "32 x 32"],
        ["raw", "96 x 96"],
        ["B=0.1", "32 x 32"],
        ["B=0.1", "96 x 96"],
    ]
    assert cells[5][2:] == ["80 [76, 84]", "38 [34, 42]", "38 [34, 42]", "50 [40, 60]"]


def test_tables_are_made_of_what_commands_leave(tmp_path: Path) -> None:
    assert printed(tmp_path, "log\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| other |\n") == "| a | b |\n|---|---|\n| 1 | 2 |"
    with pytest.raises(ValueError, match="printed no table"):
        printed(tmp_path, "log\n")
    assert from_table(tmp_path, "log\n| a |\n|---|\n| 1 |\n\nSaid.\n") == "| a |\n|---|\n| 1 |\n\nSaid."
    (tmp_path / "scale.json").write_text(json.dumps({"trials": 1000, "seconds": 322.4}))
    assert of_json("scale.json")(tmp_path, "") == "|  |  |\n| --- | --- |\n| trials | 1,000 |\n| seconds | 322 |"
    assert markdown(["a"], [["1"]]) == "| a |\n| --- |\n| 1 |"
