"""Who is told how a trial goes. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from trainables.plan import PlannedStage
    from trainables.store import Outcome


class Reporter(Protocol):
    """Receives the progress of a trial, for a terminal, MLflow or Ray."""

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        """A stage has finished another of its `epochs`; `history` has the metrics of all so far, also of earlier attempts."""

    def waiting(self, stage: str, holder: str) -> None:
        """The trial waits for a stage that another worker, described by `holder`, computes."""

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """A stage has its outcome; `reused` if this call did not compute it. Called in the order of the work."""
