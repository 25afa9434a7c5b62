"""Data sets without pixels, to plan trials on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainables.config import ActionData, PrivacyData
from trainables.data.items import Still, StillSplits, Video, VideoSplits


class Files:
    """Readers that return other data for each configuration of a data set, and that a test can change.

    There are eight items in each split.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.changes: dict[str, Any] = {}  # folder of a data set -> what is done with its splits

    def _file(self, config: ActionData | PrivacyData, split: str) -> Path:
        """Of equal content for all items of all sets: names and labels tell them apart."""
        path = self.root / f"{config.folder}-{split}.avi"
        if not path.exists():
            path.write_bytes(b"x")
        return path

    def _changed(self, config: ActionData | PrivacyData, splits: Any) -> Any:
        return self.changes.get(config.folder or "", lambda same: same)(splits)

    def videos(self, config: ActionData, root: Path) -> VideoSplits:
        def items(split: str) -> tuple[Video, ...]:
            file = self._file(config, split)
            return tuple(Video(f"{split}{g}{k}", file, k % 2, f"{split}{g}", (k % 2, g)) for g in range(2) for k in range(4))

        parts = (items(split) for split in ("train", "validation", "test"))
        found = VideoSplits(config.model_dump_json(), ("a", "b"), ("p", "q"), *parts)
        return self._changed(config, found)  # type: ignore[no-any-return]

    def stills(self, config: PrivacyData, root: Path) -> StillSplits:
        def items(split: str) -> tuple[Still, ...]:
            file = self._file(config, split)
            return tuple(Still(f"{split}{g}{k}", file, (k % 2, g), f"{split}{g}") for g in range(2) for k in range(4))

        parts = (items(split) for split in ("train", "validation", "test"))
        found = StillSplits(config.model_dump_json(), ("p", "q"), *parts)
        return self._changed(config, found)  # type: ignore[no-any-return]
