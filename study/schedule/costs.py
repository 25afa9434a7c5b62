"""The seconds that stages take, estimated from the steps measured in the same storage."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import median

from study.schedule.gpus import Expected
from trainables.config import ConfigError, flatten
from trainables.plan import PlannedStage
from trainables.store import StageStore

# What changes the numbers of a stage, but not what one of its steps costs.
_FREE_OF_COST = (
    "seed",
    "epochs",
    "rate",
    "budget",
    "weight",
    "temperature",
    "patience",
    "factor",
    "selection",
    "departures",
    "permuted",
)
_LEFT_OUT = (_FREE_OF_COST, (*_FREE_OF_COST, "anonymizer"))
_RECORDS = 500  # of a stage are read: enough for a median, and few requests to an object store

# A step of a stage that was never measured, in steps of the minimax: guesses, to put the long trials first and to say how
# long a study takes. From the demo, on two cores; _WEIGHT is an attack's.
_WEIGHTS = {
    "reconstruct": 0.66,
    "warm_up": 0.35,
    "minimax": 1.0,
    "evaluate_action": 0.27,
    "evaluate_clip_privacy": 0.13,
    "evaluate_privacy": 0.07,
}
_WEIGHT, _SECONDS = 0.55, 0.5


@dataclass(frozen=True)
class Prices:
    """What the user says of costs: seconds a step by the name of the stage, the price of an hour of a GPU (or core), and what
    is expected of steps that are traced.
    """

    seconds_per_step: Mapping[str, float]
    gpu_hour: float | None = None
    expected: Expected = field(default_factory=Expected)

    @staticmethod
    def of(given: Sequence[str], gpu_hour: float | None, expected: Expected | None = None) -> Prices:
        """Raises ConfigError for what is not STAGE=SECONDS or not above zero."""
        seconds: dict[str, float] = {}
        for text in given:
            stage, _, value = text.partition("=")
            try:
                seconds[stage.strip()] = float(value)
            except ValueError:
                seconds[stage.strip()] = -1.0
            if not 0 < seconds[stage.strip()] < math.inf:
                raise ConfigError(f"--seconds-per-step {text!r}: write STAGE=SECONDS, for example minimax=0.35")
        if gpu_hour is not None and not 0 <= gpu_hour < math.inf:
            raise ConfigError(f"--price-per-gpu-hour {gpu_hour}: give a price of at least 0")
        return Prices(seconds, gpu_hour, expected or Expected())


class Costs:
    """The seconds a step of the stages stored in a storage, read once."""

    def __init__(self, store: StageStore, stages: Iterable[str]) -> None:
        self.devices: dict[str, set[str]] = defaultdict(set)
        self._rates: dict[tuple[str, int, str], list[float]] = defaultdict(list)
        self._weighed: list[float] = []  # seconds of what would be one step of the minimax
        for name in set(stages):
            for record in store.records(name, most=_RECORDS):
                if "steps" not in record:
                    continue
                rate = record["seconds"] / max(1, record["steps"])
                self.devices[name].add(record["device"])
                self._weighed.append(rate / _WEIGHTS.get(name, _WEIGHT))
                config = json.dumps(record["depends_on"]["config"], sort_keys=True)
                for level in range(len(_LEFT_OUT)):
                    self._rates[name, level, _cost(config, level)].append(rate)

    def measured(self, stage: PlannedStage) -> float | None:
        """The seconds of a stage, from stored stages whose steps cost the same; without one, from those that differ in the
        anonymizer only (raw frames then count as dear as anonymized ones). None if there is neither.
        """
        config = json.dumps(stage.depends_on["config"], sort_keys=True)
        for level in range(len(_LEFT_OUT)):
            if rates := self._rates.get((stage.name, level, _cost(config, level))):
                return median(rates) * max(1, stage.steps)
        return None

    def guessed(self, stage: PlannedStage) -> float:
        """The seconds of a stage as `measured`; if none were measured, its steps times a typical cost of the stage's kind."""
        known = self.measured(stage)
        if known is not None:
            return known
        second = median(self._weighed) if self._weighed else _SECONDS
        return max(1, stage.steps) * _WEIGHTS.get(stage.name, _WEIGHT) * second


def cost_of(stage: PlannedStage) -> str:
    """The fields of a stage's config that the cost of a step depends on, as JSON."""
    return _cost(json.dumps(stage.depends_on["config"], sort_keys=True), 0)


@cache
def _cost(config: str, level: int) -> str:
    """The fields of a stage's config (JSON) that the cost of a step depends on, as JSON."""
    flat = flatten(json.loads(config))
    return json.dumps({key: value for key, value in flat.items() if not any(word in key for word in _LEFT_OUT[level])})


def stored_stages(store: StageStore, stages: Iterable[PlannedStage]) -> set[str]:
    """The keys of the stages that are stored. Each kind of stage is asked for at once: one by one it takes minutes."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for stage in stages:
        wanted[stage.name].add(stage.key)
    return {key for name, keys in wanted.items() for key in store.stored(name, keys)}
