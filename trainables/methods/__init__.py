"""Methods by name: the stages that make an anonymizer. A new method is one module that registers itself here."""

from __future__ import annotations

from dataclasses import dataclass

from trainables.registry import Registry
from trainables.stages import MINIMAX, RECONSTRUCT, WARM_UP, Stage


@dataclass(frozen=True)
class Method:
    """`stages` in order; `anonymizer` names the one whose state holds the trained anonymizer, None for raw frames."""

    stages: tuple[Stage, ...]
    anonymizer: str | None


METHODS: Registry[Method] = Registry("method")

# The paper's method; with penalty_weight 0 it is SPACT's objective.
METHODS.register("penalty")(Method((RECONSTRUCT, WARM_UP, MINIMAX), MINIMAX.name))
# No anonymizer: the same evaluation on raw frames.
METHODS.register("raw")(Method((), None))
