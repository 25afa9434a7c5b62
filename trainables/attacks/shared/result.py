"""The result of an attack: its predictions for the test items, its effort, and its curve."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from trainables.attacks.shared.convergence import Curve


@dataclass(frozen=True)
class AttackResult:
    """The predictions of one attack, by one or several `members` of which the one that is strongest on validation items counts.

    `validated`: the leakage of each member on validation items; NaN where it cannot be measured.
    `ids`: names of the N test items; `groups`: the source or person of each, by which intervals are made. An attack on
    attributes has `answers` (M, N, A), the predicted probabilities, and `labels` (N, A). A search for people has `answers`
    (M, N), the expected rank-1 of each query, `chances` (N,), and `sureness` (N,), by which items are ordered. `effort`:
    epochs, items and parameters. `curve`: leakage of validation items against the effort so far, in `effort_unit`.
    `converged`: whether it has flattened (see `convergence`), or for an attack with a network of another one, whether that has.
    `details`: what else the record says of each test item, by name. `picture`: (H, W, 3) uint8; `caption` says of what.
    """

    ids: list[str]
    groups: list[str]
    members: list[str]
    validated: list[float]
    answers: Tensor
    effort: dict[str, float]
    attributes: list[str] = field(default_factory=list)
    labels: Tensor | None = None
    chances: Tensor | None = None
    sureness: Tensor | None = None
    curve: Curve = field(default_factory=list)
    effort_unit: str = "epochs"
    converged: bool | None = None
    others: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)
    picture: Tensor | None = None
    caption: str = ""

    def state(self) -> dict[str, Any]:
        """As an artifact of the stage keeps it; `AttackResult(**state)` is the inverse."""
        return asdict(self)


def strongest_member(validated: Sequence[float]) -> int:
    """The number of the largest leakage on validation items, the first of equals; the first of all where none is known."""
    return max(range(len(validated)), key=lambda number: -math.inf if math.isnan(validated[number]) else validated[number])
