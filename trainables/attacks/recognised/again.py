"""The same person in another source, by the faces that a detector and a recogniser find: nothing is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.attacks.linkage.people import people_of
from trainables.attacks.recognised import FACES
from trainables.attacks.recognised.search import search_among
from trainables.attacks.shared.permutation import with_permuted_people
from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.data.items import Video, VideoSplits
from trainables.execution.context import StageContext
from trainables.metrics import Retrieval, retrieve
from trainables.stages import part_name
from trainables.statistics import above_chance
from trainables.store import Outcome

Faces = Mapping[str, Mapping[str, Tensor]]  # of each split, as `trainables.attacks.recognised.faces` leaves them
_DIGITS = 5
_NOBODY = -9.0  # the similarity of a clip without a face: below that of any face
_SPLITS = ("train", "validation", "test")
_GALLERIES = ("anonymized", "ordinary")


def run(context: StageContext) -> Outcome:
    people, splits = context.config.attacks.people, context.data.clips_with_attributes
    if context.config.attacks.permuted:
        splits = with_permuted_people(splits, context.seed("permutation"), people)
    own, raw = (context.inputs[role].state for role in (FACES.name, part_name(FACES.name, "raw")))
    looked = _search("validation", splits, own, raw, people)
    validated = [math.nan] * len(_GALLERIES)
    if looked is not None:
        validated = [above_chance(float(one.hits.mean()), float(one.chances.mean())) for one in looked]
    found = _search("test", splits, own, raw, people)
    assert found is not None  # else the attack is not tried
    best = found[strongest_member(validated)]
    asked = [item for item, counts in zip(_items("test", splits, own), best.asked, strict=True) if counts]
    faces = ~own["test"]["embeddings"][torch.from_numpy(best.asked)].isnan().any(dim=1).numpy()
    others = {"queries_with_a_face": float(faces.mean())}
    if faces.any():
        others |= {"rank1_with_a_face": float(best.hits[faces].mean()), "chance_with_a_face": float(best.chances[faces].mean())}
    evidence = AttackResult(
        ids=[item.name for item in asked],
        groups=people_of(asked, splits, people),
        members=[f"dlib, among {name} clips" for name in _GALLERIES],
        validated=validated,
        answers=torch.from_numpy(np.stack([one.hits for one in found])),
        chances=torch.from_numpy(best.chances),
        sureness=torch.from_numpy(best.hits * (1.0 + best.margins)),
        effort={"epochs": 0.0, "items": 0.0, "parameters": 0.0},
        converged=True,  # there is nothing to learn
        others=others,
    )
    return Outcome({}, [], {"evidence": evidence.state()})


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
    distance = np.linalg.norm(queries[:, None] - gallery[None], axis=2).round(_DIGITS)
    like = np.where(np.isnan(distance), _NOBODY, -distance)
    like[np.isnan(queries).any(axis=1)] = 0.0
    return like
