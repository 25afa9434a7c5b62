"""With what a trial was computed. Needs neither Ray nor MLflow."""

from __future__ import annotations

import functools
import platform
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]


NAME = "penalty-driven-anonymization"  # in pyproject.toml


@functools.cache
def project_version() -> str:
    """The version of this project: that in pyproject.toml beside the code, or that of the wheel it was installed from."""
    file = _ROOT / "pyproject.toml"
    if file.is_file():
        about = tomllib.loads(file.read_text()).get("project", {})
        if about.get("name") == NAME:
            return str(about["version"])
    return dict(_installed((NAME,))).get(NAME, "unknown")


@functools.cache
def versions(packages: tuple[str, ...] = ("torch", "ray", "mlflow"), code: tuple[str, ...] = ("trainables",)) -> dict[str, str]:
    """Returns the versions of Python and of the packages that are installed, and, as `project`, a digest of the folders `code`
    of this project; its own version is `version`.
    """
    own = {"version": project_version(), "project": _digest_of(code)}
    return {"python": platform.python_version(), **dict(_installed(packages)), **own}


def _installed(packages: Iterable[str]) -> Iterable[tuple[str, str]]:
    for package in packages:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue


def _digest_of(code: Iterable[str]) -> str:
    from trainables.store.artifacts import digest  # of a hundred modules; the version alone needs none

    paths = sorted(path for folder in code for path in (_ROOT / folder).rglob("*.py"))
    return digest({path.relative_to(_ROOT).as_posix(): path.read_text() for path in paths})[:12]
