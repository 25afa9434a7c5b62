"""A search for clips of the same person by features that nobody trained for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from trainables.attacks.linkage.people import PersonSearch, across_sources, people_of, search_of
from trainables.attacks.pretrained import FEATURES
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

Features = Mapping[str, Tensor]  # of each split


def run(context: StageContext) -> Outcome:
    people, splits = context.config.attacks.people, context.data.clips_with_attributes
    if context.config.attacks.permuted:
        splits = with_permuted_people(splits, context.seed("permutation"), people)
    own, raw = (context.inputs[role].state for role in (FEATURES.name, part_name(FEATURES.name, "raw")))
    search = across_sources(search_of(splits, splits.validation, people), splits, people)
    validated = leakage_of_searches(_look(search, splits, "validation", own, raw) if search.asked.any() else None)
    # there is nothing to learn, so that validation clips are only more clips to be found
    splits = replace(splits, train=(*splits.train, *splits.validation), validation=())
    own, raw = ({**found, "train": torch.cat([found["train"], found["validation"]])} for found in (own, raw))
    search = across_sources(search_of(splits, splits.test, people), splits, people)
    found = _look(search, splits, "test", own, raw)
    best = strongest_search(found, validated)
    asked = [item for item, counts in zip(search.queries, best.asked, strict=True) if counts]
    others = {f"rank1_{name}": float(one.hits.mean()) for name, one in zip(GALLERIES, found, strict=True)}
    others |= {f"map_{name}": one.mean_ap for name, one in zip(GALLERIES, found, strict=True)}
    left = len(search.queries) - len(asked)
    members = [f"nearest among {name} clips" for name in GALLERIES]
    evidence = replace(
        result_of_searches(asked, people_of(asked, splits, people), found, validated, members, others),
        effort={"epochs": 0.0, "items": 0.0, "parameters": float(own["test"].shape[1])},
        notes=[f"{left} test clips have nobody to be found or nobody to be confused with, and are left out"] if left else [],
    )
    who = people_of(search.queries, splits, people)
    known, published = ((own, raw)[strongest_member(validated)]["test"].double().numpy(), own["test"].double().numpy())
    risks = risks_of_searches(known, published, search.queries, who, context.seed("people at risk"))
    return Outcome({}, [], {"evidence": evidence.state(), **risks})


def _look(search: PersonSearch, splits: VideoSplits, split: str, own: Features, raw: Features) -> tuple[Retrieval, Retrieval]:
    """Searches for the anonymized queries among the anonymized clips, and among the raw clips, of the gallery."""
    there = split if _is(search.gallery, getattr(splits, split)) else "train"
    queries = _units(own[split])
    similar = [(queries @ _units(gallery[there]).T).numpy().round(DIGITS) for gallery in (own, raw)]
    return retrieve(similar[0], search.same, search.candidates), retrieve(similar[1], search.same, search.candidates)


def _is(gallery: tuple[Video, ...], items: tuple[Video, ...]) -> bool:
    return [item.name for item in gallery] == [item.name for item in items]


def _units(features: Tensor) -> Tensor:
    return torch.nn.functional.normalize(features.double(), dim=1)
