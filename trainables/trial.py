"""The Ray trainable: one trial is one full pipeline on its allocation, recorded while it runs.

Nothing here knows how a study starts trials or where their records go: the job brings its recorder, and whoever calls
`run_job` is told how far the trial is.
"""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from trainables import schema
from trainables.config import ConfigError, Runtime, TrialConfig, with_values
from trainables.data.items import DataError
from trainables.early import EarlyStopping, Watch, Watched
from trainables.failures import LOSSES, Attempts, Lost, Stop, Stopped, StoppedEarly, memory_was_taken, patiently
from trainables.plugins import Plugin, blamed, load_plugins
from trainables.reporter import Reporter
from trainables.store.files import Files
from trainables.store.leases import HEARTBEAT_SECONDS, Lease, Leases, Superseded
from trainables.stored_anonymizer import StoredAnonymizer

if TYPE_CHECKING:
    from trainables.pipeline import TrialRecord
    from trainables.plan import PlannedStage
    from trainables.store import Outcome

log = logging.getLogger(__name__)

_LOGGERS = ("trainables", "study")
_FIGURES = 3  # of an epoch, in a report
_WARNINGS = 5  # between two reports, the last
RUNNING, DONE, FAILED, STOPPED, EARLY, SKIPPED = "running", "done", "failed", "stopped", "stopped early", "skipped"


@dataclass(frozen=True)
class TrialState:
    """How far a trial is, as it tells whoever runs it. Another state than RUNNING is its last.

    `epoch` of `epochs` of `stage` are done; `progress` is the share of all of its epochs. `runs_for` are the seconds since the
    worker was ready, `waited` how many of them it only waited for other workers. `objectives` are what a search optimises.
    `figures` are some of the last epoch's. `warnings` are what the worker has warned of since the last report, a line each.
    `watched` is what a watched training tells whoever decides whether it goes on.
    """

    status: str
    stage: str = ""
    epoch: int = 0
    epochs: int = 0
    progress: float = 0.0
    runs_for: float = 0.0
    waited: float = 0.0
    reason: str = ""
    objectives: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    watched: Watched | None = None


class Recording(Reporter, Protocol):
    """The record of one trial, kept while it runs: a reporter that is also told how the trial ends."""

    def complete(self, record: TrialRecord, anonymizer: StoredAnonymizer | None) -> object:
        """The trial is done; `anonymizer` says where the trained anonymizer lies."""

    def fail(self, reason: str) -> object:
        """The trial failed, and would fail again."""

    def interrupt(self, reason: str) -> object:
        """This attempt at the trial ended early; another one may go on."""

    def stop_early(self, reason: str) -> object:
        """The trial is not to go on, as others are better."""


class Recorder(Protocol):
    """Keeps the records of a study's trials. It travels to the workers with the jobs, so it can be pickled."""

    @property
    def leases(self) -> str:
        """The folder in the storage with the leases of the study's trials: one worker at a time holds a trial's."""

    def label(self, proposed: Mapping[str, Any]) -> str:
        """The name of the setting that a search proposes, as dotted keys with their values."""

    def open(self, job: TrialJob, lease: Lease) -> Recording:
        """Begins the record of a trial, or goes on with the one of an earlier worker, as long as `lease` is this worker's."""


@dataclass(frozen=True)
class TrialJob:
    """Everything that a worker needs to run a trial.

    `key` and `name` are empty in the template of a search, whose trials come about in the worker. `stop` is a file in the
    storage: once it is there, all trials stop. `neighbours` are the configs of trials with evaluators that can be trained in
    one pass with this one's. `objectives_if_failed` are the objectives that a search is told for a failed trial, or for one
    that was stopped early. `early`: where it is decided whether the training of its anonymizer goes on; None: it does.
    """

    name: str
    key: str
    config: TrialConfig
    runtime: Runtime
    recorder: Recorder
    tags: Mapping[str, str] = field(default_factory=dict)
    gpus: float = 0.0
    stop: str = ""
    plugins: tuple[Plugin, ...] = ()
    neighbours: tuple[TrialConfig, ...] = ()
    objectives_if_failed: Mapping[str, float] = field(default_factory=dict)
    early: EarlyStopping | None = None


Report = Callable[[TrialState], None]


def skip_order(folder: str, key: str) -> str:
    """The file in the storage that tells a trial to stop, and no other; `folder` is `Recorder.leases`."""
    return f"{folder}/{key}.skip"


