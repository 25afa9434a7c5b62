"""What all readers do alike: a set that is not there is told from a broken one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trainables.config import ActionData, PrivacyData
from trainables.data.readers.common import DataNotThereError
from trainables.data.registry import load_stills, load_videos


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "pa_hmdb51", "vp_ucf101", "vp_hmdb51", "folders", "kinetics"])
def test_a_data_set_that_is_not_there_is_told_from_a_broken_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_videos(ActionData(name=name), tmp_path)


@pytest.mark.parametrize("name", ["vispr", "pa_hmdb51", "folders"])
def test_images_that_are_not_there_are_told_from_broken_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataNotThereError, match=re.escape(str(tmp_path))):
        load_stills(PrivacyData(name=name), tmp_path)
