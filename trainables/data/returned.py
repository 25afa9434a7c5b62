"""What a reader of data has returned, checked before anything is made of it: a reader may be a user's own."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from trainables.data.items import DataError, Still, StillSplits, Video, VideoSplits

PARTS = ("train", "validation", "test")


def checked(splits: Any, kind: type[VideoSplits] | type[StillSplits], name: str, reader: str) -> Any:
    """`splits`, as the reader of the data set `name` returned them. Raises DataError in one line that begins with `reader`,
    for what is not of the right `kind` and for the first item that cannot be used.
    """

    def wrong(what: str) -> DataError:
        return DataError(f"{name} ({reader}): {what}")

    if not isinstance(splits, kind):
        raise wrong(f"the reader returned {splits!r:.60}; return {kind.__name__}")
    item_kind = Video if kind is VideoSplits else Still
    fields = ("classes", "attributes", *PARTS) if kind is VideoSplits else ("attributes", *PARTS)
    for field in fields:
        if not isinstance(getattr(splits, field), tuple):
            raise wrong(f"{field} is a {type(getattr(splits, field)).__name__}; give a tuple")
    for field in fields[: fields.index("train")]:
        names = getattr(splits, field)
        if twice := [one for one, count in Counter(names).items() if count > 1]:
            raise wrong(f"{field} names {twice[0]!r} twice")
    seen: dict[str, str] = {}
    for part in PARTS:
        for item in getattr(splits, part):
            if not isinstance(item, item_kind):
                raise wrong(f"a {part} item is {item!r:.60}; give {item_kind.__name__}")
            if problem := _problem(item, splits):
                raise wrong(f"{part} item {item.name!r}: {problem}")
            if seen.setdefault(item.name, part) != part:
                raise wrong(f"{part} item {item.name!r}: it is a {seen[item.name]} item too; an item is in one split only")
    return splits


def _problem(item: Any, splits: Any) -> str:
    """What is wrong with an item, and what to do; empty if nothing is."""
    if not isinstance(item.path, Path):
        return f"its path is {item.path!r}; give a pathlib.Path"
    if not item.path.is_file() and not (isinstance(item, Video) and _has_frames(item.path)):
        return f"{item.path} is {'a folder without frames' if item.path.is_dir() else 'not there'}; give the path of a file"
    if isinstance(item, Video) and not (isinstance(item.label, int) and 0 <= item.label < len(splits.classes)):
        return f"its label is {item.label!r}; give a number from 0 to {len(splits.classes) - 1}, one for each of the classes"
    return "" if item.attributes is None and isinstance(item, Video) else _attributes_problem(item.attributes, splits)


def _has_frames(path: Path) -> bool:
    """Whether a path is a folder with images, one a frame, in the place of a video."""
    from trainables.data.decoding.folder import IMAGE_SUFFIXES

    return path.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir())


def _attributes_problem(attributes: Any, splits: Any) -> str:
    if not isinstance(attributes, tuple) or len(attributes) != len(splits.attributes):
        return f"its attributes are {attributes!r:.60}; give a tuple of {len(splits.attributes)}, one for each of the names"
    if other := [value for value in attributes if value not in (0, 1)]:
        return f"the value of an attribute is {other[0]!r}; give 0 or 1"
    return ""
