"""Who is searched for in clips of other sources, where nothing is learned: every clip may be found. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainables.attacks.linkage.people import PersonSearch, across_sources, named_by_label, people_of
from trainables.data.items import Video, VideoSplits


def search_among(queries: Sequence[Video], gallery: Sequence[Video], splits: VideoSplits, people: str) -> PersonSearch:
    """A search for the people of `queries` among the clips of `gallery` that are of another source."""
    asked, there = (np.array(people_of(items, splits, people)) for items in (queries, gallery))
    same = asked[:, None] == there[None]
    return across_sources(PersonSearch(tuple(queries), tuple(gallery), same, np.ones_like(same)), splits, people)


def somebody_is_in_two_sources(splits: VideoSplits, people: str) -> bool:
    """Whether labels name people, one of whom a test clip and a clip of another source show."""
    if not splits.test or not splits.attributes or not named_by_label(splits, people):
        return False
    every = (*splits.train, *splits.validation, *splits.test)
    return bool(search_among(splits.test, every, splits, people).asked.any())
