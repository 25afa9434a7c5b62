"""Videos and images that say in their pixels which item, split and frame they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.recording import write_numbered


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("numbered"))
