"""Which trainings of anonymizers end early: asynchronous successive halving by non-domination.

As MOASHA does (Schmucker et al., arXiv 2106.12639; syne-tune), a training that comes to a rung is compared with those that came
there before, waits for none, and goes on if it is among the best `1 / REDUCTION` of them. Best is who is dominated by nobody,
then who would be without those, and so on (non-dominated sorting); of a layer that is cut through, all go on. So nobody stops
whom no other one surpasses in both utility and privacy, and equals are treated alike, in whichever order they come.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.early import REDUCTION, Decision, EarlyStopping, Watched
from trainables.store.files import Files


@dataclass(frozen=True, order=True)
class Standing:
    """What was reported at a rung: by which `trial`, and the figures of `Watched`."""

    trial: str
    top1: float
    leakage: float

    def dominates(self, other: Standing) -> bool:
        """Whether it is nowhere worse than the other one, and somewhere better."""
        better = (self.top1 - other.top1, other.leakage - self.leakage)
        return min(better) >= 0 and max(better) > 0

    @property
    def counts(self) -> bool:
        """Whether both figures are numbers: others are compared with nobody."""
        return not (math.isnan(self.top1) or math.isnan(self.leakage))


def layers(standings: Sequence[Standing]) -> list[list[Standing]]:
    """Those that nobody dominates, then those that nobody else of the rest dominates, and so on."""
    found, left = [], list(standings)
    while left:
        front = [one for one in left if not any(other.dominates(one) for other in left)]
        found.append(front)
        left = [one for one in left if one not in front]
    return found


def decide(own: Standing, others: Sequence[Standing], epoch: int, epochs: int) -> Decision:
    """Whether a training ends after `epoch` of `epochs` epochs, where `others` have come before. The order does not matter."""
    others = [other for other in others if other.counts]
    count = len(others) + 1
    if not own.counts or count < REDUCTION:
        return Decision(False)
    sorted_ = layers([own, *others])
    number = next(number for number, layer in enumerate(sorted_) if own in layer)
    before = sum(map(len, sorted_[:number]))
    if not number or before * REDUCTION < count:
        return Decision(False)
    best = max(
        (other for other in sorted_[0] if other.dominates(own)), key=lambda other: (other.top1 - other.leakage, other.trial)
    )
    reason = (
        f"stopped early at epoch {epoch} of {epochs}: dominated by {best.trial} (validation top-1 {100 * best.top1:.1f} %,"
        f" leakage to a linear probe {100 * best.leakage:.1f} %; here {100 * own.top1:.1f} % and {100 * own.leakage:.1f} %)"
    )
    return Decision(True, reason)


class Rungs:
    """Decides for the trials of a study, each at most once a rung: what was decided is in the storage, and stays."""

    def __init__(self, rules: EarlyStopping, files: Files) -> None:
        self._rules, self._files = rules, files

    def hear(self, watched: Watched, trial: str) -> Decision:
        """Decides on what a trial reports, or returns what was decided when it, or another one with the same anonymizer, was
        there before.
        """
        rules, place, epoch = self._rules, watched.place, watched.epoch
        known = rules.decision(self._files, place, epoch)
        if known is not None:
            return known
        folder = rules.rung(place, epoch)
        names = [name for name in self._files.names(folder) if name.endswith(".json") and not name.startswith(".")]
        kept = [json.loads(content) for content in self._files.read_all([f"{folder}/{name}" for name in names]).values()]
        others = [_standing(one) for one in kept]
        decision = decide(Standing(trial, watched.top1, watched.leakage), others, epoch, place.epochs)
        rules.keep(self._files, watched, trial, decision)
        return decision


def _standing(kept: Mapping[str, object]) -> Standing:
    return Standing(str(kept["trial"]), float(str(kept["top1"])), float(str(kept["leakage"])))
