"""Trials of the search benchmark: run by the pipeline alone, each stage once whoever wants it, with what early stopping hears.

A strategy is charged for the stages of its own trials as if it were alone, each at the median seconds a step of its kind in
this storage: what else the machine did meanwhile counts for nobody.
"""

from __future__ import annotations

import heapq
import json
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from study.schedule.early import Rungs
from tests.support.stages import SilentReporter
from trainables.config import Runtime, TrialConfig
from trainables.data.trial_data import TrialData
from trainables.early import Decision, EarlyStopping, Figures, Place, Watch, Watched
from trainables.execution.watch import place_of
from trainables.failures import StoppedEarly
from trainables.pipeline import run_trial
from trainables.plan import plan_trial
from trainables.store.artifacts import STAGES
from trainables.store.files import Files

Hear = Callable[[Watched, str], Decision]
_REPORTS = "reports"
_NO_MARGIN = 1e-6


@dataclass(frozen=True)
class Tried:
    """A trial that was run, to its end or, if `stopped` is not 0, until so many epochs of its anonymizer were trained.

    metrics: the final ones; none if it was stopped. stages: name and steps of each, by key, in order. place: where its
    anonymizer stands among others, None for one that is not watched. reports: what was reported of it, by epoch.
    """

    config: TrialConfig
    metrics: Mapping[str, float]
    stages: Mapping[str, tuple[str, int]]
    place: Place | None = None
    reports: Mapping[int, Figures] | None = None
    stopped: int = 0


class Lab:
    """Runs trials in `storage`, on the data in `data_root`."""

    def __init__(self, storage: Path, data_root: Path) -> None:
        self._runtime = Runtime(data_root=str(data_root), storage=str(storage), device="cpu")
        self._files = Files(storage)

    def run(self, config: TrialConfig, hear: Hear | None = None) -> Tried:
        """A trial, run now if it is not stored. hear: decides at each rung whether it goes on; None: it does, and what it would
        have reported is kept.
        """
        data = TrialData(config, self._runtime.data_root)
        stages = plan_trial(config, data).stages
        place = next((found for stage in stages if (found := place_of(stage, data)) is not None), None)
        tried = Tried(config, {}, {stage.key: (stage.name, stage.steps) for stage in stages}, place)
        reports = _Reports(self._files, hear)
        stopped = 0
        try:
            if place is not None:
                reports.begins(place)
            record, _ = run_trial(config, self._runtime, SilentReporter(), watch=reports)
            tried = replace(tried, metrics=record.metrics)
        except StoppedEarly:
            stopped = reports.last
        known = {} if place is None else {epoch: kept for epoch in place.rungs if (kept := reports.known(place, epoch))}
        return replace(tried, stopped=stopped, reports=known)


class _Reports(Watch):
    """Keeps what is reported at each rung, with the seconds that it took, and lets `hear` decide."""

    def __init__(self, files: Files, hear: Hear | None) -> None:
        super().__init__(EarlyStopping(_REPORTS), files, lambda watched: None)
        self._kept, self._hear = files, hear
        self.last = 0  # the epoch of the rung that was decided on last

    def known(self, place: Place, epoch: int) -> Figures | None:
        content = self._kept.read(_report(place.anonymizer, epoch))
        if content is None:
            return None
        return Figures(**json.loads(content)["figures"])

    def begins(self, place: Place) -> None:
        for epoch in place.rungs:
            if (figures := self.known(place, epoch)) is None:
                return
            self._decide(Watched(place, epoch, figures))

    def after(self, place: Place, epoch: int, measure: Callable[[], Figures]) -> None:
        if epoch not in place.rungs:
            return
        figures = self.known(place, epoch)
        if figures is None:
            start = time.monotonic()
            figures = measure()
            content = {"figures": asdict(figures), "seconds": time.monotonic() - start}
            self._kept.replace(_report(place.anonymizer, epoch), json.dumps(content).encode())
        self._decide(Watched(place, epoch, figures))

    def _decide(self, watched: Watched) -> None:
        self.last = watched.epoch
        if self._hear is not None and (decision := self._hear(watched, watched.place.anonymizer)).stop:
            raise StoppedEarly(decision.reason)


def _report(anonymizer: str, epoch: int) -> str:
    return f"{_REPORTS}/{anonymizer}/{epoch}.json"


