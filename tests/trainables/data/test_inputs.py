"""What happens with each input that the table in the README names.

`python -m tests.trainables.data.test_inputs` writes the table anew from the lists that the tests run.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import trainables.data
from tests.support.inputs import Input, check, with_tables
from tests.trainables.data import inputs_codecs, inputs_images, inputs_layouts, inputs_videos
from trainables.data.items import DataError

README = Path(trainables.data.__file__).with_name("README.md")
LISTS = {
    "layouts": inputs_layouts.INPUTS,
    "codecs": inputs_codecs.INPUTS,
    "videos": inputs_videos.INPUTS,
    "images": inputs_images.INPUTS,
}
ALL = [entry for entries in LISTS.values() for entry in entries]


@pytest.mark.parametrize("entry", ALL, ids=[entry.what[:50] for entry in ALL])
def test_what_happens(entry: Input, tmp_path: Path) -> None:
    check(entry, tmp_path, DataError)


def test_the_readme_shows_what_happens() -> None:
    assert README.read_text() == with_tables(README.read_text(), LISTS), (
        "python -m tests.trainables.data.test_inputs writes it anew"
    )
    assert len(ALL) >= 60
    assert len({entry.what for entry in ALL}) == len(ALL)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(), LISTS))
