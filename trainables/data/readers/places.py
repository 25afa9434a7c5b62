"""Where the files of a data set are: as its authors pack it, or as downloads, unpackers and other code leave it.

A listed `<class>/<file>` is looked for under its own name first. Where that is not there, the one file (or folder of frames)
of the same stem counts, wherever it lies below the folder: in other letter case, with another suffix (`.mp4`), with accents in
two characters (NFD), in `class/class`, in a wrapper folder of a zip, or in one flat folder.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from trainables.data.decoding.folder import IMAGE_SUFFIXES

VIDEO_SUFFIXES = (
    *(".avi", ".mp4", ".mkv", ".mov", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts", ".ogv"),
)


def fold(name: str) -> str:
    """A name without what people write in two ways: letter case, accents in one or two characters, `_`, `-` and blanks."""
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFC", name)).casefold()


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """The names that differ from another one only in letter case, accents in one or two characters, or in which of `_`, `-` and
    blanks they have: `Horse Riding` and `horseriding`, `Person 1` and `person_1`. Between two digits one of these is kept apart
    from none: `1_1` is not `11`.
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for name in names:
        words = re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFC", name)).strip().casefold()
        spellings[re.sub(r"(?<!\d) | (?!\d)", "", words)].add(name)
    return [sorted(alike) for alike in spellings.values() if len(alike) > 1]


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder from `folder` down, in the order of names, with its files that are not hidden. Links are followed, once."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and not _leads_back(place, name, seen))
        yield Path(place), sorted(file for file in files if not file.startswith("."))


def _leads_back(place: str, name: str, seen: set[str]) -> bool:
    """Whether a folder is walked already under another name, or is a link to one above it."""
    real = os.path.realpath(os.path.join(place, name))
    if real in seen or f"{os.path.realpath(place)}/".startswith(f"{real}/"):
        return True
    seen.add(real)
    return False


def find_folder(root: Path, names: Sequence[str]) -> Path | None:
    """The first of `names` that is a folder under `root`; where none is, the first that is one in other letters."""
    exact = next((root / name for name in names if (root / name).is_dir()), None)
    return exact or next((found for name in names if (found := _in_other_letters(root, name)) is not None), None)


def _in_other_letters(root: Path, name: str) -> Path | None:
    for part in PurePosixPath(name).parts:
        try:
            alike = sorted(path for path in root.iterdir() if fold(path.name) == fold(part) and path.is_dir())
        except OSError:
            return None
        if not alike:
            return None
        root = alike[0]
    return root


def locate(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The path of each listed item that is there; `folder / name` for the others."""
    found = {name: folder / name for name in names}
    missing = [name for name, path in found.items() if not path.exists()]
    if missing:
        by_stem = _by_stem(folder)
        for name in missing:
            candidates = by_stem.get(fold(PurePosixPath(name).stem), [])
            own_class = fold(PurePosixPath(name).parent.name)
            of_class = [path for path in candidates if own_class in map(fold, path.parent.relative_to(folder).parts)]
            if len(chosen := of_class or candidates) == 1:
                found[name] = chosen[0]
    return found


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """Every video, and every folder of frames, below `folder` by its folded stem."""
    found: dict[str, list[Path]] = defaultdict(list)
    for place, files in walk(folder):
        videos = [file for file in files if file.lower().endswith(VIDEO_SUFFIXES)]
        for file in videos:
            found[fold(Path(file).stem)].append(place / file)
        if not videos and any(file.lower().endswith(IMAGE_SUFFIXES) for file in files):
            found[fold(place.name)].append(place)
    return found


def describe(folder: Path) -> str:
    """What lies in a folder, for an error message: it may show why files were not found."""
    try:
        inside = sorted(folder.iterdir())
    except PermissionError:
        return f"{folder} cannot be read: give this user the right to read it"
    except OSError:
        return f"{folder} is not there"
    names = ", ".join(repr(path.name + "/" * path.is_dir()) for path in inside[:4])
    more = f" and {len(inside) - 4:,} more" if len(inside) > 4 else ""
    return f"{folder} holds {names}{more}" if inside else f"{folder} is empty"


def lists_in(places: Sequence[Path], sign: str) -> Path | None:
    """The first of `places`, or of the folders at most two levels below them, that holds a file like `sign` (a glob)."""
    for below in ("", "*/", "*/*/"):
        for place in places:
            if found := sorted(place.glob(f"{below}{sign}")):
                return found[0].parent
    return None
