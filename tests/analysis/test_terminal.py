"""What is printed where nobody looks: whole lines without colour."""

import pytest

from analysis.terminal import show_error, show_table, table_text


def test_a_table_is_a_line_a_row_however_long() -> None:
    long = "value " * 100 + "end"
    lines = table_text(["name", "n"], [["[red]a[/red] :smile:", "1"], [long, "22"]], right=["n"]).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("[red]a[/red] :smile:")
    assert lines[2] == f"{long}  22"
    assert lines[1].endswith(" 1")


def test_printed(capsys: pytest.CaptureFixture[str]) -> None:
    show_table(["a"], [["1"]], indent=2)
    show_error("no such thing: [bold] " + "x" * 300)
    printed = capsys.readouterr()
    assert printed.out == "  a\n  1\n"
    assert printed.err == "error: no such thing: [bold] " + "x" * 300 + "\n"
