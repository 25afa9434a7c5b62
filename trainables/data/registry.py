"""Data sets by name. A reader takes the configuration and the data root and returns splits, reading labels only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from trainables.config import ActionData, ConfigError, PrivacyData
from trainables.data.items import DataError, StillSplits, VideoSplits
from trainables.data.returned import checked
from trainables.plugins import blamed, registered_by_plugin
from trainables.registry import Registry

Data = TypeVar("Data", ActionData, PrivacyData)
Splits = TypeVar("Splits", VideoSplits, StillSplits)

VideoReader = Callable[[ActionData, Path], VideoSplits]
StillReader = Callable[[PrivacyData, Path], StillSplits]

VIDEO_SETS: Registry[VideoReader] = Registry("action data set")
STILL_SETS: Registry[StillReader] = Registry("privacy data set")


def load_videos(data: ActionData, root: str | Path) -> VideoSplits:
    """The labelled videos of `data` under `root`. Raises DataError where they cannot be used."""
    import trainables.data.readers  # noqa: F401  (registers the data sets)

    return _read(VIDEO_SETS, VideoSplits, data, root)


def load_stills(data: PrivacyData, root: str | Path) -> StillSplits:
    """The labelled images of `data` under `root`. Raises DataError where they cannot be used."""
    import trainables.data.readers  # noqa: F401

    return _read(STILL_SETS, StillSplits, data, root)


def _read(sets: Registry[Callable[[Data, Path], Splits]], kind: type[Splits], data: Data, root: str | Path) -> Splits:
    """Reads a data set. What goes wrong in a plugin's reader is one line with the file and the line of the plugin."""
    reader = sets[data.name]
    if not registered_by_plugin(data.name):
        return reader(data, Path(root) / (data.folder or ""))
    try:
        found = reader(data, Path(root) / (data.folder or ""))
    except (ConfigError, DataError):
        raise
    except Exception as error:
        at = blamed(error) or sets.where(data.name)
        raise DataError(f"{data.name} ({at}): its reader fails: {type(error).__name__}: {error}") from error
    return checked(found, kind, data.name, sets.where(data.name))