@dataclass(frozen=True)
class Prices:
    """Seconds: `rates` of a step, by the name of the stage, and `look` of one report to early stopping."""

    rates: Mapping[str, float]
    look: float

    @staticmethod
    def of(storage: Path) -> Prices:
        """The medians of what was computed in `storage`."""
        looks: dict[str, list[float]] = defaultdict(list)
        for path in (storage / _REPORTS).glob("*/*.json"):
            looks[path.parent.name].append(json.loads(path.read_text())["seconds"])
        rates: dict[str, list[float]] = defaultdict(list)
        for folder in (storage / STAGES).iterdir():
            for path in folder.glob("*/record.json"):
                record = json.loads(path.read_text())
                own = record["seconds"] - sum(looks.get(path.parent.name, ()))  # the reports are in the seconds of the stage
                rates[folder.name].append(own / max(1, record["steps"]))
        every = [seconds for found in looks.values() for seconds in found]
        return Prices({name: median(found) for name, found in rates.items()}, median(every) if every else 0.0)

    def of_stage(self, name: str, steps: int) -> float:
        return self.rates[name] * max(1, steps)

    def of_stages(self, trials: Sequence[Tried], name: str) -> float:
        """The seconds of all stages of this name that the trials have, each once."""
        stages = {key: stage for tried in trials for key, stage in tried.stages.items() if stage[0] == name}
        return sum(self.of_stage(*stage) for stage in stages.values())

    def of_trials(self, trials: Sequence[Tried], watched: bool) -> list[float]:
        """The seconds that are spent when each of the trials has ended, one after another; `watched`: with early stopping."""
        spent, seen, after = 0.0, set[str](), []
        for tried in trials:
            for key, (name, steps) in tried.stages.items():
                if key in seen:
                    continue
                seen.add(key)
                share = 1.0
                if tried.place is not None and key == tried.place.anonymizer:
                    end = tried.stopped or tried.place.epochs
                    share = end / tried.place.epochs
                    spent += watched * self.look * sum(epoch <= end for epoch in tried.place.rungs)
                spent += share * self.of_stage(name, steps)
                if tried.stopped and tried.place is not None and key == tried.place.anonymizer:
                    break
            after.append(spent)
        return after


def replayed(trials: Sequence[Tried], workers: int, prices: Prices, margin: float = 1.0) -> list[Tried]:
    """The same trials, all of which were run to their end, as so many workers would have run them in this order with early
    stopping, in the order in which they would have ended. Stages that several of them share are computed before. margin: by
    which one dominates another, times that of the product.
    """
    more = round(1 / max(margin, _NO_MARGIN) ** 2)  # so many times the items have a standard error that is so much smaller
    shared = {key for key, count in Counter(key for tried in trials for key in tried.stages).items() if count > 1}
    ended: list[Tried] = []
    with tempfile.TemporaryDirectory() as folder:
        rungs = Rungs(EarlyStopping("early"), Files(folder))
        left = list(range(len(trials)))
        events: list[tuple[float, int, int, float]] = []  # when, which trial, which of its rungs or its end, and its start

        def put(number: int, at: int, begun: float) -> None:
            heapq.heappush(events, (begun + _until(trials[number], at, prices, shared), number, at, begun))

        def begin(now: float) -> None:
            if left:
                put(left.pop(0), 0, now)

        for _ in range(workers):
            begin(0.0)
        while events:
            now, number, at, begun = heapq.heappop(events)
            tried = trials[number]
            if tried.place is not None and tried.reports is not None and at < len(tried.place.rungs):
                epoch = tried.place.rungs[at]
                found = tried.reports[epoch]
                figures = replace(found, clips=found.clips * more, items=found.items * more)
                if not rungs.hear(Watched(tried.place, epoch, figures), str(number)).stop:
                    put(number, at + 1, begun)
                    continue
                tried = replace(tried, metrics={}, stopped=epoch)
            ended.append(tried)
            begin(now)
    return ended


def _until(tried: Tried, at: int, prices: Prices, shared: set[str]) -> float:
    """The seconds from the start of a trial to its rung number `at`, or after the last one to its end."""
    place = tried.place
    if place is None or at == len(place.rungs):
        own = {key: stage for key, stage in tried.stages.items() if key not in shared}
        return prices.of_trials([replace(tried, stages=own)], watched=True)[0]
    alone = {key: stage for key, stage in tried.stages.items() if key == place.anonymizer}
    return prices.of_trials([replace(tried, stages=alone, stopped=place.rungs[at])], watched=True)[0]
