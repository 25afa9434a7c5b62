"""How often a face is found, clip by clip: one frame is enough to show who somebody is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.attacks.recognised import FACES
from trainables.attacks.shared.result import AttackResult
from trainables.execution.context import StageContext
from trainables.store import Outcome


def run(context: StageContext) -> Outcome:
    faces, splits = context.inputs[FACES.name].state, context.data.clips_with_attributes
    looked = faces["test"]
    items = [splits.test[number] for number in looked["items"].tolist()]
    share = shares(looked)
    validated = float(shares(faces["validation"]).mean()) if len(faces["validation"]["items"]) else math.nan
    details = exposure(looked)
    height, width = looked["size"].tolist()
    evidence = AttackResult(
        ids=[item.name for item in items],
        groups=[item.group for item in items],
        members=["CenterFace"],
        validated=[validated],
        answers=share[None],
        chances=torch.zeros(len(items), dtype=torch.float64),
        sureness=looked["scores"].max(dim=1).values,
        effort={"epochs": 0.0, "items": 0.0, "parameters": 0.0},
        converged=True,  # there is nothing to learn
        others={
            "frames_with_a_face": float((looked["scores"] > 0).sum() / (looked["frames"] >= 0).sum()),
            "clips_with_a_face": float((share > 0).double().mean()),
            "longest_run": float(max((row["longest_run"] for row in details), default=0)),
        },
        notes=[f"frames of {width} x {height} pixels, their own size, {looked['frames'].shape[1]} of a clip at most"],
        details=details,
    )
    return Outcome({}, [], {"evidence": evidence.state()})


def shares(looked: Mapping[str, Tensor]) -> Tensor:
    """(N,) the share of the frames of each clip in which a face is found."""
    return (looked["scores"] > 0).double().sum(dim=1) / (looked["frames"] >= 0).double().sum(dim=1)


def exposure(looked: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """For each clip: `worst_frame`, the number of the frame with the surest face, None where there is none, and `longest_run`,
    how many frames in a row, of those looked at, show a face.
    """
    found = []
    for frames, scores in zip(looked["frames"].tolist(), looked["scores"].tolist(), strict=True):
        longest = run_now = 0
        for score in scores:
            run_now = run_now + 1 if score > 0 else 0
            longest = max(longest, run_now)
        worst = max(range(len(scores)), key=lambda number: scores[number])
        found.append({"worst_frame": frames[worst] if longest else None, "longest_run": longest})
    return found
