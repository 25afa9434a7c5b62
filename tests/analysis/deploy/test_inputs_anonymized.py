"""What `analysis anonymize` makes of each input that the table in the README names.

`python -m tests.analysis.deploy.test_inputs_anonymized` writes the table anew from the lists that the tests run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import analysis.deploy
from analysis.read.store import AnalysisError
from tests.analysis.deploy import inputs_anonymized, inputs_cases
from tests.support.inputs import Input, check, with_tables

README = Path(analysis.deploy.__file__).with_name("README.md")
LISTS = {"inputs": inputs_anonymized.INPUTS, "cases": inputs_cases.INPUTS}
ALL = [entry for entries in LISTS.values() for entry in entries]


@pytest.mark.parametrize("entry", ALL, ids=[entry.what[:60] for entry in ALL])
def test_what_happens(entry: Input, tmp_path: Path) -> None:
    check(entry, tmp_path, AnalysisError)


def test_the_readme_shows_what_happens() -> None:
    again = "python -m tests.analysis.deploy.test_inputs_anonymized writes it anew"
    assert README.read_text() == with_tables(README.read_text(), LISTS), again
    assert len(ALL) >= 60
    assert len({entry.what for entry in ALL}) == len(ALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(), LISTS))
