"""Plug-ins for the time of one test: those of tests/examples, or any file."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search_spaces.registry import SPACES, load_spaces
from tests.support import ROOT
from trainables import plugins, schema
from trainables.attacks import ATTACKS
from trainables.data.registry import STILL_SETS, VIDEO_SETS
from trainables.methods import METHODS
from trainables.models.action import ACTION_CLASSIFIERS
from trainables.models.anonymizers import ANONYMIZERS
from trainables.models.privacy import PRIVACY_BACKBONES
from trainables.registry import Registry

REGISTRIES: tuple[Registry[Any], ...] = (
    SPACES,
    METHODS,
    ATTACKS,
    ANONYMIZERS,
    ACTION_CLASSIFIERS,
    PRIVACY_BACKBONES,
    VIDEO_SETS,
    STILL_SETS,
)


@contextlib.contextmanager
def loaded(*paths: Path) -> Iterator[None]:
    """Loads plug-ins, and forgets afterwards what they registered: other tests list methods and metrics."""
    load_spaces()  # imported later, the project's own would be forgotten with the others, for good
    tables: list[dict[str, Any]] = [registry._entries for registry in REGISTRIES]
    tables += [schema.FINAL_METRICS, schema._UNSHOWN, plugins._loaded, plugins._helpers, sys.modules]
    kept = [(table, dict(table)) for table in tables]
    origins = {name: set(modules) for name, modules in Registry._modules.items()}
    try:
        plugins.load_named([str(path) for path in paths])
        yield
    finally:
        own = set(plugins._loaded) | set(plugins._helpers)
        for table, before in kept:
            if table is sys.modules:  # what else was imported meanwhile stays
                for name in own - set(before):
                    table.pop(name, None)
                continue
            table.clear()
            table.update(before)
        Registry._modules.clear()
        Registry._modules.update(origins)
        if (report := sys.modules.get("analysis.report.report")) is not None:  # not imported for it: it takes seconds
            own_sections = [make for make in report.FURTHER_SECTIONS if make.__module__.startswith("analysis.")]
            report.FURTHER_SECTIONS[:] = own_sections


def example(name: str) -> contextlib.AbstractContextManager[None]:
    """Loads `tests/examples/<name>.py` for the time of a test."""
    return loaded(ROOT / "tests" / "examples" / f"{name}.py")
