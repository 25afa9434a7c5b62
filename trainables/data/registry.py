"""Data sets by name. A reader takes the configuration and the data root and returns splits, reading labels only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trainables.config import ActionData, PrivacyData
from trainables.data.items import StillSplits, VideoSplits
from trainables.registry import Registry

VideoReader = Callable[[ActionData, Path], VideoSplits]
StillReader = Callable[[PrivacyData, Path], StillSplits]

VIDEO_SETS: Registry[VideoReader] = Registry("action data set")
STILL_SETS: Registry[StillReader] = Registry("privacy data set")


def load_videos(data: ActionData, root: str | Path) -> VideoSplits:
    """The labelled videos of `data` under `root`. Raises DataError where they cannot be used."""
    import trainables.data.readers  # noqa: F401  (registers the data sets)

    return VIDEO_SETS[data.name](data, Path(root) / (data.folder or ""))


def load_stills(data: PrivacyData, root: str | Path) -> StillSplits:
    """The labelled images of `data` under `root`. Raises DataError where they cannot be used."""
    import trainables.data.readers  # noqa: F401

    return STILL_SETS[data.name](data, Path(root) / (data.folder or ""))
