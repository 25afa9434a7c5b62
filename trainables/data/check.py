"""Which data sets are under a data root, whether they can be used, and whether they hold the official number of items."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from trainables.config import ActionData, PrivacyData
from trainables.data.flaws import Flaw, flaws_of
from trainables.data.items import DataError, StillSplits, VideoSplits
from trainables.data.readers import hmdb51, ucf101, vp  # the package registers every data set
from trainables.data.readers.common import DataNotThereError, nearest
from trainables.data.reading import decoder
from trainables.data.registry import STILL_SETS, VIDEO_SETS, load_stills, load_videos
from trainables.data.validation import HeldOut, held_out
from trainables.data.verify import Files, files_of, problems_of

# (data set, part) -> training items including those for validation, test items
UCF101_SPLITS = {1: (9_537, 3_783), 2: (9_586, 3_734), 3: (9_624, 3_696)}
HMDB51_SPLITS = {1: (3_570, 1_530), 2: (3_570, 1_530), 3: (3_570, 1_530)}
PA_HMDB51_SPLITS = {1: (3_284, 515), 2: (3_267, 515), 3: (3_259, 515)}  # HMDB51 trains without the 515
PA_HMDB51_STILLS = 3_483
VISPR_IMAGES = (10_000 + 4_167, 8_000)
VP_LABELS = {"vp_ucf101": 13_320, "vp_hmdb51": 6_766}


@dataclass(frozen=True)
class Ways:
    """How many videos are read by the times in the file, how many by what one whole decode has found, and how many have what
    needs care, by its name (`trainables.data.decoding.care`): of these decord gives other frames, or none.
    """

    timed: int
    decoded: int
    care: Mapping[str, int]

    def __str__(self) -> str:
        most_first = sorted(self.care.items(), key=lambda named: (-named[1], named[0]))
        named = "".join(f"\n  {count:,} with {name}" for name, count in most_first)
        care = f"; to be read with care, and not by decord:{named}" if named else "; none needs care"
        return f"{self.timed:,} videos by the times in the file, {self.decoded:,} by one whole decode{care}"


@dataclass(frozen=True)
class DataSetPart:
    """One part of a data set: the items in each split, the official (train and validation, test), or what is wrong.

    ways: how its videos are read.
    held_out: the classes (of images: the attributes) with the smallest and the largest share held out for validation.
    flaws: what makes its figures say something else than they seem to.
    """

    name: str
    part: str
    state: Literal["found", "missing", "broken"]
    counts: tuple[int, int, int] | None = None
    official: tuple[int, int] | None = None
    problem: str = ""
    held_out: tuple[HeldOut, HeldOut] | None = None
    flaws: tuple[Flaw, ...] = ()
    ways: Ways | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("root", type=Path, metavar="ROOT", help="the data root: the folder that holds the data sets")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="check these data sets, and fail if one is not there")
    parser.add_argument(
        "--decode", action="store_true", help="also decode every video and image (minutes for a large data set)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Prints what was found.

    Returns 1 if nothing was found, or something that was found or asked for cannot be used or would falsify figures; else 0.
    """
    root: Path = arguments.root
    if not root.is_dir():
        print(f"{root}: no such folder; give the folder that holds the data sets")
        return 1
    known = sorted({*VIDEO_SETS, *STILL_SETS})
    unknown = [name for name in arguments.only or () if name not in known]
    if unknown:
        print(f"no data set named {unknown[0]!r} ({nearest(unknown[0], known)})")
        return 1
    names = list(dict.fromkeys(arguments.only or known))
    findings = [finding for name in names for finding in check(name, root, arguments.decode)]
    print("\n".join(_table(findings)))
    broken = [finding for finding in findings if finding.state == "broken"]
    there = {finding.name for finding in findings if finding.state == "found"}
    absent = [finding for finding in findings if finding.name not in there and finding.state == "missing"]
    shown = broken + (absent if arguments.only else [])
    for line in filter(None, map(_uneven, findings)):
        print(f"\n{line}")
    flaws = {flaw.says: flaw for finding in findings for flaw in finding.flaws}
    for says, flaw in flaws.items():
        print(f"\n{'flaw: ' if flaw.falsifies else ''}{says}")
    for finding in shown:
        print(f"\n{finding.name} {finding.part}: {finding.problem}")
    if arguments.decode:
        print(f"\nvideos are read by {decoder()}")
        for finding in findings:
            if finding.ways and finding.ways.timed + finding.ways.decoded:
                print(f"{finding.name} {finding.part}: {finding.ways}")
    if not there and not shown:
        print(f"\n{root}: none of the data sets is there; the layouts are in the modules of trainables/data/readers")
    return 1 if shown or not there or any(flaw.falsifies for flaw in flaws.values()) else 0


