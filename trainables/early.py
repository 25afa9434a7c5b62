"""What is reported of an anonymizer while it is trained, and how its trial is told that it cannot win. Needs no torch.

Whoever runs the trials decides (`study.schedule.early`), by files in the storage: a trial reports, then looks for the decision.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from trainables.failures import StoppedEarly
from trainables.store import digest
from trainables.store.files import Files

REDUCTION = 3  # of the anonymizers that reach a rung about one in so many goes on, and a rung is so many times the one before
_RUNGS = 2


@dataclass(frozen=True)
class Place:
    """Where an anonymizer stands among others: `anonymizer` is the key of the stage that trains it, for `epochs` epochs. Those
    of one `group` are compared with each other.
    """

    anonymizer: str
    group: str
    epochs: int

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs after which it is compared: of 100, 12 and 34; none where it is trained for one epoch only."""
        found = {math.ceil(self.epochs / REDUCTION**back) for back in range(1, _RUNGS + 1)}
        return tuple(sorted(found - {self.epochs}))


@dataclass(frozen=True)
class Figures:
    """What an anonymizer is worth on validation data, as fractions: `top1` of the f_T that is trained with it on so many
    `clips`, and the `leakage` to a linear probe on so many `items`; NaN where the data tell nothing.
    """

    top1: float
    leakage: float
    clips: int
    items: int


@dataclass(frozen=True)
class Watched:
    """The figures of an anonymizer after `epoch` epochs."""

    place: Place
    epoch: int
    figures: Figures


@dataclass(frozen=True)
class Decision:
    """Whether a training ends at a rung, and why."""

    stop: bool
    reason: str = ""


@dataclass(frozen=True)
class EarlyStopping:
    """The files, below `folder` in a storage, with what was reported at each rung and what was decided then, for good."""

    folder: str

    def rung(self, place: Place, epoch: int) -> str:
        """The folder of a rung: a file for each anonymizer that has come to it."""
        return f"{self.folder}/{place.group}-of-{place.epochs}/{epoch}"

    def path(self, place: Place, epoch: int) -> str:
        return f"{self.rung(place, epoch)}/{place.anonymizer}.json"

    def told(self, place: Place) -> str:
        """The file with the metrics of the epochs that came before the last rung of an anonymizer."""
        return f"{self.folder}/{place.group}-of-{place.epochs}/{place.anonymizer}.json"

    def decision(self, files: Files, place: Place, epoch: int) -> Decision | None:
        """What was decided at a rung; None if nothing was yet."""
        content = files.read(self.path(place, epoch))
        if content is None:
            return None
        kept: dict[str, Any] = json.loads(content)
        return Decision(kept["stop"], kept["reason"])

    def keep(self, files: Files, watched: Watched, trial: str, decision: Decision) -> None:
        """Writes a decision, with the figures that it was made by; `trial` names the trial that reported them."""
        content = {"trial": trial, **asdict(watched.figures), **asdict(decision)}
        files.replace(self.path(watched.place, watched.epoch), json.dumps(content).encode())


class Watch:
    """Ends the training of anonymizers that were decided to stop; `tell` reports to whoever decides, and returns once it is
    decided.
    """

    def __init__(self, rules: EarlyStopping, files: Files, tell: Callable[[Watched], None]) -> None:
        self._rules, self._files, self._tell = rules, files, tell

    def begins(self, place: Place) -> None:
        """Raises StoppedEarly for a training that was stopped at any of its rungs."""
        for epoch in place.rungs:
            self._heed(self._rules.decision(self._files, place, epoch))

    def history(self, place: Place) -> list[dict[str, float]]:
        """The metrics of the epochs of a training that was stopped: its worker may have been lost before they were recorded,
        and its checkpoint with it.
        """
        return json.loads(self._files.read(self._rules.told(place)) or b"[]")

    def after(
        self, place: Place, epoch: int, measure: Callable[[], Figures], history: Sequence[Mapping[str, float]] = ()
    ) -> None:
        """At a rung without a decision reports what `measure` returns, and keeps `history`, the metrics of all epochs so far.
        Raises StoppedEarly if the training is to end.
        """
        if epoch not in place.rungs:
            return
        decision = self._rules.decision(self._files, place, epoch)
        if decision is None:
            self._files.replace(self._rules.told(place), json.dumps([dict(row) for row in history]).encode())
            self._tell(Watched(place, epoch, measure()))
            decision = self._rules.decision(self._files, place, epoch)
        self._heed(decision)

    def _heed(self, decision: Decision | None) -> None:
        if decision is not None and decision.stop:
            raise StoppedEarly(decision.reason)


def group_of(*what: Any) -> str:
    """The name of a group of trainings: those that agree in all of this, which JSON can hold, can be compared."""
    return digest(list(what))
