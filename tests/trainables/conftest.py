"""Videos and images that say in their pixels which item, split and frame they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.fake_data import Files
from tests.support.recording import write_numbered
from trainables.data import trial_data


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("numbered"))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """In place of the readers of data sets."""
    found = Files(tmp_path)
    monkeypatch.setattr(trial_data, "load_videos", found.videos)
    monkeypatch.setattr(trial_data, "load_stills", found.stills)
    return found
