"""The lists of UCF101 that the released code of SPAct reads (its dl_ft_nov.py), in the place of the official ones.

ucf101_labeled.txt  ucf101_unlabeled.txt   training, one path a line, of any machine: its last two parts are <Class>/<file>
ucf101_test.txt
<any name>.json                            optional: {"classes": {"<Class>": number, ...}}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainables.data.items import DataError
from trainables.data.readers.common import ListEntry, nearest, read_json, read_list, refuse

TRAIN = ("ucf101_labeled.txt", "ucf101_unlabeled.txt")
TEST = "ucf101_test.txt"


def lists_of_spact(places: Sequence[Path]) -> Path | None:
    """The first of `places` that holds the lists of SPAct."""
    return next((place for place in places if (place / TEST).is_file()), None)


def read_lists_of_spact(place: Path) -> tuple[tuple[str, ...], list[ListEntry], list[ListEntry]]:
    """The classes, and the training and test entries `<Class>/<file>`. Raises DataError for lists that cannot be used."""
    files = [place / name for name in TRAIN if (place / name).is_file()]
    if not files:
        raise DataError(f"{place / TEST}: no training list beside it; put {' and '.join(TRAIN)} there")
    train = [_entry(line) for file in files for line in read_list(file)]
    test = [_entry(line) for line in read_list(place / TEST)]
    refuse(
        [f"{entry.where}: {entry.name!r} is not .../<Class>/<file>" for entry in (*train, *test) if "/" not in entry.name],
        "write one path a line",
    )
    numbers = _class_numbers(place)
    classes = tuple(sorted(numbers, key=lambda name: numbers[name]) if numbers else sorted({_class(entry) for entry in train}))
    refuse(
        [
            f"{entry.where}: class {_class(entry)!r} is unknown ({nearest(_class(entry), classes)})"
            for entry in (*train, *test)
            if _class(entry) not in classes
        ],
        "correct the list, or the numbers of the classes",
    )
    return classes, train, test


def _entry(line: ListEntry) -> ListEntry:
    return ListEntry("/".join(PurePosixPath(line.name.replace("\\", "/")).parts[-2:]), line.where)


def _class(entry: ListEntry) -> str:
    return entry.name.partition("/")[0]


def _class_numbers(place: Path) -> dict[str, int]:
    for path in sorted(place.glob("*.json")):
        content = read_json(path)
        found = content.get("classes") if isinstance(content, dict) else None
        if isinstance(found, dict) and all(isinstance(number, int) for number in found.values()):
            return found
    return {}
