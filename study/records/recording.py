"""The MLflow run of one trial, kept up to date beside the training. What cannot be sent now is sent later, once.

A run is found again by its trial key, so whoever holds the trial's lease goes on with it. After any error MLflow is asked what
it has before anything is sent again: only its answer may have been lost.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_not_exception_type,
    sleep_using_event,
    stop_when_event_set,
    wait_exponential,
)

from search_spaces.registry import label_of
from study.records.calls import upload_seconds, within
from study.records.opening import only_run
from study.records.outbox import RUNNING, EpochMetrics, Outbox, RunContent, now, trials_folder
from study.records.refusal import TRIES, Refused, first_line, refusal, trouble
from trainables import schema
from trainables.methods import is_heard
from trainables.store.files import Files
from trainables.store.leases import Lease, Superseded
from trainables.trial import TrialJob

if TYPE_CHECKING:
    from trainables.pipeline import TrialRecord
    from trainables.plan import PlannedStage
    from trainables.store import Outcome
    from trainables.stored_anonymizer import StoredAnonymizer

log = logging.getLogger(__name__)

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
PATIENCE_SECONDS = 10.0  # how long a trial that has ended waits for MLflow before it leaves its record in the outbox
_LAST_CALL_SECONDS = 60.0  # for an upload that is under way then; afterwards the lease, given back, lets nothing more through
_RETRY_SECONDS = (1.0, 30.0)  # between two tries: the first pause, and the longest
_BATCH = 900  # MLflow takes at most 1,000 metrics a call


class Sender:
    """Brings the MLflow run of one trial up to date. Not for several threads.

    Every call to MLflow first asks the `lease` of the trial, so any method may raise Superseded.
    """

    def __init__(self, tracking_uri: str, experiment_id: str, lease: Lease | None = None) -> None:
        self._mlflow, self._experiment_id, self._lease = MlflowClient(tracking_uri), experiment_id, lease
        self._run_id = ""
        self._forget()

    def send(self, content: RunContent) -> None:
        """Sends what MLflow does not have. Raises what MLflow raises; call again with the same content or a later one."""
        try:
            if not self._run_id:
                self._run_id = self._open(content)
            if not self._finished:
                self._send(content)
        except BaseException:
            self._run_id = ""
            self._forget()
            raise

    def fail(self, content: RunContent, reason: str) -> None:
        """Ends the run as FAILED, with nothing more of its content than its name. Raises what MLflow raises."""
        self._run_id = ""
        self._forget()
        run_id = self._open(replace(content, params={}, status=FAILED))
        if not self._finished:
            self._client.set_tag(run_id, schema.TAG_REASON, reason[:5000])
            self._client.set_terminated(run_id, FAILED, now())

    @property
    def _client(self) -> MlflowClient:
        if self._lease is not None:
            self._lease.require()
        return self._mlflow

    def _forget(self) -> None:
        self._new = self._finished = self._final = False
        self._epochs: dict[str, set[int]] = {}  # by stage
        self._tags: dict[str, str] = {}
        self._files: set[str] = set()

    def _open(self, content: RunContent) -> str:
        tags = {**_while_it_runs(content.tags), schema.TAG_TRIAL_KEY: content.key}
        run, self._new = only_run(
            self._client,
            self._experiment_id,
            f"tags.{schema.TAG_TRIAL_KEY} = '{content.key}'",
            lambda: self._client.create_run(self._experiment_id, run_name=content.name, tags=tags),
        )
        if not self._new:
            self._final = "pipeline_seconds" in run.data.metrics
            self._finished = run.info.status == FINISHED
            if not self._finished and content.status == RUNNING:
                self._client.update_run(run.info.run_id, status=RUNNING)
        self._tags = dict(run.data.tags)
        missing = [Param(name, value) for name, value in content.params.items() if name not in run.data.params]
        for first in range(0, len(missing), 100):
            self._client.log_batch(run.info.run_id, params=missing[first : first + 100])
        return str(run.info.run_id)

    def _send(self, content: RunContent) -> None:
        self._send_tags(_while_it_runs(content.tags))
        for batch in self._missing(content):
            self._client.log_batch(self._run_id, metrics=[metric for _, _, row in batch for metric in row])
            for stage, epoch, _ in batch:
                self._epochs[stage].add(epoch)
        if not self._final:  # a worker that died after these has sent its files before
            for path, file in content.files.items():
                if path not in self._files:
                    self._log_file(path, file)
                    self._files.add(path)
            if content.final:
                metrics, figures = schema.metrics_and_tags(content.final)
                # the metrics last: a run that has them is complete
                if figures:
                    self._client.log_batch(self._run_id, tags=[RunTag(name, text) for name, text in figures.items()])
                final = [Metric(key, value, content.ended, 0) for key, value in metrics.items()]
                self._client.log_batch(self._run_id, metrics=final)
                self._final = True
        if content.status != RUNNING:
            self._send_tags(content.tags)
            self._client.set_terminated(self._run_id, content.status, content.ended)

    def _send_tags(self, wanted: Mapping[str, str]) -> None:
        tags = [RunTag(name, value) for name, value in wanted.items() if self._tags.get(name) != value]
        if tags:
            self._client.log_batch(self._run_id, tags=tags)
            self._tags |= {tag.key: tag.value for tag in tags}

    def _missing(self, content: RunContent) -> Iterator[list[tuple[str, int, list[Metric]]]]:
        """The rows that MLflow does not have, in batches that fit into a call; no row is cut."""
        batch: list[tuple[str, int, list[Metric]]] = []
        size = 0
        for stage, rows in content.rows.items():
            for epoch, row in sorted(rows.items()):
                if epoch in self._known(stage, row):
                    continue
                if size + len(row.metrics) > _BATCH and batch:
                    yield batch
                    batch, size = [], 0
                metrics = [Metric(_curve(stage, name), float(value), row.time, epoch) for name, value in row.metrics.items()]
                batch.append((stage, epoch, metrics))
                size += len(metrics)
        if batch:
            yield batch

    def _known(self, stage: str, row: EpochMetrics) -> set[int]:
        if stage not in self._epochs:
            last = list(row.metrics)[-1]  # of a batch cut short by a crash the last name is the one missing
            history = [] if self._new else self._client.get_metric_history(self._run_id, _curve(stage, last))
            self._epochs[stage] = {point.step for point in history}
        return self._epochs[stage]

    def _log_file(self, name: str, content: bytes) -> None:
        """Logs an artifact; `name` may begin with a folder."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / file
            path.write_bytes(content)
            with within(upload_seconds(len(content))):
                self._client.log_artifact(self._run_id, str(path), folder or None)


