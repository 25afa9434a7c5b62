"""VISPR, and any set of labelled images in its layout.

    VISPR/{train,val,test}2017.txt     lines `annotations/<split>/<id>.json`; without a val list, validation is cut from train
    VISPR/annotations/<split>/<id>.json  {"image_path": "images/<split>/<id>.jpg", "labels": ["a4_gender", ...]}
    VISPR/attributes.txt               optional: the names that the configuration's `auto` stands for

or, where there are no annotations, `VISPR/{train,val,test}2017_labels.pkl` (also without 2017): id -> array of 0/1 with the
seven columns of `vispr1` (or those of attributes.txt), and images `VISPR/[images/]<split>/<id>.jpg`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.config import PrivacyData
from trainables.data.items import DataError, Still, StillSplits
from trainables.data.readers.common import (
    ListEntry,
    find_file,
    find_groups,
    read_json,
    read_labels_pickle,
    read_list,
    refuse,
    refuse_outside,
    refuse_unknown,
    refuse_unusable,
    require_folder,
)
from trainables.data.readers.places import find_folder, fold
from trainables.data.registry import STILL_SETS
from trainables.data.validation import hold_out_validation

FOLDERS = ("VISPR", "vispr")
PARTS = {"train": "train2017", "validation": "val2017", "test": "test2017"}
ATTRIBUTE_SETS = {
    "vispr1": (
        "a17_color",
        "a4_gender",
        "a9_face_complete",
        "a10_face_partial",
        "a12_semi_nudity",
        "a64_rel_personal",
        "a65_rel_social",
    ),
    "vispr2": (
        "a6_hair_color",
        "a16_race",
        "a59_sports",
        "a1_age_approx",
        "a2_weight_approx",
        "a73_landmark",
        "a11_tattoo",
    ),
}


@dataclass(frozen=True)
class _Image:
    """`entry.name` is the image's file under the folder; `labels` the attributes it shows."""

    entry: ListEntry
    id: str
    labels: frozenset[str]


@STILL_SETS.register("vispr")
def vispr(config: PrivacyData, root: Path) -> StillSplits:
    """VISPR with the attributes that `config` chooses."""
    folder = require_folder(root, FOLDERS, "VISPR")
    names = folder / "attributes.txt"
    listed = tuple(entry.name for entry in read_list(names)) if names.is_file() else ()
    wanted = _choose(config.attributes, listed)
    if (folder / "annotations").is_dir():
        images = {part: _read_annotated(folder, f"{split}.txt") for part, split in PARTS.items()}
    else:
        images = {part: _read_pickled(folder, split, listed or ATTRIBUTE_SETS["vispr1"]) for part, split in PARTS.items()}
    for part in ("train", "test"):
        if not images[part]:
            raise DataError(
                f"{folder}: no list {PARTS[part]}.txt with annotations/, and no {PARTS[part]}_labels.pkl; put one there"
            )
    every = [image for part in images.values() for image in part]
    by_letters = {fold(name): name for name in wanted}
    refuse_unknown(wanted, {label for image in every for label in image.labels}, f"labels of {folder}")
    refuse(
        [
            f"{image.entry.where}: the label {label!r} differs from {name!r} in its letters only"
            for image in every
            for label in image.labels
            if label not in wanted and (name := by_letters.get(fold(label))) is not None
        ],
        "write it alike everywhere: an attribute that is spelled in two ways seems private",
    )
    refuse_unusable(folder, [image.entry for image in every])
    stills = {part: _stills(images[part], folder, wanted, config.group_pattern) for part in PARTS}
    splits = StillSplits(config.name, wanted, stills["train"], stills["validation"], stills["test"], published=not listed)
    return hold_out_validation(splits, config.validation_fraction)


def _choose(attributes: str | tuple[str, ...], listed: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(attributes, str):
        return attributes
    if attributes == "auto":
        return listed or ATTRIBUTE_SETS["vispr1"]
    if attributes not in ATTRIBUTE_SETS:
        raise DataError(f"attributes {attributes!r}: write {', '.join(ATTRIBUTE_SETS)}, auto or a list of names")
    return ATTRIBUTE_SETS[attributes]


def _read_annotated(folder: Path, list_name: str) -> list[_Image]:
    """The images of a list, none where there is no such list."""
    if not (folder / list_name).is_file():
        return []
    entries = read_list(folder / list_name)
    refuse_outside(folder, entries)
    images, broken = [], []
    for entry in entries:
        try:
            content = read_json(folder / entry.name)
        except DataError as error:
            broken.append(f"{entry.where}: {error}")
            continue
        path = content.get("image_path") if isinstance(content, dict) else None
        labels = content.get("labels") if isinstance(content, dict) else None
        if isinstance(path, str) and isinstance(labels, list) and all(isinstance(label, str) for label in labels):
            images.append(_Image(ListEntry(path, entry.where), Path(entry.name).stem, frozenset(labels)))
        else:
            broken.append(f'{entry.where}: {folder / entry.name}: no {{"image_path": text, "labels": [text, ...]}}')
    refuse(broken, "put the annotations of every listed image there")
    return images


def _read_pickled(folder: Path, split: str, columns: tuple[str, ...]) -> list[_Image]:
    """The images of a label file, none where there is no such file."""
    short = split.removesuffix("2017")
    names = [f"{split}_labels.pkl", f"{short}_labels.pkl"]
    path = find_file(folder, names) or find_file(folder.parent, names)  # SPAct's code keeps labels and images apart
    if path is None:
        return []
    table = read_labels_pickle(path, columns)
    places = [f"images/{split}", split, f"images/{short}", short]
    images = find_folder(folder, places)
    if images is None:
        raise DataError(f"{folder}: no folder with the images of {path.name}; put them at {' or '.join(places)}")
    place = images.relative_to(folder)
    return [
        _Image(
            ListEntry(f"{place}/{name.removesuffix('.jpg')}.jpg", str(path)),
            name.removesuffix(".jpg"),
            frozenset(column for column, label in zip(columns, row, strict=True) if label),
        )
        for name, row in table.rows.items()
    ]


def _stills(images: Sequence[_Image], folder: Path, wanted: Sequence[str], group_pattern: str | None) -> tuple[Still, ...]:
    groups = find_groups(group_pattern, [ListEntry(image.id, image.entry.where) for image in images])
    return tuple(
        Still(
            name=image.entry.name,
            path=folder / image.entry.name,
            attributes=tuple(float(name in image.labels) for name in wanted),
            group=group,
        )
        for image, group in zip(images, groups, strict=True)
    )
