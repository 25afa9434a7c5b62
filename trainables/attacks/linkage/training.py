"""A search for clips of the same person, by embeddings trained for it on anonymized and ordinary clips together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from trainables.attacks.linkage.pairs import PersonPairs
from trainables.attacks.linkage.people import PersonSearch, numbered, people_of, search_of
from trainables.attacks.shared.convergence import curve_of, flattened
from trainables.attacks.shared.learning import attack_training, contact_sheet, effort
from trainables.attacks.shared.permutation import with_permuted_people
from trainables.attacks.shared.result import AttackResult, strongest_member
from trainables.attacks.shared.searches import DIGITS, GALLERIES, leakage_of_searches, risks_of_searches
from trainables.config import ClipConfig, NetworkConfig
from trainables.data.boxes import Boxes
from trainables.data.items import Video
from trainables.data.loader import Batch, EvaluationClips
from trainables.evaluation.learning import clip_of_frames, learn
from trainables.execution.context import StageContext, filled, validation_clip
from trainables.losses import products
from trainables.metrics import Retrieval, retrieve
from trainables.models.axes import frames_of
from trainables.models.base import Anonymizer
from trainables.models.privacy import PrivacyEncoder, build_privacy_encoder
from trainables.store import Outcome

_DATA = "clips_with_attributes"
_TEMPERATURE = 0.1
_PICTURED = 6


def run(context: StageContext) -> Outcome:
    settings, splits = context.config.attacks, context.data.clips_with_attributes
    if settings.permuted:
        splits = with_permuted_people(splits, context.seed("permutation"), settings.people)
    clip = clip_of_frames(context.config.clip, settings.frames)
    boxes = context.boxes(_DATA)
    numbers = numbered(splits.train, splits, settings.people)
    people = torch.tensor(numbers, device=context.device)
    anonymizer = context.anonymizer("anonymizer")
    torch.manual_seed(context.seed("weights"))
    network = context.placed(build_privacy_encoder(NetworkConfig(name=settings.encoder, weights=settings.weights)))
    samples = PersonPairs(splits.train, clip, context.seed("pairs"), numbers, boxes)
    pairs = context.loader(samples, max(2, settings.batch_size // (2 * clip.frames)), shuffle=True)

    def losses(batch: Batch) -> dict[str, Tensor]:
        (_, first), (ordinary, second) = (
            context.anonymized_view(anonymizer, half, training=True) for half in PersonPairs.halves(batch)
        )
        clips = torch.cat([first, second, ordinary])
        anchor, other, raw = context.through(network, partial(embed, network), clips).chunk(3)
        who = people[batch["index"]]
        return {"loss_anonymized": contrastive(anchor, other, who), "loss_raw": contrastive(anchor, raw, who)}

    def validated() -> list[float]:
        search = search_of(splits, splits.validation, settings.people)
        if not search.asked.any():
            return leakage_of_searches(None)
        return leakage_of_searches(_look(context, anonymizer, network, search, validation_clip(clip), boxes)[0])

    def validate() -> dict[str, float]:
        found = validated()
        return {} if math.isnan(found[0]) else {"leakage": max(found)}

    history = learn(context, network, pairs, losses, validate, attack_training(context))
    chosen_by = validated()
    search = search_of(splits, splits.test, settings.people)
    found, embeddings = _look(context, anonymizer, network, search, clip, boxes)
    spent = effort(context, network, len(splits.train))
    evidence = replace(
        _evidence(context, anonymizer, search, found, clip, boxes, chosen_by),
        groups=people_of(
            [item for item, asked in zip(search.queries, search.asked, strict=True) if asked], splits, settings.people
        ),
        effort=spent,
        curve=curve_of(history),
        converged=flattened(curve_of(history)),
    )
    risks = risks_of_searches(
        embeddings[strongest_member(chosen_by)],
        embeddings[0],
        search.queries,
        people_of(search.queries, splits, settings.people),
        context.seed("people at risk"),
    )
    return Outcome({}, history, {"evidence": evidence.state(), **risks})


def embed(network: PrivacyEncoder, clips: Tensor) -> Tensor:
    """(B, T, C, H, W) -> unit vectors (B, D), the mean over the frames of a clip."""
    return functional.normalize(network(frames_of(clips)).unflatten(0, clips.shape[:2]).mean(dim=1), dim=1)


def contrastive(first: Tensor, second: Tensor, people: Tensor) -> Tensor:
    """Supervised contrastive loss (Khosla et al., arXiv 2004.11362) of pairs (N, D) with people (N,): a scalar.

    With everybody once it is NT-Xent.
    """
    points, who = torch.cat([first, second]).float(), torch.cat([people, people])
    itself = torch.eye(len(points), dtype=torch.bool, device=points.device)
    logits = (products(points, points) / _TEMPERATURE).masked_fill(itself, float("-inf"))
    positive = (who[:, None] == who[None]) & ~itself
    chosen = logits.log_softmax(dim=1).masked_fill(~positive, 0.0).sum(dim=1)
    return -(chosen / positive.sum(dim=1)).mean()


def _look(
    context: StageContext,
    anonymizer: Anonymizer,
    network: PrivacyEncoder,
    search: PersonSearch,
    clip: ClipConfig,
    boxes: Boxes | None,
) -> tuple[tuple[Retrieval, Retrieval], tuple[np.ndarray, np.ndarray]]:
    """Searches for the anonymized queries among the anonymized clips, and among the raw clips, of the gallery; and returns the
    embeddings (Q, D) of the anonymized and of the raw queries.
    """
    queries = _embeddings(context, anonymizer, network, search.queries, clip, boxes)
    gallery = (
        queries if search.gallery is search.queries else _embeddings(context, anonymizer, network, search.gallery, clip, boxes)
    )
    similar = [(queries[0] @ there.T).round(DIGITS) for there in gallery]
    first, second = (retrieve(each, search.same, search.candidates) for each in similar)
    return (first, second), queries


@torch.no_grad()
def _embeddings(
    context: StageContext,
    anonymizer: Anonymizer,
    network: PrivacyEncoder,
    items: tuple[Video, ...],
    clip: ClipConfig,
    boxes: Boxes | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the embeddings (N, D) of the anonymized clips and of the raw clips."""
    network.eval()
    videos = max(1, context.config.attacks.batch_size // (clip.frames * clip.test_clips))
    loader = context.loader(EvaluationClips(items, clip, context.seed("test"), boxes=boxes), videos, shuffle=False)
    found: tuple[list[Tensor], list[Tensor]] = ([], [])
    for batch in context.evaluation_batches(loader):
        # each clip of a video by itself for the anonymizer, all of them one item for the embedding
        parts = context.anonymized_view(anonymizer, batch, clips=clip.test_clips)
        view, anonymized = (part.unflatten(0, (-1, clip.test_clips)).flatten(1, 2) for part in parts)
        with context.autocast():
            both = embed(network, torch.cat([filled(part, videos) for part in (anonymized, view)])).chunk(2)
        for rows, part in zip(found, both, strict=True):
            rows.append(part[: len(view)].double().cpu())
    return torch.cat(found[0]).numpy(), torch.cat(found[1]).numpy()


def _evidence(
    context: StageContext,
    anonymizer: Anonymizer,
    search: PersonSearch,
    found: tuple[Retrieval, Retrieval],
    clip: ClipConfig,
    boxes: Boxes | None,
    validated: list[float],
) -> AttackResult:
    names = GALLERIES
    strongest = strongest_member(validated)
    best = found[strongest]
    queries = [item for item, asked in zip(search.queries, best.asked, strict=True) if asked]
    sureness = best.hits * (1.0 + best.margins)
    worst = np.argsort(-sureness, kind="stable")[:_PICTURED]
    shown = _middle_frames(context, anonymizer, [queries[number] for number in worst], clip, boxes)
    matches = _middle_frames(context, anonymizer, [search.gallery[best.best[number]] for number in worst], clip, boxes)
    others = {"rank1": float(best.hits.mean()), "map": best.mean_ap, "eer": best.eer}
    for name, one in zip(names, found, strict=True):
        others |= {f"rank1_{name}": float(one.hits.mean()), f"map_{name}": one.mean_ap, f"eer_{name}": one.eer}
    left = len(search.queries) - len(queries)
    return AttackResult(
        ids=[item.name for item in queries],
        groups=[],
        members=[f"among {name} clips" for name in names],
        validated=validated,
        answers=torch.from_numpy(np.stack([one.hits for one in found])),
        chances=torch.from_numpy(best.chances),
        sureness=torch.from_numpy(sureness),
        effort={},
        others=others,
        notes=[f"{left} test clips have nobody to be found or nobody to be confused with, and are left out"] if left else [],
        picture=contact_sheet([*shown, matches[1 - strongest]]),
        caption=f"raw, anonymized, and the {names[strongest]} clip found for it; the surest first",
    )


@torch.no_grad()
def _middle_frames(
    context: StageContext, anonymizer: Anonymizer, items: Sequence[Video], clip: ClipConfig, boxes: Boxes | None
) -> tuple[Tensor, Tensor]:
    """Returns the middle frame of each clip, (N, C, H, W), raw and anonymized."""
    one = validation_clip(clip).model_copy(update={"frames": 1})
    samples = EvaluationClips(tuple(items), one, context.seed("test"), boxes=boxes)
    batch = next(context.evaluation_batches(context.loader(samples, len(items), shuffle=False)))
    view, anonymized = context.anonymized_view(anonymizer, batch)
    return view[:, 0], anonymized[:, 0]