def _while_it_runs(tags: Mapping[str, str]) -> dict[str, str]:
    """`tags` without the one that comes last: a run that ends as KILLED, or did so under an earlier worker, counts as done
    with it.
    """
    return {**tags, schema.TAG_EARLY: ""}


def _curve(stage: str, name: str) -> str:
    """The key of a metric of the epochs of a stage."""
    return f"{schema.key_of(stage)}/{schema.key_of(name)}"


@dataclass(frozen=True)
class MlflowRecorder:
    """Records trials in the MLflow experiment of a study. `compared` are the config keys that the study varies or changes."""

    tracking_uri: str
    experiment_id: str
    compared: tuple[str, ...] = ()

    @property
    def leases(self) -> str:
        """The folder in the storage with the leases of the study's trials."""
        return trials_folder(self.tracking_uri, self.experiment_id)

    def label(self, proposed: Mapping[str, Any]) -> str:
        """The name of a setting that a search proposes."""
        return label_of(proposed)

    def open(self, job: TrialJob, lease: Lease | None = None) -> TrialRecording:
        """Begins or goes on with the MLflow run of a trial."""
        return TrialRecording(self, job, lease)


class TrialRecording:
    """A `trainables.trial.Recording` that never waits for MLflow while the trial runs: a thread of its own sends.

    Once MLflow has refused what it was sent, every call that brings more raises Refused: the trial ends with that reason. Once
    the lease of the trial has passed on, it raises Superseded, and nothing more is recorded here.
    """

    def __init__(self, recorder: MlflowRecorder, job: TrialJob, lease: Lease | None = None) -> None:
        params, whole = schema.params_and_tags(job.config, recorder.compared)
        if whole:  # the parameters are for comparing, and need not be complete
            params = {key: value for key, value in params.items() if is_heard(key, job.config)}
        self._content = RunContent(
            job.key, job.name, {**job.tags, **whole, schema.TAG_REASON: "", schema.TAG_EARLY: ""}, params
        )
        config = yaml.safe_dump(job.config.model_dump(mode="json"), sort_keys=False)
        self._content.files[schema.ARTIFACT_CONFIG] = config.encode()
        self._outbox = Outbox(Files(job.runtime.storage), recorder.tracking_uri, recorder.experiment_id)
        self._stages: dict[str, str] = {}  # names by key
        self._lock = threading.Lock()
        self._lease = lease
        self._refused: Refused | Superseded | None = None
        self._refusals = 0  # one after another
        self._changed, self._sent, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._changed.set()
        self._outbox.drop(job.key)  # what an earlier worker could not send comes again from its stages
        sender = Sender(recorder.tracking_uri, recorder.experiment_id, lease)
        self._sending = threading.Thread(target=self._keep_sending, args=(sender,), name=f"MLflow {job.name}", daemon=True)
        self._sending.start()

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._add(stage, history)

    def waiting(self, stage: str, holder: str) -> None:
        pass

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """Adds the stage's key, its files and its curves, also those of a stage that was computed long ago."""
        self._stages[stage.key] = stage.name  # known from now on: an unfinished trial needs its stages too
        pairs = " ".join(f"{name}={key}" for key, name in self._stages.items())
        files = {} if stage.control else outcome.files
        self._add(stage.role, outcome.history, {schema.TAG_STAGE_KEYS: pairs}, files)

    def complete(self, record: TrialRecord, anonymizer: StoredAnonymizer | None) -> bool:
        """Sends the final figures, the record and where the anonymizer lies, then ends the run as FINISHED. See `_end`."""
        with self._lock:
            self._content.files[schema.ARTIFACT_RECORD] = record.to_json().encode()
            if anonymizer is not None:
                self._content.files[schema.ARTIFACT_STORED] = anonymizer.to_json().encode()
            self._content.tags[schema.TAG_STAGES_REUSED] = " ".join(record.reused)
            self._content.final = {
                **record.metrics,
                "seconds": record.seconds,
                "pipeline_seconds": record.pipeline_seconds,
            }
        sent = self._end(FINISHED)
        self._raise_refusal()
        return sent

    def fail(self, reason: str) -> bool:
        """Ends the run as FAILED. See `_end`."""
        return self._end(FAILED, reason)

    def interrupt(self, reason: str) -> bool:
        """Ends the run as KILLED: another attempt may go on with it. See `_end`."""
        return self._end(KILLED, reason)

    def stop_early(self, reason: str) -> bool:
        """Ends the run as KILLED, with a tag that says that the trial could not win. See `_end`."""
        with self._lock:
            self._content.tags[schema.TAG_EARLY] = "true"
        return self._end(KILLED, reason)

    def _end(self, status: str, reason: str = "") -> bool:
        """Ends the run; returns whether MLflow has all of it. If it has not after some seconds the record goes to the outbox:
        whoever runs the study sends it, while this worker computes the next trial.
        """
        if self._refused is not None:  # the run has been ended with that reason, or is another worker's
            return True
        with self._lock:
            self._content.tags[schema.TAG_REASON] = reason[:5000]
            self._content.status, self._content.ended = status, now()
        self._changed.set()
        if self._sent.wait(PATIENCE_SECONDS):
            return True
        self._given_up.set()
        self._changed.set()
        if self._lease is not None:
            self._lease.require()
        self._outbox.put(self._content)
        self._sending.join(_LAST_CALL_SECONDS)  # nobody else is to send at the same time
        if self._sent.is_set():
            self._outbox.drop(self._content.key)
            return True
        log.warning("%s: MLflow does not answer; its record waits in %s", self._content.name, self._outbox.folder)
        return False

    def _add(
        self,
        stage: str,
        history: Sequence[Mapping[str, float]],
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        self._raise_refusal()
        with self._lock:
            known = self._content.rows.setdefault(stage, {})
            for epoch, metrics in enumerate(history[len(known) :], start=len(known)):
                known[epoch] = EpochMetrics(now(), dict(metrics))
            self._content.tags.update(tags or {})
            self._content.files.update(files or {})
        self._changed.set()

    def _keep_sending(self, sender: Sender) -> None:
        """Sends whatever is new until the record is complete, or given up."""
        first, longest = _RETRY_SECONDS
        patiently = Retrying(
            retry=retry_if_not_exception_type((Refused, Superseded)),
            wait=wait_exponential(multiplier=first, max=longest),
            stop=stop_when_event_set(self._given_up),
            sleep=sleep_using_event(self._given_up),
            before_sleep=self._say_once,
        )
        while not self._given_up.is_set():
            self._changed.wait()
            try:
                status = patiently(self._send, sender)
            except RetryError:
                return
            except Refused as error:
                self._end_refused(sender, error)
                return
            except Superseded as error:
                self._refused = error
                self._sent.set()
                return
            if status != RUNNING:
                self._sent.set()
                return

    def _send(self, sender: Sender) -> str:
        """Sends all there is now; returns the status that was sent."""
        if self._given_up.is_set():
            raise TimeoutError("given up")  # no call more: the record is in the outbox
        self._changed.clear()
        with self._lock:
            content = self._content.copy()
        try:
            sender.send(content)
        except Exception as error:
            self._refusals = self._refusals + 1 if refusal(error) else 0
            if self._refusals >= TRIES:
                raise Refused(f"MLflow {trouble(error)}") from error
            raise
        self._refusals = 0
        return content.status

    def _end_refused(self, sender: Sender, error: Refused) -> None:
        try:
            sender.fail(self._content, str(error))
        except Exception as another:  # the trial fails with the reason all the same
            log.warning("%s: its run could not be ended (%s)", self._content.name, first_line(another))
        self._refused = error
        self._sent.set()

    def _raise_refusal(self) -> None:
        if self._refused is not None:
            raise self._refused

    def _say_once(self, attempt: RetryCallState) -> None:
        if attempt.attempt_number == 1 and attempt.outcome is not None:
            error = attempt.outcome.exception()
            assert error is not None
            log.warning("%s: MLflow %s; kept, and sent again", self._content.name, trouble(error))
