"""The same person in another source, by the faces that a detector and a recogniser find: nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.attacks.linkage.people import people_of
from trainables.attacks.recognised import FACES
from trainables.attacks.recognised.search import search_among
from trainables.attacks.shared.permutation import with_permuted_people
from trainables.attacks.shared.result import strongest_member
from trainables.attacks.shared.searches import (
    DIGITS,
    GALLERIES,
    leakage_of_searches,
    result_of_searches,
    risks_of_searches,
    strongest_search,
)
from trainables.data.items import Video, VideoSplits
from trainables.execution.context import StageContext
from trainables.metrics import Retrieval, retrieve
from trainables.stages import part_name
from trainables.store import Outcome

Faces = Mapping[str, Mapping[str, Tensor]]  # of each split, as `trainables.attacks.recognised.faces` leaves them
_NOBODY = -9.0  # the similarity of a clip without a face: below that of any face
_SPLITS = ("train", "validation", "test")


def run(context: StageContext) -> Outcome:
    people, splits = context.config.attacks.people, context.data.clips_with_attributes
    if context.config.attacks.permuted:
        splits = with_permuted_people(splits, context.seed("permutation"), people)
    own, raw = (context.inputs[role].state for role in (FACES.name, part_name(FACES.name, "raw")))
    validated = leakage_of_searches(_search("validation", splits, own, raw, people))
    found = _search("test", splits, own, raw, people)
    assert found is not None  # else the attack is not tried
    best = strongest_search(found, validated)
    asked = [item for item, counts in zip(_items("test", splits, own), best.asked, strict=True) if counts]
    faces = ~own["test"]["embeddings"][torch.from_numpy(best.asked)].isnan().any(dim=1).numpy()
    others = {"queries_with_a_face": float(faces.mean())}
    if faces.any():
        others |= {"rank1_with_a_face": float(best.hits[faces].mean()), "chance_with_a_face": float(best.chances[faces].mean())}
    members = [f"dlib, among {name} clips" for name in GALLERIES]
    evidence = result_of_searches(asked, people_of(asked, splits, people), found, validated, members, others)
    clips = _items("test", splits, own)
    known, published = ((own, raw)[strongest_member(validated)], own)
    risks = risks_of_searches(
        known["test"]["embeddings"].numpy(),
        published["test"]["embeddings"].numpy(),
        clips,
        people_of(clips, splits, people),
        context.seed("people at risk"),
    )
    return Outcome({}, [], {"evidence": evidence.state(), **risks})


def _items(split: str, splits: VideoSplits, faces: Faces) -> list[Video]:
    return [getattr(splits, split)[number] for number in faces[split]["items"].tolist()]


def _search(split: str, splits: VideoSplits, own: Faces, raw: Faces, people: str) -> tuple[Retrieval, Retrieval] | None:
    """Searches for the people of a split among anonymized and among ordinary clips; None where nobody can be searched for."""
    queries = _items(split, splits, own)
    gallery = [item for part in _SPLITS for item in _items(part, splits, own)]
    if not queries:
        return None
    search = search_among(queries, gallery, splits, people)
    if not search.asked.any():
        return None
    asked = own[split]["embeddings"].numpy()
    every = [np.concatenate([faces[part]["embeddings"].numpy() for part in _SPLITS]) for faces in (own, raw)]
    first, second = (retrieve(likeness(asked, there), search.same, search.candidates) for there in every)
    return first, second


def likeness(queries: NDArray[np.float64], gallery: NDArray[np.float64]) -> NDArray[np.float64]:
    """(Q, D), (G, D) -> (Q, G), minus the distance of two faces. A row of NaN has no face: as a query it is as like to all, so
    that it is a guess, and nobody finds it.
    """
    distance = np.linalg.norm(queries[:, None] - gallery[None], axis=2).round(DIGITS)
    like = np.where(np.isnan(distance), _NOBODY, -distance)
    like[np.isnan(queries).any(axis=1)] = 0.0
    return like
