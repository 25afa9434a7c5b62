"""Which trainings of anonymizers end early: asynchronous successive halving by non-domination.

As MOASHA does (Schmucker et al., arXiv 2106.12639; syne-tune), a training that comes to a rung is compared with those that came
there before, waits for none, and goes on if it is among the best `1 / REDUCTION` of them. Best is who is dominated by nobody,
then who would be without those, and so on (non-dominated sorting); of a layer that is cut through, all go on. Equals are
treated alike, in whichever order they come.

Other than there, one dominates another only where it is better in both utility and privacy, and in each by more than figures of
so few items vary by chance: at the first look all are much alike, and an order by chance would stop most of a front.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from trainables.early import REDUCTION, Decision, EarlyStopping, Figures, Watched
from trainables.store.files import Files


@dataclass(frozen=True)
class Standing:
    """What was reported at a rung: by which `trial`, and its figures."""

    trial: str
    figures: Figures

    def dominates(self, other: Standing) -> bool:
        """Whether it is better than the other one in both figures, and in each beyond chance."""
        own, others = self.figures, other.figures
        more_useful = own.top1 - others.top1 > chance(min(own.clips, others.clips))
        return more_useful and others.leakage - own.leakage > chance(min(own.items, others.items))

    @property
    def counts(self) -> bool:
        """Whether both figures are numbers: others are compared with nobody."""
        return not (math.isnan(self.figures.top1) or math.isnan(self.figures.leakage))


def chance(items: int) -> float:
    """The largest standard error that a share of so many items can have: that of one half."""
    return 0.5 / math.sqrt(max(1, items))


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
    better = (other for other in sorted_[0] if other.dominates(own))
    best = max(better, key=lambda other: (other.figures.top1 - other.figures.leakage, other.trial))
    top1, leakage = ([100 * getattr(one.figures, name) for one in (best, own)] for name in ("top1", "leakage"))
    reason = (
        f"stopped early at epoch {epoch} of {epochs}: dominated by {best.trial} (validation top-1 {top1[0]:.1f} %,"
        f" leakage to a linear probe {leakage[0]:.1f} %; here {top1[1]:.1f} % and {leakage[1]:.1f} %)"
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
        decision = decide(Standing(trial, watched.figures), others, epoch, place.epochs)
        rules.keep(self._files, watched, trial, decision)
        return decision


def _standing(kept: Mapping[str, Any]) -> Standing:
    figures = Figures(**{field.name: kept[field.name] for field in fields(Figures)})
    return Standing(str(kept["trial"]), figures)