def check(name: str, root: Path, decode: bool = False) -> Iterator[DataSetPart]:
    """Yields what was found of every part of the data set `name`: its splits, its label file, its stills."""
    if name in VIDEO_SETS:
        for split in _splits(name, root):
            config = ActionData(name=name, split=split)
            official = _official_videos(name, split)
            yield _find(name, f"split {split}", partial(load_videos, config, root), official, decode)
    if name in VP_LABELS:
        yield _find_labels(name, root)
    if name in STILL_SETS:
        official = {"vispr": VISPR_IMAGES, "pa_hmdb51": (0, PA_HMDB51_STILLS)}.get(name)
        yield _find(name, "images", partial(load_stills, PrivacyData(name=name), root), official, decode)


def _splits(name: str, root: Path) -> tuple[int, ...]:
    """The splits that have lists; the first where there is none, for its error to be reported."""
    available = {"ucf101": ucf101.available_splits, "hmdb51": hmdb51.available_splits}.get(name)
    try:
        return (available(root) if available else ()) or (1,)
    except DataError:
        return (1,)


def _official_videos(name: str, split: int) -> tuple[int, int] | None:
    if name in ("ucf101", "vp_ucf101"):
        return UCF101_SPLITS[split]
    if name in ("hmdb51", "vp_hmdb51"):
        return HMDB51_SPLITS[split]
    return PA_HMDB51_SPLITS[split] if name == "pa_hmdb51" else None


def _find(
    name: str, part: str, load: Callable[[], VideoSplits | StillSplits], official: tuple[int, int] | None, decode: bool
) -> DataSetPart:
    try:
        splits = load()
    except DataNotThereError as error:
        return DataSetPart(name, part, "missing", problem=str(error))
    except DataError as error:
        return DataSetPart(name, part, "broken", problem=str(error))
    found = DataSetPart(name, part, "found", (len(splits.train), len(splits.validation), len(splits.test)), official)
    found = replace(found, flaws=tuple(flaws_of(splits)))
    shares = held_out(splits)
    by_class = [share for share in shares if share.what.startswith("class ")] or shares
    if by_class and splits.validation:
        found = replace(found, held_out=(by_class[0], by_class[-1]))
    if not decode:
        return found
    files = files_of((*splits.train, *splits.validation, *splits.test))
    if problems := list(problems_of(files, decode=True)):
        return replace(found, state="broken", problem=f"{problems[0]} ({len(problems):,} such in all)")
    return replace(found, ways=_ways(files))


def _find_labels(name: str, root: Path) -> DataSetPart:
    """All rows of a VP label file count as its test items: the splits use them or, in HMDB51, some of them."""
    try:
        rows = len(vp.read_labels(ActionData(name=name), root).rows)
    except DataNotThereError as error:
        return DataSetPart(name, "labels", "missing", problem=str(error))
    except DataError as error:
        return DataSetPart(name, "labels", "broken", problem=str(error))
    return DataSetPart(name, "labels", "found", (0, 0, rows), (0, VP_LABELS[name]))


def _ways(files: Files) -> Ways:
    from trainables.data.reading import find_frames  # decoders, and what they import, only where they are used

    found = [find_frames(path) for path, frames in files.items() if frames is not None]
    timed = sum(index.timed for index in found)
    return Ways(timed, len(found) - timed, Counter(name for index in found for name in index.care))


def _table(findings: Sequence[DataSetPart]) -> list[str]:
    rows = [["data set", "part", "state", "train", "validation", "test", "of a class", "official"]]
    for finding in findings:
        counts = [f"{count:,}" for count in finding.counts] if finding.counts else ["-"] * 3
        rows.append([finding.name, finding.part, finding.state, *counts, _held_out(finding), _compare(finding)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = range(3, 7)
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _held_out(finding: DataSetPart) -> str:
    """The smallest and the largest share of a class that is held out for validation."""
    if finding.held_out is None:
        return "-"
    least, most = (f"{100.0 * one.share:.0f}" for one in finding.held_out)
    return f"{least}%" if least == most else f"{least}-{most}%"


def _uneven(finding: DataSetPart) -> str:
    """Names the class or attribute that is cut least evenly, if it gives less than half, or more than twice, its share."""
    if finding.held_out is None or finding.counts is None:
        return ""
    whole = finding.counts[1] / (finding.counts[0] + finding.counts[1])
    least, most = finding.held_out
    worst = least if least.share * most.share < whole**2 else most
    if 0.5 <= worst.share / whole <= 2.0:
        return ""
    return (
        f"{finding.name} {finding.part}: of {worst.what}, {worst.validation} of {worst.items} training items are for validation"
        f" ({100.0 * worst.share:.0f} %; {100.0 * whole:.0f} % of all items are); more and smaller groups would even it out"
    )


def _compare(finding: DataSetPart) -> str:
    if finding.counts is None or finding.official is None:
        return "-"
    train, validation, test = finding.counts
    if (train + validation, test) == finding.official:
        return "yes"
    return f"differs: {finding.official[0]:,} train + validation, {finding.official[1]:,} test"
