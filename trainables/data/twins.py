"""Videos that somebody else has anonymized, beside their originals: which file belongs to which, and whether they fit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from trainables.data.contents import contents_of
from trainables.data.items import DataError, Video
from trainables.data.readers.places import VIDEO_SUFFIXES


def find_twins(videos: Sequence[Video], root: Path, folder: Path) -> dict[Path, Path]:
    """Path of each original -> its anonymized video below `folder`: the file of the same name, in the same folders as below the
    data root `root` or as below one of its folders, of any suffix of a video.

    Raises DataError, one line, where there is no such folder, or one of the videos is not there.
    """
    if not folder.is_dir():
        raise DataError(f"data.anonymized = {folder}: no such directory")
    known = {
        path.relative_to(folder).with_suffix(""): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
    }
    originals = list(dict.fromkeys(video.path for video in videos))
    names = [path.relative_to(root).with_suffix("") for path in originals]
    best: list[str] = []
    for depth in range(max((len(name.parts) for name in names), default=0)):
        wanted = [Path(*name.parts[min(depth, len(name.parts) - 1) :]) for name in names]
        lacking = [str(name) for name, own in zip(names, wanted, strict=True) if own not in known]
        if not lacking and len(set(wanted)) == len(wanted):
            return {path: known[own] for path, own in zip(originals, wanted, strict=True)}
        if not best or len(lacking) < len(best):
            best = lacking or best
    raise DataError(
        f"{folder}: {len(best)} of {len(originals)} videos below {root} have no anonymized one of the same relative name there,"
        f" first {best[0] if best else names[0]}; give a folder with all of them"
    )


def require_alike(twins: Iterable[tuple[Path, Path]]) -> None:
    """Raises DataError, one line that counts them and names the first, where frames or sizes differ from the original's."""
    from trainables.data.reading import count_frames, own_size

    wrong = []
    for original, twin in twins:
        frames, sizes = (count_frames(original), count_frames(twin)), (own_size(original), own_size(twin))
        if frames[0] != frames[1]:
            wrong.append(f"{twin} has {frames[1]} frames, {original} has {frames[0]}")
        elif sizes[0] != sizes[1]:
            (h, w), (own_h, own_w) = sizes
            wrong.append(f"{twin} has frames of {own_h}x{own_w}, {original} of {h}x{w}")
    if wrong:
        raise DataError(
            f"data.anonymized: {wrong[0]} ({len(wrong)} such videos); frame n must show what frame n of the original does"
        )


def contents_of_twins(videos: Sequence[Video]) -> list[tuple[str, str]]:
    """The name of each video, and what is in the file of its twin."""
    contents = contents_of(video.twin for video in videos if video.twin is not None)
    return [(video.name, contents[video.twin]) for video in videos if video.twin is not None]
