"""What stages cost: from steps measured in the same storage, and, to put trials in order, from what is known of them all."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import islice
from statistics import median

from trainables.config import flatten
from trainables.plan import PlannedStage
from trainables.store import StageStore
from trainables.store.artifacts import STAGES

# What changes the numbers of a stage, but not what one of its steps costs.
_FREE_OF_COST = ("seed", "epochs", "rate", "budget", "weight", "temperature", "patience", "factor", "selection", "departures")
_LEFT_OUT = (_FREE_OF_COST, (*_FREE_OF_COST, "anonymizer"))
_RECORDS = 500  # of a stage are read: enough for a median, and few requests to an object store

# A step of a stage that was never measured, in steps of the minimax: guesses, to put the long trials first.
_WEIGHTS = {"reconstruct": 0.3, "warm_up": 0.5, "minimax": 1.0, "evaluate_action": 0.7, "evaluate_clip_privacy": 0.3}
_WEIGHT, _SECONDS = 0.2, 0.5


class Costs:
    """Seconds a step of the stages in a storage, read once."""

    def __init__(self, store: StageStore, stages: Iterable[str]) -> None:
        self.devices: dict[str, set[str]] = defaultdict(set)
        self._rates: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self._weighed: list[float] = []  # seconds of what would be one step of the minimax
        for name in set(stages):
            for record in islice(store.records(name), _RECORDS):
                if "steps" not in record:
                    continue
                rate = record["seconds"] / max(1, record["steps"])
                self.devices[name].add(record["device"])
                self._weighed.append(rate / _WEIGHTS.get(name, _WEIGHT))
                config = json.dumps(record["depends_on"]["config"], sort_keys=True)
                for level in range(len(_LEFT_OUT)):
                    self._rates[name, level, _cost(config, level)].append(rate)

    def measured(self, stage: PlannedStage) -> float | None:
        """Seconds of a stage, by those whose steps cost the same; without one, by those that differ in the anonymizer only
        (raw frames then count as dear as anonymized ones). None if there is neither.
        """
        config = json.dumps(stage.depends_on["config"], sort_keys=True)
        for level in range(len(_LEFT_OUT)):
            if rates := self._rates.get((stage.name, level, _cost(config, level))):
                return median(rates) * max(1, stage.steps)
        return None

    def guessed(self, stage: PlannedStage) -> float:
        """As `measured`; for what never was, its steps by a weight of the stage."""
        known = self.measured(stage)
        if known is not None:
            return known
        second = median(self._weighed) if self._weighed else _SECONDS
        return max(1, stage.steps) * _WEIGHTS.get(stage.name, _WEIGHT) * second


@cache
def _cost(config: str, level: int) -> str:
    """What of a stage's config, as JSON, its cost depends on."""
    flat = flatten(json.loads(config))
    return json.dumps({key: value for key, value in flat.items() if not any(word in key for word in _LEFT_OUT[level])})


def stored_stages(store: StageStore, stages: Iterable[PlannedStage]) -> set[str]:
    """Keys of those that are stored. One listing a stage: to ask an object store for each would take minutes."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for stage in stages:
        wanted[stage.name].add(stage.key)
    return {
        key
        for name, keys in wanted.items()
        for key in keys.intersection(store.files.names(f"{STAGES}/{name}"))
        if store.has(name, key)
    }
