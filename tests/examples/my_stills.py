"""A still set of one's own: `<root>/portraits/labels.csv` with `file,person,split,glasses,beard`, the images beside it."""

import csv
from pathlib import Path

from trainables.config import PrivacyData
from trainables.data.items import DataError, Still, StillSplits
from trainables.data.registry import STILL_SETS

ATTRIBUTES = ("glasses", "beard")


@STILL_SETS.register("portraits")
def read(config: PrivacyData, root: Path) -> StillSplits:
    table = root / "portraits" / "labels.csv"
    if not table.is_file():
        raise DataError(f"{table}: not there; put the table and the images of the portraits there")
    splits: dict[str, list[Still]] = {"train": [], "validation": [], "test": []}
    with table.open(newline="") as file:
        for row in csv.DictReader(file):
            labels = tuple(float(row[name]) for name in ATTRIBUTES)
            splits[row["split"]].append(Still(row["file"], table.parent / row["file"], labels, group=row["person"]))
    return StillSplits(config.name, ATTRIBUTES, *(tuple(splits[name]) for name in ("train", "validation", "test")))
