"""With what a trial was computed. Needs neither Ray nor MLflow."""

from __future__ import annotations

import functools
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from trainables.store.artifacts import digest

_PACKAGES = ("torch", "ray", "mlflow")


@functools.cache
def versions() -> dict[str, str]:
    """Of Python, of the packages that are installed, and a digest of this project's own code."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    folder = Path(__file__).parent
    code = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.py"))}
    return {**found, "project": digest(code)[:12]}
