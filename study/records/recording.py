"""The MLflow run of one trial, kept up to date beside the training: what cannot be sent now is sent later, once.

A run is found again by its trial key, so whoever holds the trial's lease goes on with it. After any error what MLflow has is
asked for before anything is sent again: the answer may be what was lost.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

# By default a call to a server that is away blocks for minutes; here it is tried again, by whoever keeps what is to be sent.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "1")

import yaml
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from study.records.outbox import RUNNING, Account, Row, Spool, now
from trainables import schema
from trainables.config import TrialConfig

if TYPE_CHECKING:
    from trainables.pipeline import TrialRecord
    from trainables.plan import PlannedStage
    from trainables.store import Outcome

log = logging.getLogger(__name__)

FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"
PATIENCE_SECONDS = 10.0  # how long a trial that has ended waits for MLflow before it leaves its account in the storage
_LAST_CALL_SECONDS = 60.0  # for a call that is under way then; by far more than it waits for an answer
_RETRY_SECONDS = (1.0, 30.0)  # after the first error, and at most
_BATCH = 900  # MLflow takes at most 1,000 metrics a call


class Sender:
    """Brings the MLflow run of one account up to date. Not for several threads."""

    def __init__(self, tracking_uri: str, experiment_id: str) -> None:
        self._client, self._experiment_id = MlflowClient(tracking_uri), experiment_id
        self._run_id = ""
        self._forget()

    def send(self, account: Account) -> None:
        """Sends what MLflow has not. Raises whatever MLflow does; call again with the same account or a later one."""
        try:
            if not self._run_id:
                self._run_id = self._open(account)
            if not self._finished:
                self._send(account)
        except BaseException:
            self._run_id = ""
            self._forget()
            raise

    def _forget(self) -> None:
        self._new = self._finished = self._final = False
        self._epochs: dict[str, set[int]] = {}  # by stage
        self._tags: dict[str, str] = {}
        self._files: set[str] = set()

    def _open(self, account: Account) -> str:
        found = self._client.search_runs(
            [self._experiment_id],
            f"tags.{schema.TAG_TRIAL_KEY} = '{account.key}'",
            max_results=1,
            order_by=["attributes.start_time ASC"],
        )
        if found:
            run: Run = found[0]
            self._final = "pipeline_seconds" in run.data.metrics
            self._finished = run.info.status == FINISHED
            if not self._finished and account.status == RUNNING:
                self._client.update_run(run.info.run_id, status=RUNNING)
        else:
            self._new = True
            tags = {**account.tags, schema.TAG_TRIAL_KEY: account.key}
            run = self._client.create_run(self._experiment_id, run_name=account.name, tags=tags)
        self._tags = dict(run.data.tags)
        missing = [Param(name, value) for name, value in account.params.items() if name not in run.data.params]
        for first in range(0, len(missing), 100):
            self._client.log_batch(run.info.run_id, params=missing[first : first + 100])
        return str(run.info.run_id)

    def _send(self, account: Account) -> None:
        tags = [RunTag(name, value) for name, value in account.tags.items() if self._tags.get(name) != value]
        if tags:
            self._client.log_batch(self._run_id, tags=tags)
            self._tags |= {tag.key: tag.value for tag in tags}
        for batch in self._missing(account):
            self._client.log_batch(self._run_id, metrics=[metric for _, _, row in batch for metric in row])
            for stage, epoch, _ in batch:
                self._epochs[stage].add(epoch)
        if not self._final:  # a worker that died after these has sent its files before
            for path, content in account.files.items():
                if path not in self._files:
                    self._log_file(path, content)
                    self._files.add(path)
            if account.final:
                final = [Metric(name, float(value), account.ended, 0) for name, value in account.final.items()]
                self._client.log_batch(self._run_id, metrics=final)
                self._final = True
        if account.status != RUNNING:
            self._client.set_terminated(self._run_id, account.status, account.ended)

    def _missing(self, account: Account) -> Iterator[list[tuple[str, int, list[Metric]]]]:
        """Rows that MLflow does not have, whole ones, as many as fit into a call."""
        batch: list[tuple[str, int, list[Metric]]] = []
        size = 0
        for stage, rows in account.rows.items():
            for epoch, row in sorted(rows.items()):
                if epoch in self._known(stage, row):
                    continue
                if size + len(row.metrics) > _BATCH and batch:
                    yield batch
                    batch, size = [], 0
                metrics = [Metric(f"{stage}/{name}", float(value), row.time, epoch) for name, value in row.metrics.items()]
                batch.append((stage, epoch, metrics))
                size += len(metrics)
        if batch:
            yield batch

    def _known(self, stage: str, row: Row) -> set[int]:
        if stage not in self._epochs:
            last = list(row.metrics)[-1]  # of a batch cut short by a crash the last name is the one missing
            history = [] if self._new else self._client.get_metric_history(self._run_id, f"{stage}/{last}")
            self._epochs[stage] = {point.step for point in history}
        return self._epochs[stage]

    def _log_file(self, name: str, content: bytes) -> None:
        """`name` may begin with a folder."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / file
            path.write_bytes(content)
            self._client.log_artifact(self._run_id, str(path), folder or None)


