"""What all readers do alike: a set that is not there is told from a broken one, and validation is cut by whole groups."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainables.config import ActionData, PrivacyData
from trainables.data.items import DataError, Video, cut_validation
from trainables.data.readers.common import DataNotThereError
from trainables.data.registry import load_stills, load_videos


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "pa_hmdb51", "vp_ucf101", "vp_hmdb51", "folders"])
def test_a_data_set_that_is_not_there_is_told_from_a_broken_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_videos(ActionData(name=name), tmp_path)


@pytest.mark.parametrize("name", ["vispr", "pa_hmdb51", "folders"])
def test_images_that_are_not_there_are_told_from_broken_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_stills(PrivacyData(name=name), tmp_path)


def videos(*groups: tuple[str, int, int]) -> list[Video]:
    """`count` videos of one class for each (group, label, count)."""
    return [Video(f"{g}{label}{n}", Path("x"), label, g) for g, label, count in groups for n in range(count)]


def test_validation_takes_small_sources_first() -> None:
    items = videos(*[(f"big{n}", n % 2, 20) for n in range(6)], ("small0", 0, 2), ("small1", 1, 3))
    train, held = cut_validation(items, 0.04, "any")
    assert {item.group for item in held} == {"small0", "small1"}
    assert {*train} | {*held} == {*items}


def test_validation_is_never_empty() -> None:
    with pytest.raises(DataError, match="each of the 2 groups of training items is the only one of a class"):
        cut_validation(videos(("a", 0, 3), ("b", 1, 3)), 0.1, "any")
    with pytest.raises(DataError, match="any: the 3 training items come from 1 group"):
        cut_validation(videos(("a", 0, 3)), 0.1, "any")
