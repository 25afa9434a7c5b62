"""What a study is told while it runs, as files in its storage, beside the leases of its trials (`folder`).

Its driver looks for those that say which trials come next, the worker of a trial for the one that says to skip it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from trainables.store.files import Files
from trainables.trial import TrialJob, skip_order

_NEXT = ".next"


def next_order(folder: str, key: str) -> str:
    """The file that tells the driver to start a trial before others."""
    return f"{folder}/{key}{_NEXT}"


def ordered_next(files: Files, jobs: Sequence[TrialJob]) -> Callable[[], set[int]]:
    """Asks the storage, at each call, which of `jobs` are to start before others: their numbers."""
    numbers, folder = {job.key: number for number, job in enumerate(jobs)}, jobs[0].recorder.leases

    def ask() -> set[int]:
        keys = (name.removesuffix(_NEXT) for name in files.names(folder) if name.endswith(_NEXT))
        return {numbers[key] for key in keys if key in numbers}

    return ask


def take_back(files: Files, folder: str, keys: Iterable[str]) -> None:
    """Removes what an earlier launch was told of these trials."""
    told = {path for key in keys for path in (skip_order(folder, key), next_order(folder, key))}
    for name in files.names(folder):
        if f"{folder}/{name}" in told:
            files.remove(f"{folder}/{name}")
