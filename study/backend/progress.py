"""How a study goes, as its driver counts and shows it: a callback of Ray Tune."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import ray
from ray.tune import Callback

from study.backend.base import StudyEnd
from study.backend.display import Display, View, counts_of, duration, stage_of
from study.backend.job import joins_cluster
from study.backend.preflight import NodeUnfit
from study.schedule.time_left import TimeLeft
from study.schedule.usage import Meter, Usage
from trainables.failures import Lost
from trainables.trial import DONE, EARLY, FAILED, RUNNING, SKIPPED, STOPPED, TrialState

QUIET_SECONDS = 60.0  # at most between two lines
MAX_WORKER_LOSSES = 1000  # of one trial; it gives up by itself when LOSSES of them come without an epoch in between


class StudyProgress(Callback):
    """Shows how a study goes: trials done, running and left, stage and epoch of each, time left. In a terminal that is a table
    that is kept up to date (`study.backend.display`), otherwise a line now and then. Tells `note` the usage of `resource`,
    which is GPU or CPU.
    """

    def __init__(
        self,
        total: int,
        note: Callable[[Usage], None],
        resource: str,
        left: TimeLeft | None = None,
        every: float = 10.0,
        display: Display | None = None,
    ) -> None:
        self._total, self._note, self._resource, self._every = total, note, resource, every
        self._left, self._at_once = left or TimeLeft({}), 1
        self._start = self._printed = time.monotonic()
        self._noted, self._meter, self._joins = 0.0, Meter(), joins_cluster()
        self._display = display or Display()
        self._since: dict[str, float] = {}
        self.running: dict[str, TrialState] = {}
        self._ended: dict[str, str] = {}

    def __reduce__(self) -> tuple[type[Callback], tuple[()]]:
        """Tune writes its callbacks down with its own state, which nobody reads; a terminal cannot be written down."""
        return Callback, ()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.running.setdefault(str(trial), TrialState(RUNNING))
        self._since.setdefault(str(trial), time.monotonic())
        self._at_once = max(self._at_once, len(self.running))
        self._left.start(str(trial))
        amount = trial.placement_group_factory.required_resources.get(self._resource, 0.0)
        self._meter.start(str(trial), amount, time.monotonic())

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        now = time.monotonic()
        if now - self._noted >= self._every:
            self._noted = now
            # a worker between two trials holds what it has; only in a cluster of one's own is that known to be unused
            free = ray.available_resources() if self._joins else ray.cluster_resources()
            self._meter.free(free.get(self._resource, 0.0) - (0.0 if self._joins else self._meter.held), now)
            self._note(self._meter.total(now))
        self._display.show(self._view())
        if now - self._printed >= QUIET_SECONDS and not self._display.live:
            self._print_running()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:
        name, state = str(trial), _state_of(result)
        if state is None:
            return
        for warning in state.warnings:
            self._print(f"{name} warns: {warning}")
        if state.status != RUNNING:
            self._meter.end(name, time.monotonic())
        else:
            self._meter.report(name, state.runs_for, state.waited, time.monotonic())
        if state.status in (DONE, FAILED, EARLY, SKIPPED):
            self.running.pop(name, None)
            self._ended[name] = state.status
            self._left.end(name, state.status == DONE)
            why = f": {state.reason.splitlines()[0]}" if state.status == FAILED else ""
            self._print(f"{name} {state.reason if state.status == EARLY else state.status}{why}")
        elif state.status == STOPPED:
            self.running.pop(name, None)
        else:
            self.running[name] = state
            self._left.report(name, state.stage, state.epoch / max(1, state.epochs), state.runs_for - state.waited)
            if time.monotonic() - self._printed >= self._every and not self._display.live:
                self._print_running()

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._meter.end(str(trial), time.monotonic())
        self._left.start(str(trial))
        self._print(f"{trial}: its worker was lost{_why(trial)}; it starts again from its last epoch")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._meter.end(str(trial), time.monotonic())
        self.running.pop(str(trial), None)
        self._ended[str(trial)] = "lost"
        self._left.end(str(trial), done=False)
        self._print(f"{trial}: its worker was lost {MAX_WORKER_LOSSES + 1} times; given up")

    def close(self) -> None:
        """Takes the table out of the terminal."""
        self._display.close()

    def end(self) -> StudyEnd:
        states, now = list(self._ended.values()), time.monotonic()
        usage = self._meter.total(now)
        self._note(usage)
        lost, early, skipped = states.count("lost"), states.count(EARLY), states.count(SKIPPED)
        interrupted = len(states) < self._total
        return StudyEnd(states.count(DONE), states.count(FAILED), lost, interrupted, usage, early, skipped)

    def _view(self) -> View:
        now, ended = time.monotonic(), len(self._ended)
        return View(
            elapsed=now - self._start,
            left=self._left.seconds(self._at_once) if ended < self._total else None,
            ended=ended,
            failed=sum(status not in (DONE, EARLY, SKIPPED) for status in self._ended.values()),
            total=self._total,
            running={name: (state, now - self._since.get(name, now)) for name, state in self.running.items()},
        )

    def _print_running(self) -> None:
        states = (f"{trial} {stage_of(state)}" for trial, state in self.running.items())
        self._print(" | ".join(states) or "nothing runs yet: no node has room for a trial, or workers start")

    def _print(self, what: str) -> None:
        self._printed, view = time.monotonic(), self._view()
        counts = f"{view.ended} of {view.total}" if self._display.live else counts_of(view)
        self._display.say([f"[{duration(view.elapsed)}] {counts} | {what}"])


def _state_of(result: Mapping[str, Any]) -> TrialState | None:
    """The state that a trial reported, from Tune's result of it; None for a result of Tune's own."""
    if "status" not in result:
        return None
    shown = [field.name for field in fields(TrialState) if field.name != "watched"]
    return TrialState(**{name: result[name] for name in shown if name in result})


def _why(trial: Any) -> str:
    """The error with which the worker itself gave the trial back, if it did."""
    said = Path(trial.error_file).read_text() if trial.error_file else ""  # `get_error` looks where Tune copies it later
    last = (said.strip().splitlines() or [""])[-1]
    kind, _, reason = last.partition(": ")
    return f" ({reason})" if kind.rpartition(".")[2] in (NodeUnfit.__name__, Lost.__name__) else ""
