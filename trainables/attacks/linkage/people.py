"""Which clips show the same person, and in which clips each person is searched for. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainables.config import TrialConfig
from trainables.data.items import DataError, Video, VideoSplits
from trainables.data.trial_data import TrialData


@dataclass(frozen=True)
class PersonSearch:
    """A search for people, as two boolean arrays (Q, G) over queries and gallery.

    `same` says which clips of the gallery show the person of a query, `candidates` which clips are searched.
    """

    queries: tuple[Video, ...]
    gallery: tuple[Video, ...]
    same: NDArray[np.bool_]
    candidates: NDArray[np.bool_]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """(Q,) bool: the queries with at least one right and one wrong candidate; only these are counted."""
        return np.logical_and((self.same & self.candidates).any(axis=1), (~self.same & self.candidates).any(axis=1))


def search_of(splits: VideoSplits, queries: tuple[Video, ...], people: str) -> PersonSearch:
    """Returns the search: people known from training clips are searched for among those, others among the queries themselves.

    Where nobody is seen in two classes of action only clips of the same class are candidates: otherwise the action, which
    is there to be seen, would give the person away. `people` is `attacks.people`. Raises DataError as `numbered`.
    """
    numbers = numbered((*queries, *splits.train), splits, people)
    asked, trained = numbers[: len(queries)], numbers[len(queries) :]
    known = set(asked) <= set(trained)
    gallery, there = (splits.train, trained) if known else (queries, asked)
    candidates = np.ones((len(queries), len(gallery)), dtype=bool)
    if not known:
        np.fill_diagonal(candidates, False)
    seen = {(number, item.label) for number, item in zip((*asked, *there), (*queries, *gallery), strict=True)}
    if len(seen) == len({number for number, _ in seen}):
        candidates &= _equal([item.label for item in queries], [item.label for item in gallery])
    return PersonSearch(queries, gallery, _equal(asked, there), candidates)


def across_sources(search: PersonSearch, splits: VideoSplits, people: str) -> PersonSearch:
    """The search where only clips of other sources are candidates: a clip of the same source is similar whoever it shows.

    Where the source stands for the person, nothing is left out.
    """
    if not named_by_label(splits, people):
        return search
    own, others = (np.array([item.group for item in items]) for items in (search.queries, search.gallery))
    return replace(search, candidates=search.candidates & (own[:, None] != others[None]))


def somebody_is_there_twice(config: TrialConfig, data: TrialData) -> bool:
    """Whether the clips with attributes hold anybody who can be searched for."""
    clips = data.clips_with_attributes
    return bool(search_of(clips, clips.test, config.attacks.people).asked.any())


def numbered(items: Sequence[Video], splits: VideoSplits, people: str) -> list[int]:
    """Returns a number for the person that each item shows. Raises DataError where labels should name people and do not."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(name, len(numbers)) for name in people_of(items, splits, people)]


def people_of(items: Sequence[Video], splits: VideoSplits, people: str) -> list[str]:
    """Returns a name for the person that each item shows. Raises DataError as `numbered`."""
    by_label = named_by_label(splits, people)
    return [_person(item, splits, by_label) for item in items]


def named_by_label(splits: VideoSplits, people: str) -> bool:
    """Whether the single label of each clip names the person in it; if not, its source stands for the person."""
    every = (*splits.train, *splits.validation, *splits.test)
    one_each = len(splits.attributes) > 1 and all(item.attributes is not None and sum(item.attributes) == 1 for item in every)
    if people == "attributes" and not one_each:
        raise DataError(f"{splits.name}: attacks.people = attributes, but not every clip carries exactly one label; set group")
    return one_each and people != "group"


def _person(item: Video, splits: VideoSplits, by_label: bool) -> str:
    if by_label and item.attributes is not None:
        return splits.attributes[item.attributes.index(1.0)]
    return item.group


def _equal(first: Sequence[int], second: Sequence[int]) -> NDArray[np.bool_]:
    return np.array(first)[:, None] == np.array(second)[None]
