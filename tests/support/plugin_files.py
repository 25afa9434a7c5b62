"""A plug-in of tests/examples for the time of one test."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from tests.support import ROOT
from trainables import plugins
from trainables.attacks import ATTACKS
from trainables.methods import METHODS
from trainables.schema import FINAL_METRICS


@contextlib.contextmanager
def example(name: str) -> Iterator[None]:
    """Loads `tests/examples/<name>.py`, and forgets afterwards what it registered: other tests list methods and metrics."""
    kept = [(entries, dict(entries)) for entries in (ATTACKS._entries, METHODS._entries, FINAL_METRICS, plugins._loaded)]
    plugins.load_plugins(plugins.read_plugins([str(ROOT / "tests" / "examples" / f"{name}.py")]))
    try:
        yield
    finally:
        del sys.modules[name]
        for entries, before in kept:
            entries.clear()
            entries.update(before)
