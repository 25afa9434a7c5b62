"""HMDB51.

    HMDB51/<class>/*.avi           (also hmdb51, hmdb51_org)
    testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt  (also inside the video folder): `name.avi 1 `;
                                   1 = train, 2 = test, 0 = unused in this split

The videos that PA-HMDB51 labels train like the others: a study that tests on them reads the data set `pa_hmdb51`, or sets
`train_on_pa_hmdb51: false`, for which its label files must be under the root.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trainables.config import ActionData
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.readers.common import ListEntry, read_list, refuse, refuse_attributes, refuse_unusable, require_folder
from trainables.data.readers.pa_annotations import annotated_names
from trainables.data.readers.places import VIDEO_SUFFIXES, fold, lists_in
from trainables.data.registry import VIDEO_SETS
from trainables.data.validation import hold_out_validation

VIDEO_FOLDERS = ("HMDB51/videos", "HMDB51", "hmdb51", "hmdb51_org")
LIST_FOLDER = "testTrainMulti_7030_splits"
CLASSES = 51


@VIDEO_SETS.register("hmdb51")
def hmdb51(config: ActionData, root: Path) -> VideoSplits:
    """HMDB51; its videos carry no attributes."""
    refuse_attributes(config.attributes, config.name)
    return hold_out_validation(read_splits(config, root), config.validation_fraction)


def read_splits(config: ActionData, root: Path) -> VideoSplits:
    """The official split `config.split`: no validation, no attributes.

    The videos of PA-HMDB51 train as `config.train_on_pa_hmdb51` says; raises DataError where they are to be left out and their
    label files are not under the root.
    """
    folder = video_folder(root)
    suffix = f"_test_split{config.split}.txt"
    files = sorted(_list_folder(root, folder).glob(f"*{suffix}"))
    if not files:
        there = ", ".join(str(split) for split in available_splits(root)) or "none"
        raise DataError(
            f"{_list_folder(root, folder)}: no <class>{suffix} (splits there: {there}); put them there or choose another split"
        )
    classes = tuple(sorted(path.name.removesuffix(suffix) for path in files))
    listed: dict[str, list[ListEntry]] = {"0": [], "1": [], "2": []}
    malformed = []
    for path in files:
        for line in read_list(path):
            parts = line.name.rsplit(maxsplit=1)  # from the right: the name itself may hold blanks
            if len(parts) == 2 and parts[1] in listed:
                listed[parts[1]].append(ListEntry(f"{path.name.removesuffix(suffix)}/{parts[0]}", line.where))
            else:
                malformed.append(f"{line.where}: {line.name!r} is not `name.avi` and 0, 1 or 2")
    refuse(malformed, "correct the list")
    asked = config.train_on_pa_hmdb51
    held_back = frozenset() if asked or (asked is None and config.name != "pa_hmdb51") else annotated_names(root)
    train = [entry for entry in listed["1"] if entry.name not in held_back]
    for part, entries in (("training", train), ("test", listed["2"])):
        if not entries:
            raise DataError(f"{files[0].parent}: no {part} videos in split {config.split}; put the official lists there")
    paths = refuse_unusable(folder, [*train, *listed["2"]])
    videos = [make_video(entry.name, paths, classes) for entry in train]
    test = tuple(make_video(entry.name, paths, classes) for entry in listed["2"])
    known = {fold(name) for name in classes}
    unlisted = sorted(
        path.name for path in folder.iterdir() if path.is_dir() and fold(path.name) not in known and _holds_videos(path)
    )
    flaws = [
        f"no list {name}{suffix} for the folder {name}, so it is no class: fewer classes make actions easier"
        for name in unlisted
    ]
    return VideoSplits(config.name, classes, (), tuple(videos), (), test, published=len(classes) == CLASSES, flaws=tuple(flaws))


def available_splits(root: Path) -> tuple[int, ...]:
    """The numbers of the splits with lists. Raises DataError where videos or lists are not there."""
    lists = _list_folder(root, video_folder(root))
    return tuple(split for split in (1, 2, 3) if any(lists.glob(f"*_test_split{split}.txt")))


def make_video(name: str, paths: Mapping[str, Path], classes: tuple[str, ...]) -> Video:
    """The video `<class>/<file>`; `classes` must hold its class."""
    return Video(name, paths[name], classes.index(name.partition("/")[0]), source(name))


def _holds_videos(folder: Path) -> bool:
    return any(path.suffix.lower() in VIDEO_SUFFIXES for path in folder.iterdir())


def source(name: str) -> str:
    """The film or video that the clip `<class>/<source>_<class>_<camera and quality>.avi` was cut from.

    The class name may occur in the source as well: what stands before its last occurrence counts. Clips of different
    classes cut from one film share their source.
    """
    label_class, _, file = name.partition("/")
    before, found, _ = file.rpartition(f"_{label_class}_")
    return before if found else file.rpartition(".")[0]


def video_folder(root: Path) -> Path:
    """Raises DataError where HMDB51's videos are not under `root`."""
    return require_folder(root, VIDEO_FOLDERS, "the videos of HMDB51")


def _list_folder(root: Path, folder: Path) -> Path:
    places = [root / LIST_FOLDER, folder / LIST_FOLDER]
    found = next((place for place in places if place.is_dir()), None)
    if found is None or not any(found.glob("*_test_split?.txt")):  # a wrapper folder, or mmaction2's `annotations`
        near = (
            [found] if found else [folder.parent / "annotations", folder / "annotations", *root.glob(f"*/{LIST_FOLDER}"), root]
        )
        found = lists_in(near, "*_test_split?.txt") or found
    if found is None:
        raise DataError(f"{folder}: no lists for these videos; put the folder {LIST_FOLDER} at {places[0]} or {places[1]}")
    return found