def run_job(job: TrialJob, proposed: Mapping[str, Any], report: Report) -> None:
    """Runs a trial in this process, with the values that a search proposes (dotted keys), and reports how far it is.

    What a retry cannot cure (a plug-in that does not load, bad config or data, a diverged loss, too little memory for the trial
    alone, a bug) ends the trial here, once, with its reason in the record, if there is one yet. Raises Lost for what a retry
    can cure; a worker that dies does not even get here. The trial is then to be started again and goes on from what its stages
    have saved.
    """
    with Stop(Files(job.runtime.storage), job.stop) as stop, _Warnings(report) as tell:
        try:
            end = patiently(lambda: _run_alone(_complete(job, proposed), stop, tell), stop, lambda: False)
        except Stopped as error:
            if stop.going:
                raise Lost("the worker was told to end") from error
            end = TrialState(SKIPPED if stop.skipped else STOPPED)
        except (Lost, Superseded) as error:
            raise Lost(str(error)) from error
        except Exception as error:
            end = TrialState(FAILED, reason=_reason(job, error))
    figures = end.objectives or job.objectives_if_failed
    report(replace(end, progress=1.0, objectives={name: figures[name] for name in job.objectives_if_failed}))


class _Warnings(logging.Handler):
    """Adds what is logged as a warning or worse to the reports of a trial, since nobody reads the log of its worker.

    What the thread of the trial logs, as while it waits for a storage, is reported at once, with the state as it was.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(logging.WARNING)
        self._report, self._thread = report, threading.get_ident()
        self._state, self._said = TrialState(RUNNING), deque[str](maxlen=_WARNINGS)

    def __enter__(self) -> Report:
        for name in _LOGGERS:
            logging.getLogger(name).addHandler(self)
        return self.report

    def __exit__(self, *error: object) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            return  # the end of the trial, whose reason is reported
        self._said.append(" ".join(record.getMessage().split())[:300])
        if threading.get_ident() == self._thread:
            self.report(self._state)

    def report(self, state: TrialState) -> None:
        """Reports `state` with the warnings so far."""
        self._state, said = state, tuple(self._said)
        self._said.clear()
        self._report(replace(state, warnings=said))


def _complete(job: TrialJob, proposed: Mapping[str, Any]) -> TrialJob:
    """The job itself, or that of the trial that a search proposes, from the template of the search."""
    from trainables.data.trial_data import TrialData
    from trainables.plan import plan_trial

    if not proposed:
        return job
    load_plugins(job.plugins)
    config, setting = with_values(job.config, proposed), job.recorder.label(proposed)
    key = plan_trial(config, TrialData(config, job.runtime.data_root)).key
    tags = {**job.tags, schema.TAG_SETTING: setting}
    return replace(job, config=config, key=key, name=f"{setting} seed={config.seed}", tags=tags)


def _run_alone(job: TrialJob, stop: Stop, report: Report) -> TrialState:
    """Runs the trial once no other worker of its study does."""
    files = Files(job.runtime.storage)
    folder, leases = job.recorder.leases, Leases(files)
    progress = _Progress(report)
    stop.heed(skip_order(folder, job.key))
    while True:
        if stop():
            raise Stopped("stopped before it began")
        lease = leases.take(folder, job.key)
        if lease is not None:
            break
        progress.waiting("its other worker", leases.holder(folder, job.key))
        time.sleep(HEARTBEAT_SECONDS)
    with lease:
        return _run_recorded(job, lease, Attempts(files, f"{folder}/{job.key}.attempts"), progress, stop)


def _run_recorded(job: TrialJob, lease: Lease, attempts: Attempts, progress: _Progress, stop: Stop) -> TrialState:
    from trainables.pipeline import run_trial

    recording = job.recorder.open(job, lease)
    heard = _Heard(attempts)
    reporter = _All(recording, progress, heard)
    try:
        lost = patiently(attempts.begin, stop, heard.asked)
        if lost >= LOSSES:
            raise ConfigError(f"its worker was lost {lost} times without an epoch in between: killed, or out of memory")
        load_plugins(job.plugins)
        progress.expect(job.config)
        watch = None if job.early is None else Watch(job.early, Files(job.runtime.storage), progress.watched)
        record, outcomes = patiently(
            lambda: run_trial(job.config, job.runtime, reporter, stop, job.neighbours, watch), stop, heard.asked
        )
        recording.complete(record, StoredAnonymizer.of_trial(job.config, job.runtime.storage, record.stage_keys, outcomes))
        end = TrialState(DONE, objectives=record.metrics)
    except Stopped as error:
        attempts.got_on()
        how = "skipped" if stop.skipped else "interrupted"
        recording.interrupt(f"{how} ({error}); run the same command to continue")
        raise
    except StoppedEarly as error:
        end = TrialState(EARLY, reason=str(error))
        recording.stop_early(end.reason)
    except Exception as error:
        if isinstance(error, Lost | Superseded) or memory_was_taken(error, job.gpus):
            recording.interrupt(f"to be tried again: {error}")  # not sent by one whose lease has passed on
            raise Lost(str(error)) from error
        end = TrialState(FAILED, reason=_reason(job, error))
        recording.fail(end.reason)
    attempts.got_on()
    return end


def _reason(job: TrialJob, error: Exception) -> str:
    """Why the trial failed; with the traceback where it is not what the user can read in one line."""
    if isinstance(error, ConfigError | DataError | ArithmeticError):
        return str(error)
    log.error("trial %s failed", job.name, exc_info=error)
    at = blamed(error)
    what = f"{at}: {type(error).__name__}: {error}" if at else f"{type(error).__name__}: {error} (a bug, or out of memory)"
    return f"{what}\n{''.join(traceback.format_exception(error))}"


class _Heard:
    """Notes that a trial gets on."""

    def __init__(self, attempts: Attempts) -> None:
        self._attempts, self._heard = attempts, False

    def asked(self) -> bool:
        """Whether anything was heard since this was last asked."""
        heard, self._heard = self._heard, False
        return heard

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._heard = True
        self._attempts.got_on()

    def waiting(self, stage: str, holder: str) -> None:
        """Waiting is no progress."""

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        if not reused:
            self._heard = True
            self._attempts.got_on()


class _Progress:
    """Reports how far the trial is: the share of its epochs that are done, over all of its stages."""

    def __init__(self, report: Report) -> None:
        self._report_state = report
        self._epochs: dict[str, int] = {}
        self._done: dict[str, int] = {}
        self._waits_for = ""
        self._start, self._waited = time.monotonic(), 0.0
        self._waits_since: float | None = None
        self._last = TrialState(RUNNING)

    def expect(self, config: TrialConfig) -> None:
        """Counts the epochs of a trial's stages. The plug-ins that it names must be loaded."""
        from trainables.attacks import ATTACKS, attack_names
        from trainables.methods import method_of
        from trainables.stages import EVALUATE_ACTION, EVALUATE_CLIP_PRIVACY, EVALUATE_PRIVACY

        epochs = {
            EVALUATE_ACTION.name: config.evaluate_action.epochs,
            EVALUATE_PRIVACY.name: config.evaluate_privacy.epochs,
            EVALUATE_CLIP_PRIVACY.name: config.evaluate_privacy.epochs if config.evaluate_privacy.clips else 0,
        }
        for stage in method_of(config).stages:
            epochs[stage.name] = getattr(getattr(config, stage.name, None), "epochs", 1)
        attacks = [ATTACKS[name].stage for name in attack_names(config)]
        epochs |= {stage.name: config.attack_epochs for stage in attacks if stage.trains}
        self._epochs = {name: max(1, count) for name, count in epochs.items()}
        self._done = dict.fromkeys(self._epochs, 0)

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._waits_since = None
        self._epochs[stage], self._done[stage] = epochs, len(history)
        self._report(stage, len(history), epochs, history[-1] if history else {})

    def waiting(self, stage: str, holder: str) -> None:
        now = time.monotonic()  # called again and again while the trial waits, but not at the end of it
        self._waited += 0.0 if self._waits_since is None else now - self._waits_since
        self._waits_since = now
        if self._waits_for != stage:
            self._waits_for = stage
            self._report(f"waiting for {stage}", 0, self._epochs.get(stage, 1))

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        self._waits_since = None
        self._done[stage.role] = self._epochs.get(stage.role, 1)
        if reused:
            self._report(stage.role, len(outcome.history), len(outcome.history))

    def watched(self, watched: Watched) -> None:
        """Reports where the training of the anonymizer stands, beside what was reported last."""
        self._report_state(replace(self._last, watched=watched))

    def _report(self, stage: str, epoch: int, epochs: int, row: Mapping[str, float] | None = None) -> None:
        share = min(0.999, sum(self._done.values()) / max(1, sum(self._epochs.values())))
        runs_for = time.monotonic() - self._start
        self._last = TrialState(RUNNING, stage, epoch, epochs, share, runs_for, self._waited, figures=_shown(row or {}))
        self._report_state(self._last)


def _shown(row: Mapping[str, float]) -> dict[str, float]:
    """Of an epoch's figures those that say most in a line: of validation data, and otherwise the losses."""
    validated = [name for name in row if name.startswith(schema.VALIDATION)]
    return {name.removeprefix(schema.VALIDATION): row[name] for name in (validated or list(row))[:_FIGURES]}


class _All:
    """Several reporters as one."""

    def __init__(self, *reporters: Any) -> None:
        self._reporters = reporters

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        for reporter in self._reporters:
            reporter.epoch(stage, history, epochs)

    def waiting(self, stage: str, holder: str) -> None:
        for reporter in self._reporters:
            reporter.waiting(stage, holder)

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        for reporter in self._reporters:
            reporter.finished(stage, outcome, reused)
