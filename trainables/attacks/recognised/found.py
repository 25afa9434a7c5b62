"""How often something is seen, clip by clip: one frame is enough to show who somebody is, or what is written there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trainables.attacks.shared.result import AttackResult
from trainables.execution.context import StageContext
from trainables.store import Outcome


def share_of_frames(context: StageContext, prepared: str, what: str, by: str) -> Outcome:
    """The attack that asks in how many frames there is `what`, by what the stage `prepared` has seen; `by` names a network."""
    seen, splits = context.inputs[prepared].state, context.data.clips_with_attributes
    looked = seen["test"]
    items = [splits.test[number] for number in looked["items"].tolist()]
    share = shares(looked)
    validated = float(shares(seen["validation"]).mean()) if len(seen["validation"]["items"]) else math.nan
    details = exposure(looked)
    height, width = looked["size"].tolist()
    evidence = AttackResult(
        ids=[item.name for item in items],
        groups=[item.group for item in items],
        members=[by],
        validated=[validated],
        answers=share[None],
        chances=torch.zeros(len(items), dtype=torch.float64),
        sureness=looked["scores"].max(dim=1).values,
        effort={"epochs": 0.0, "items": 0.0, "parameters": 0.0},
        converged=True,  # there is nothing to learn
        others={
            f"frames_with_{what}": float((looked["scores"] > 0).sum() / (looked["frames"] >= 0).sum()),
            f"clips_with_{what}": float((share > 0).double().mean()),
            "longest_run": float(max((row["longest_run"] for row in details), default=0)),
        },
        notes=[f"frames of {width} x {height} pixels, their own size, {looked['frames'].shape[1]} of a clip at most"],
        details=details,
    )
    return Outcome({}, [], {"evidence": evidence.state()})


def shares(looked: Mapping[str, Tensor]) -> Tensor:
    """(N,) the share of the frames of each clip in which it is seen."""
    return (looked["scores"] > 0).double().sum(dim=1) / (looked["frames"] >= 0).double().sum(dim=1)


def exposure(looked: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """For each clip: `worst_frame`, the number of the frame in which it is seen most surely, None where it is in none, and
    `longest_run`, how many frames in a row, of those looked at, show it.
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
