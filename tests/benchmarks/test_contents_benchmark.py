"""The benchmark of what is read of files prints a row for each choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.contents import main


def test_a_row_for_each_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--files", "3", "--kib", "70", "--folder", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| 3 files of 70 KiB |")
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["`data.contents=parts`", "`data.contents=whole`"]
    assert list(tmp_path.iterdir()) == []
