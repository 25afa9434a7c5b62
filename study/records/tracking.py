"""The driver's side of MLflow: the experiment and the study's own run, the trials that are done, the records left unsent."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from study.environment import without_passwords
from study.records.calls import upload_seconds, within
from study.records.opening import only_run
from study.records.outbox import RUNNING, Outbox, RunContent, trials_folder
from study.records.recording import FAILED, FINISHED, KILLED, Sender
from study.records.refusal import TRIES, refusal, trouble
from study.records.view import view_of
from study.schedule.orders import take_back
from trainables import schema
from trainables.config import ConfigError
from trainables.one_line import reason
from trainables.store.files import Files
from trainables.store.leases import HEARTBEAT_SECONDS, LEASE_SECONDS, Lease, Leases
from trainables.versions import project_version

log = logging.getLogger(__name__)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it logs every table it makes


def finished_trials(runs: Iterable[Run]) -> set[str]:
    """The keys of the trials whose record is complete."""
    return {run.data.tags.get(schema.TAG_TRIAL_KEY, "") for run in runs if run.info.status == FINISHED}


def early_trials(runs: Iterable[Run]) -> set[str]:
    """The keys of the trials that were stopped early."""
    return {run.data.tags.get(schema.TAG_TRIAL_KEY, "") for run in runs if schema.is_early(run)}


def failed_trials(runs: Iterable[Run]) -> set[str]:
    """The keys of the trials whose last record is a failure."""
    return {run.data.tags.get(schema.TAG_TRIAL_KEY, "") for run in runs if run.info.status == FAILED}


def stage_keys_in_use(tracking_uri: str) -> set[str]:
    """The keys of all stages that the runs of all experiments consist of, finished or not.

    Raises ConfigError if the records cannot be read, or one that must have stages does not say which.
    """
    database = tracking_uri.removeprefix("sqlite:///")
    if database != tracking_uri and not Path(database).is_file():
        raise ConfigError(f"{tracking_uri}: no such file; give the tracking URI of the studies that use these stages")
    used: set[str] = set()
    try:
        client = MlflowClient(tracking_uri)
        experiments = [found.experiment_id for found in pages(client.search_experiments)]
        for run in pages(lambda **page: client.search_runs(experiments, **page)) if experiments else ():
            used |= _stage_keys_of(client, run)
    except (MlflowException, OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{tracking_uri}: cannot tell which stages are in use ({reason(error)})") from None
    return used


def _stage_keys_of(client: MlflowClient, run: Run) -> set[str]:
    tag = run.data.tags.get(schema.TAG_STAGE_KEYS)
    if tag is not None:
        return {pair.partition("=")[2] for pair in tag.split()}
    if run.info.status != RunStatus.to_string(RunStatus.FINISHED) or schema.TAG_TRIAL_KEY not in run.data.tags:
        return set()
    with tempfile.TemporaryDirectory() as directory:  # a record from before there was the tag
        path = client.download_artifacts(run.info.run_id, schema.ARTIFACT_RECORD, directory)
        return set(json.loads(Path(path).read_text())["stage_keys"].values())


def _key(run: Run) -> str:
    """The key of the trial that a run is the record of."""
    return str(run.data.tags.get(schema.TAG_TRIAL_KEY, ""))


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Yields everything that a search of MLflow finds; it answers with at most a thousand at a time."""
    token = None
    while True:
        page = search(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class StudyTracker:
    """The records of a study as its driver sees them: the study's own run (the parent of its trials' runs), the runs of its
    trials, and the outbox. Every method may raise what MLflow raises.

    `stop` is the file in the storage that tells the trials of this launch to stop.
    """

    def __init__(self, tracking_uri: str, experiment_id: str, name: str, files: Files) -> None:
        self.tracking_uri, self.experiment_id, self.files = tracking_uri, experiment_id, files
        self.stop = f"launches/{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.stop"
        self._client = MlflowClient(tracking_uri)
        self._outbox, self._trials = Outbox(files, tracking_uri, experiment_id), trials_folder(tracking_uri, experiment_id)
        own = f"tags.{schema.TAG_KIND} = '{schema.STUDY_RUN}'"
        tags = {schema.TAG_KIND: schema.STUDY_RUN}
        run, _ = only_run(
            self._client, experiment_id, own, lambda: self._client.create_run(experiment_id, run_name=name, tags=tags)
        )
        self.run_id: str = run.info.run_id
        self._used = dict(run.data.metrics)
        self._sent = self._last_step()
        self.usage: dict[str, float] = {}  # of this launch, by metric
        self._client.update_run(self.run_id, status=RUNNING)
        self._client.set_tag(self.run_id, schema.TAG_VERSION, project_version())  # of the launch before it may be another

    @property
    def tags(self) -> dict[str, str]:
        """The tags of every trial's run: what makes MLflow show it below the study's own, and the version of this project."""
        return {MLFLOW_PARENT_RUN_ID: self.run_id, schema.TAG_VERSION: project_version()}

    @property
    def address(self) -> str:
        """Where the records are, for the user: of a server, the page on which the study's settings stand side by side."""
        where = without_passwords(self.tracking_uri)
        return f"{where.rstrip('/')}{view_of(self.experiment_id)}" if where.startswith("http") else where

    def runs(self) -> list[Run]:
        """The runs of all trials, finished or not."""
        found = pages(lambda **page: self._client.search_runs([self.experiment_id], **page))
        return [run for run in found if run.data.tags.get(schema.TAG_KIND) != schema.STUDY_RUN]

    def plan(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """Logs the `key`, `name`, `setting` and `seed` of every trial that the study plans; what another launch was told of
        them while it ran counts no more.
        """
        take_back(self.files, self._trials, (str(trial["key"]) for trial in trials))
        content = {"trials": list(trials)}
        with within(upload_seconds(len(json.dumps(content)))):
            self._client.log_dict(self.run_id, content, schema.ARTIFACT_PLAN)

    def report(self, folder: Path) -> None:
        """Logs the report and its figures."""
        for path in sorted(folder.glob("*")):
            if path.suffix in (".html", ".png"):
                with within(upload_seconds(path.stat().st_size)):
                    self._client.log_artifact(self.run_id, str(path), schema.ARTIFACT_REPORT)

    def send_usage(self) -> None:
        """Logs the hours used by this launch so far, added to those of earlier ones, as one more point of their curves."""
        total = {name: self._used.get(name, 0.0) + value for name, value in self.usage.items()}
        if not total:
            return
        now, self._sent = int(time.time() * 1000), self._sent + 1
        self._client.log_batch(self.run_id, [Metric(name, value, now, self._sent) for name, value in total.items()])

    def _last_step(self) -> int:
        """The last step that earlier launches logged; -1 if there were none."""
        curve = next(iter(self._used), None)
        return -1 if curve is None else max(point.step for point in self._client.get_metric_history(self.run_id, curve))

    def end(self, status: str, reason: str = "") -> None:
        self._client.set_tag(self.run_id, schema.TAG_REASON, reason[:5000])
        self._client.set_terminated(self.run_id, status)
        self.files.remove(self.stop)

    def abandon(self, error: BaseException) -> None:
        """Ends the study's run, and those that no worker holds, after an error of the driver."""
        self.end_unfinished("the study ended before it")
        self.end(KILLED if isinstance(error, KeyboardInterrupt) else FAILED, f"{type(error).__name__}: {error}")

    def end_unfinished(self, reason: str) -> list[str]:
        """Marks runs left RUNNING, whose worker has died for good, as KILLED with a reason; returns their names. A second run
        of a trial without a figure is deleted: one whose creation came to MLflow after all, when another was there.

        A trial that a live worker holds, of this launch of the study or another, stays.
        """
        leases = Leases(self.files)
        runs = self.runs()
        left, count = [run for run in runs if run.info.status == RUNNING], Counter(map(_key, runs))
        end, names = time.monotonic() + LEASE_SECONDS + HEARTBEAT_SECONDS, []
        while left and time.monotonic() < end:
            for run in list(left):
                key = _key(run)
                if leases.moved(self._trials, key):
                    left.remove(run)
                elif not leases.holder(self._trials, key):
                    left.remove(run)
                    if count[key] > 1 and not run.data.metrics:
                        count[key] -= 1
                        self._client.delete_run(run.info.run_id)
                        continue
                    if not run.data.tags.get(schema.TAG_EARLY):  # which comes last, with a reason of its own
                        self._client.set_tag(run.info.run_id, schema.TAG_REASON, reason)
                    self._client.set_terminated(run.info.run_id, KILLED)
                    names.append(str(run.info.run_name))
            if left:
                time.sleep(HEARTBEAT_SECONDS / 4)
        return names

    def send_unsent(self) -> int:
        """Sends the records in the outbox; returns how many still wait because MLflow does not answer, or not in time.

        A record that MLflow refuses ends as a failed run with the reason, and does not hold up the others; the stages of its
        trial are stored. A trial that a live worker has taken up again is left to that worker.
        """
        leases, keys, waiting = Leases(self.files), list(self._outbox.keys()), 0
        for number, key in enumerate(keys):
            lease = leases.take(self._trials, key)
            if lease is None:
                continue
            with lease:
                try:
                    content = self._outbox.get(key)
                    if content is not None:
                        self._send_or_fail(content, lease)
                        self._outbox.drop(key)
                except Exception as error:  # a server, a database, a network: each has errors of its own
                    log.warning("%s: MLflow %s", key, trouble(error))
                    waiting += 1
                    if not self._answers():
                        return waiting + len(keys) - number - 1
        return waiting

    def _answers(self) -> bool:
        """Whether MLflow does, so that one record's trouble need not be the next one's."""
        with contextlib.suppress(Exception):
            return self._client.get_experiment(self.experiment_id) is not None
        return False

    def _send_or_fail(self, content: RunContent, lease: Lease) -> None:
        """Sends a record, or fails its run where MLflow refuses it. Raises what MLflow raises when it does not answer."""
        sender = Sender(self.tracking_uri, self.experiment_id, lease)
        for attempt in range(1, TRIES + 1):
            try:
                sender.send(content)
                return
            except Exception as error:
                if not refusal(error):
                    raise
                if attempt == TRIES:
                    log.error("%s: MLflow %s; its run has failed", content.name, trouble(error))
                    sender.fail(content, f"MLflow {trouble(error)}")

    def send_patiently(self, seconds: float = 60.0) -> int:
        """Tries `send_unsent` for so many seconds; returns how many records still wait."""
        patiently = Retrying(
            retry=retry_if_result(bool),
            wait=wait_fixed(5.0),
            stop=stop_after_delay(seconds),
            retry_error_callback=lambda last: last.outcome and last.outcome.result(),
        )
        return int(patiently(self.send_unsent))

    @contextlib.contextmanager
    def sending(self, every: float = 60.0) -> Iterator[None]:
        """Sends the records in the outbox and the hours used every `every` seconds, as long as the context lasts."""
        left = threading.Event()

        def send() -> None:
            while not left.wait(every):
                with contextlib.suppress(Exception):  # the storage is away as well: next time
                    self.send_unsent()
                    self.send_usage()

        sender = threading.Thread(target=send, name="unsent", daemon=True)
        sender.start()
        try:
            yield
        finally:
            left.set()
            sender.join()
