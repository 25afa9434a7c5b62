"""Data sets with their official lists and labels, every video and image a few bytes: enough to plan on, not to train on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support import SHARED
from trainables.data.readers.vispr import ATTRIBUTE_SETS

ANNOTATIONS = SHARED / "annotations"
SPLITS = ANNOTATIONS / "official_splits" / "data"


def make_official(root: Path, every: int, images: int | None) -> None:
    """Puts UCF101, HMDB51, PA-HMDB51's and the VP labels, and VISPR into `root`, an empty directory.

    every: of the listed videos one in so many, and all that PA-HMDB51 labels. images: so many of each VISPR list; None: all.
    """

    def put(path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(str(path.relative_to(path.parents[2])))

    (root / "ucfTrainTestlist").mkdir()
    for name in ("trainlist01.txt", "testlist01.txt"):
        kept = (SPLITS / "ucf101_splits" / name).read_text().splitlines()[::every]
        (root / "ucfTrainTestlist" / name).write_text("\n".join(kept) + "\n")
        for line in kept:
            put(root / "UCF-101" / line.split()[0])
    (root / "ucfTrainTestlist" / "classInd.txt").write_text((SPLITS / "ucf101_splits" / "classInd.txt").read_text())
    annotated = {
        f"{path.stem}/{name}"
        for path in (ANNOTATIONS / "pa_hmdb51" / "PrivacyAttributes").glob("*.json")
        for name in json.loads(path.read_text())
    }
    (root / "testTrainMulti_7030_splits").mkdir()
    for path in (SPLITS / "hmdb51_splits").glob("*_test_split1.txt"):
        label = path.name.removesuffix("_test_split1.txt")
        lines = path.read_text().splitlines()
        kept = [line for n, line in enumerate(lines) if n % every == 0 or f"{label}/{line.split()[0]}" in annotated]
        (root / "testTrainMulti_7030_splits" / path.name).write_text("\n".join(kept) + "\n")
        for line in kept:
            put(root / "HMDB51" / label / line.split()[0])
    (root / "PrivacyAttributes").symlink_to(ANNOTATIONS / "pa_hmdb51" / "PrivacyAttributes")
    for name in annotated:
        put(root / "HMDB51" / name)
    for name in ("ucf101", "hmdb51"):
        label = f"{name}_privacy_attribute_label.pickle"
        (root / label).symlink_to(ANNOTATIONS / "vp_annotations" / "annotations" / label)
    attributes = [*ATTRIBUTE_SETS["vispr1"], *ATTRIBUTE_SETS["vispr2"]]
    for split in ("train2017", "val2017", "test2017"):
        kept = (ANNOTATIONS / "vispr_lists" / f"{split}.txt").read_text().splitlines()[:images]
        (root / "VISPR").mkdir(exist_ok=True)
        (root / "VISPR" / f"{split}.txt").write_text("\n".join(kept) + "\n")
        for number, line in enumerate(kept):
            image = f"images/{split}/{Path(line).stem}.jpg"
            put(root / "VISPR" / image)
            labels = {"image_path": image, "labels": [attributes[number % len(attributes)]]}
            path = root / "VISPR" / line
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(labels))
