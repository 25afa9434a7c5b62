"""How busy the GPUs of a study were (its CPU cores, where trials have none)."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Usage:
    """Hours of one GPU (or core). Trials held it while they were `busy` computing, while their workers were `starting`, and
    while they were `waiting` for stages of other trials; it was `unused` while it was free and the study ran.
    """

    busy: float = 0.0
    starting: float = 0.0
    waiting: float = 0.0
    unused: float = 0.0

    @property
    def idle(self) -> float:
        return self.starting + self.waiting + self.unused

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


@dataclass
class _Held:
    """What one attempt at a trial holds; times in seconds."""

    amount: float
    since: float
    starting: float | None = None
    waited: float = 0.0

    def usage(self, now: float) -> Usage:
        held = max(0.0, now - self.since)
        starting = held if self.starting is None else min(held, self.starting)
        waited = min(held - starting, self.waited)
        return Usage(*(self.amount * seconds / 3600 for seconds in (held - starting - waited, starting, waited)))


class Meter:
    """Adds up the usage of trials; all times are the caller's clock, in seconds."""

    def __init__(self) -> None:
        self._ended = Usage()
        self._held: dict[str, _Held] = {}
        self._free: tuple[float, float] | None = None

    @property
    def held(self) -> float:
        """GPUs, or cores, that trials hold now."""
        return sum(held.amount for held in self._held.values())

    def start(self, trial: str, amount: float, now: float) -> None:
        self.end(trial, now)
        self._held[trial] = _Held(amount, now)

    def report(self, trial: str, runs_for: float, waited: float, now: float) -> None:
        """Takes up what a trial reports: for how long its worker has been ready, and how long of that it waited (seconds)."""
        if trial in self._held:
            held = self._held[trial]
            held.waited = waited
            if held.starting is None:
                held.starting = max(0.0, now - held.since - runs_for)

    def end(self, trial: str, now: float) -> None:
        """Ends the attempt at a trial that holds its share, whether or not it finished the trial."""
        if trial in self._held:
            self._ended += self._held.pop(trial).usage(now)

    def free(self, amount: float, now: float) -> None:
        """Counts the `amount` of the last call as unused from then until now; `amount` is free from now on."""
        if self._free is not None:
            before, since = self._free
            self._ended += Usage(unused=before * (now - since) / 3600)
        self._free = amount, now

    def total(self, now: float) -> Usage:
        total = self._ended
        for held in self._held.values():
            total += held.usage(now)
        return total
