"""What makes the figures of a data set say something else than they seem to, though every file of it can be read."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainables.data.contents import contents_of
from trainables.data.items import Still, StillSplits, Video, VideoSplits, contents_of_items
from trainables.data.readers.places import spelled_alike
from trainables.data.readers.stretches import is_outside, lengths_of

Items = Sequence[Video | Still]


@dataclass(frozen=True)
class Flaw:
    """One flaw in a sentence. `falsifies`: figures would be wrong, so a trial refuses it unless `accept_flaws` is set."""

    says: str
    falsifies: bool


def flaws_of(splits: VideoSplits | StillSplits) -> list[Flaw]:
    """The flaws of one data set. It reads parts of every file (see `trainables.data.contents`)."""
    found = [Flaw(f"{splits.name}: {each}", True) for each in splits.flaws]
    found += [Flaw(f"{splits.name}: {each}", False) for each in splits.notes]
    for check in (_spellings, _one_class, _labels_never_trained, _shared_sources, _labelled_twice, _copies, _times):
        found += check(splits)
    return found


def overlaps(trained_on: Mapping[str, Items], tested_on: Mapping[str, Items]) -> list[Flaw]:
    """Files that a trial trains on and tests on, in one data set of it or in two, by the names of the sets."""
    found = []
    for test_name, test in tested_on.items():
        paths = {item.path for item in test}
        for train_name, train in trained_on.items():
            if both := {item.path for item in train} & paths:
                place = f"as {train_name} and are tested on as {test_name}"
                remedy = "choose splits that are apart (for HMDB51, set train_on_pa_hmdb51: false)"
                found.append(Flaw(f"{len(both):,} files, first {_name(min(both))}, train {place}; {remedy}", True))
    return found


def _shared_sources(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    trained = {item.group for item in (*splits.train, *splits.validation)}
    counted = Counter(item.group for item in splits.test if item.group in trained)
    if not counted:
        return
    said = (
        f"{splits.name}: {len(counted):,} sources, such as {_some(counted)}, are in training and in test"
        f" ({sum(counted.values()):,} of {len(splits.test):,} test items)"
    )
    if splits.published:
        yield Flaw(f"{said}, as published", False)
    else:
        yield Flaw(f"{said}: test figures flatter; keep a person or recording on one side, or correct the groups", True)


def _spellings(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Names that are written in two ways, so that one class, attribute or person seems to be two."""
    items = (*splits.train, *splits.validation, *splits.test)
    names = {
        "attributes": splits.attributes,
        "classes": splits.classes if isinstance(splits, VideoSplits) else (),
        "sources": [] if splits.published else {item.group for item in items if item.group != item.name},
    }
    for what, written in names.items():
        if alike := spelled_alike(written):
            yield Flaw(f"{splits.name}: the {what} {_some(alike[0])} are written in two ways; write each in one", True)


def _one_class(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Every answer is right where there is one class; clips that only measure privacy may be such."""
    if isinstance(splits, VideoSplits) and len(splits.classes) == 1:
        says = f"{splits.name}: one class alone, {splits.classes[0]!r}: every answer is right; give clips of another class too"
        yield Flaw(says, falsifies=not splits.attributes)


def _labels_never_trained(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Classes and attributes that a test asks for and that nobody can have learned."""
    if not splits.train or not splits.test:
        return
    if isinstance(splits, VideoSplits):
        trained = {item.label for item in splits.train}
        unknown = Counter(splits.classes[item.label] for item in splits.test if item.label not in trained)
        if unknown:
            yield Flaw(
                f"{splits.name}: {len(unknown)} classes without a training item, such as {_some(unknown)}, have"
                f" {sum(unknown.values()):,} test items; give them training items or leave them out",
                True,
            )
        tested = {item.label for item in splits.test}
        if untested := [name for label, name in enumerate(splits.classes) if label not in tested]:
            yield Flaw(
                f"{splits.name}: {len(untested)} classes, such as {_some(untested)}, have no test item, so that no test figure"
                " is about them",
                False,
            )
    unseen = []
    for column, name in enumerate(splits.attributes):
        values = [{item.attributes[column] for item in part if item.attributes} for part in (splits.train, splits.test)]
        if len(values[0]) == 1 and len(values[1]) == 2:
            unseen.append(name)
    if unseen:
        yield Flaw(
            f"{splits.name}: {len(unseen)} attributes, such as {_some(unseen)}, have one value in all training items and two in"
            " test: nobody can learn them, so they seem private; correct the labels or leave them out",
            True,
        )


def _labelled_twice(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Clips that are listed under two names."""
    seen: dict[tuple[object, ...], str] = {}
    twice = []
    for item in (*splits.train, *splits.validation, *splits.test):
        own = (item.span,) if isinstance(item, Video) else (item.frame, item.clip and item.clip.span, item.moment)
        if (other := seen.setdefault((item.path, *own), item.name)) != item.name:
            twice.append(f"{other!r} and {item.name!r}")
    if twice:
        yield Flaw(f"{splits.name}: {len(twice):,} clips are listed twice, first {twice[0]}; list each once", True)


def _copies(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Files that are equal and have different names."""
    where: dict[Path, tuple[str, str]] = {}
    labels: dict[Path, set[object]] = defaultdict(set)
    for part in ("train", "validation", "test"):
        for item in getattr(splits, part):
            where.setdefault(item.path, ("test" if part == "test" else "training", item.name))
            if not (isinstance(item, Video) and item.span) and not (isinstance(item, Still) and (item.clip or item.frame)):
                labels[item.path].add((item.label if isinstance(item, Video) else None, item.attributes))
    alike = _alike(contents_of_items((*splits.train, *splits.validation, *splits.test)))
    copies = [paths for some in alike for paths in _alike(contents_of(some, whole=True))]  # alike in parts is not yet equal
    across = [paths for paths in copies if len({where[path][0] for path in paths}) == 2]
    within = [paths for paths in copies if paths not in across]
    differing = [paths for paths in within if len(set.union(*(labels[path] for path in paths))) > 1]
    kinds = (
        (across, True, "one in training and one in test"),
        (differing, True, "with different labels"),
        ([paths for paths in within if paths not in differing], False, "counted as different items"),
    )
    for found, falsifies, place in kinds:
        if found:
            names = " and ".join(repr(where[path][1]) for path in found[0][:2])
            yield Flaw(
                f"{splits.name}: {len(found):,} files are there more than once, {place}, first {names}; list one of them",
                falsifies and not splits.published,
            )


def _alike(contents: Mapping[Path, str]) -> list[list[Path]]:
    """The paths that share their content with others."""
    found: dict[str, list[Path]] = defaultdict(list)
    for path, content in contents.items():
        found[content].append(path)
    return [paths for paths in found.values() if len(paths) > 1]


def _times(splits: VideoSplits | StillSplits) -> Iterator[Flaw]:
    """Stretches that are not in their video: their label is that of something else, or of less than it says."""
    clips = [item for item in (*splits.train, *splits.validation, *splits.test) if isinstance(item, Video) and item.span]
    lengths = lengths_of(item.path for item in clips)
    outside = [item for item in clips if item.span and is_outside(lengths[item.path], item.span)]
    if outside:
        first, seconds = outside[0], lengths[outside[0].path]
        yield Flaw(
            f"{splits.name}: {len(outside):,} clips go past the end of their videos, first {first.name!r}, whose video lasts"
            f" {seconds:.1f} s; correct their times",
            True,
        )


def _some(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names)[:3])


def _name(path: Path) -> str:
    return "/".join(path.parts[-2:])