class TrialRun:
    """A `trainables.pipeline.Reporter` that never waits for MLflow while the trial runs; a thread of its own sends."""

    def __init__(
        self,
        tracking_uri: str,
        experiment_id: str,
        spool: Spool,
        key: str,
        name: str,
        tags: Mapping[str, str],
        config: TrialConfig,
        compared: Iterable[str] = (),
    ) -> None:
        """`compared`: keys of the configuration that the study varies or changes."""
        params, whole = schema.told(config, compared)
        self._account = Account(key, name, {**tags, **whole, schema.TAG_REASON: ""}, params)
        self._account.files[schema.ARTIFACT_CONFIG] = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False).encode()
        self._spool = spool
        self._stages: dict[str, str] = {}  # names by key
        self._lock = threading.Lock()
        self._changed, self._sent, self._given_up = threading.Event(), threading.Event(), threading.Event()
        self._changed.set()
        spool.drop(key)  # what an earlier worker could not send comes again from its stages
        sender = Sender(tracking_uri, experiment_id)
        self._sending = threading.Thread(target=self._keep_sending, args=(sender,), name=f"MLflow {name}", daemon=True)
        self._sending.start()

    def epoch(self, stage: str, history: Sequence[Mapping[str, float]], epochs: int) -> None:
        self._add(stage, history)

    def waiting(self, stage: str, holder: str) -> None:
        pass

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """What a reused stage did long ago belongs to this trial's curves as well."""
        self._stages[stage.key] = stage.name  # known from now on: an unfinished trial needs its stages too
        pairs = " ".join(f"{name}={key}" for key, name in self._stages.items())
        files = {} if stage.control else outcome.files
        self._add(stage.role, outcome.history, {schema.TAG_STAGE_KEYS: pairs}, files)

    def complete(self, record: TrialRecord, anonymizer: bytes | None) -> bool:
        """The final figures, the record and the anonymizer; the run is FINISHED after all of it. See `_end`."""
        with self._lock:
            self._account.files[schema.ARTIFACT_RECORD] = record.to_json().encode()
            if anonymizer is not None:
                self._account.files[f"{schema.ARTIFACT_ANONYMIZER}/anonymizer.pt"] = anonymizer
            self._account.tags[schema.TAG_STAGES_REUSED] = " ".join(record.reused)
            self._account.final = {
                **record.metrics,
                "seconds": record.seconds,
                "pipeline_seconds": record.pipeline_seconds,
            }
        return self._end(FINISHED)

    def fail(self, reason: str, status: str = FAILED) -> bool:
        """Ends the run as FAILED, or KILLED if it was told to stop, with the reason. See `_end`."""
        with self._lock:
            self._account.tags[schema.TAG_REASON] = reason[:5000]
        return self._end(status)

    def _end(self, status: str) -> bool:
        """Whether MLflow has all of it. If it has not after some seconds the account goes into the storage: whoever runs the
        study sends it, while this worker computes the next trial.
        """
        with self._lock:
            self._account.status, self._account.ended = status, now()
        self._changed.set()
        if self._sent.wait(PATIENCE_SECONDS):
            return True
        self._given_up.set()
        self._changed.set()
        self._spool.put(self._account)
        self._sending.join(_LAST_CALL_SECONDS)  # nobody else is to send at the same time
        if self._sent.is_set():
            self._spool.drop(self._account.key)
            return True
        log.warning("%s: MLflow does not answer; its record waits in %s", self._account.name, self._spool.folder)
        return False

    def _add(
        self,
        stage: str,
        history: Sequence[Mapping[str, float]],
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        with self._lock:
            known = self._account.rows.setdefault(stage, {})
            for epoch, metrics in enumerate(history[len(known) :], start=len(known)):
                known[epoch] = Row(now(), dict(metrics))
            self._account.tags.update(tags or {})
            self._account.files.update(files or {})
        self._changed.set()

    def _keep_sending(self, sender: Sender) -> None:
        pause, most = _RETRY_SECONDS
        while not self._given_up.is_set():
            self._changed.wait()
            self._changed.clear()
            with self._lock:
                account = self._account.copy()
            try:
                sender.send(account)
            except Exception as error:  # a server, a database, a network: each has errors of its own
                if pause == _RETRY_SECONDS[0]:
                    log.warning("%s: MLflow does not answer (%s); kept until it does", account.name, _line(error))
                self._given_up.wait(pause)
                pause = min(2 * pause, most)
                self._changed.set()
                continue
            pause = _RETRY_SECONDS[0]
            if account.status != RUNNING:
                self._sent.set()
                return


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
