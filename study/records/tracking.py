"""What a study's driver has to do with MLflow: experiment and parent run, what is done, and what no worker can end or send."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from search_spaces.plan import StudyPlan
from study.records.outbox import RUNNING, Spool, trials_folder
from study.records.recording import FINISHED, KILLED, Sender  # before MLflow: how long it waits is set there
from trainables import schema
from trainables.config import ConfigError
from trainables.store.files import Files
from trainables.store.leases import HEARTBEAT_SECONDS, LEASE_SECONDS, Leases

log = logging.getLogger(__name__)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table it makes


def open_study(plan: StudyPlan, tracking_uri: str, artifacts: Path, fresh: bool = False) -> str:
    """Creates database and experiment (once, by the driver: eight processes at a new database crash) and returns its id.

    If `fresh`, an experiment that is there gives its name to a new one, and keeps its records under a name with the time.
    Raises ConfigError if the server or the database cannot be reached.
    """
    try:
        client = MlflowClient(tracking_uri)
        experiment = client.get_experiment_by_name(plan.experiment)
        if experiment is not None and experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
        if experiment is not None and fresh:
            past = f"{plan.space} until {time.strftime('%Y-%m-%d %H:%M:%S')}"
            client.rename_experiment(experiment.experiment_id, schema.experiment_name(past, plan.profile))
            client.set_experiment_tag(experiment.experiment_id, schema.TAG_SPACE, past)
            experiment = None
        if experiment is None:
            # a server keeps artifacts where it was told to; a database alone would put them into the working directory
            location = (artifacts / plan.experiment).as_uri() if tracking_uri.startswith("sqlite") else None
            identity = client.create_experiment(plan.experiment, artifact_location=location)
            client.set_experiment_tag(identity, schema.TAG_SPACE, plan.space)
            client.set_experiment_tag(identity, schema.TAG_PROFILE, plan.profile)
            return identity
        return experiment.experiment_id
    except MlflowException as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(
            f"--tracking-uri {tracking_uri}: MLflow does not answer ({reason}); start it or give another"
        ) from None


def finished_trials(runs: Iterable[Run]) -> set[str]:
    """Keys of the trials whose record is complete."""
    return {run.data.tags.get(schema.TAG_TRIAL_KEY, "") for run in runs if run.info.status == FINISHED}


def stage_keys_in_use(tracking_uri: str) -> set[str]:
    """Keys of all stages that a run of any experiment was made of, finished or not.

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
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"{tracking_uri}: cannot tell which stages are in use ({reason})") from None
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


def pages(search: Callable[..., Any]) -> Iterator[Any]:
    """Everything that a search of MLflow's finds, a thousand at a time."""
    token = None
    while True:
        page = search(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class Study:
    """The records of a study, as whoever runs it sees them: its own run (the parent of its trials' runs), those of its
    trials, and what waits in the storage because MLflow did not answer. Every method may raise what MLflow raises.

    `stop` is the file in the storage that tells the trials of this launch to stop.
    """

    def __init__(self, tracking_uri: str, experiment_id: str, name: str, files: Files) -> None:
        self.tracking_uri, self.experiment_id, self.files = tracking_uri, experiment_id, files
        self.stop = f"launches/{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}.stop"
        self._client = MlflowClient(tracking_uri)
        self._spool, self._trials = Spool(files, tracking_uri, experiment_id), trials_folder(tracking_uri, experiment_id)
        own = f"tags.{schema.TAG_KIND} = '{schema.STUDY_RUN}'"
        found = self._client.search_runs([experiment_id], own, max_results=1, order_by=["attributes.start_time ASC"])
        tags = {schema.TAG_KIND: schema.STUDY_RUN}
        run = found[0] if found else self._client.create_run(experiment_id, run_name=name, tags=tags)
        self.run_id: str = run.info.run_id
        self._used = dict(run.data.metrics)
        self._sent = self._last_step()
        self.usage: dict[str, float] = {}  # of this launch, by metric
        self._client.update_run(self.run_id, status=RUNNING)

    @property
    def tags(self) -> dict[str, str]:
        """Of every trial's run: MLflow shows it under the study's own."""
        return {MLFLOW_PARENT_RUN_ID: self.run_id}

    def runs(self) -> list[Run]:
        """The run of every trial, whatever became of it."""
        found = pages(lambda **page: self._client.search_runs([self.experiment_id], **page))
        return [run for run in found if run.data.tags.get(schema.TAG_KIND) != schema.STUDY_RUN]

    def plan(self, trials: Sequence[Mapping[str, Any]]) -> None:
        """What the study plans to run: `key`, `name`, `setting`, `seed` of each trial."""
        self._client.log_dict(self.run_id, {"trials": list(trials)}, schema.ARTIFACT_PLAN)

    def report(self, folder: Path) -> None:
        """The report and its figures."""
        for path in sorted(folder.glob("*")):
            if path.suffix in (".html", ".png"):
                self._client.log_artifact(self.run_id, str(path), schema.ARTIFACT_REPORT)

    def send_usage(self) -> None:
        """What this launch has used so far, added to what earlier ones had: one more point of curves over all launches."""
        total = {name: self._used.get(name, 0.0) + value for name, value in self.usage.items()}
        if not total:
            return
        now, self._sent = int(time.time() * 1000), self._sent + 1
        self._client.log_batch(self.run_id, [Metric(name, value, now, self._sent) for name, value in total.items()])

    def _last_step(self) -> int:
        """Of what earlier launches have sent; -1 if there were none."""
        curve = next(iter(self._used), None)
        return -1 if curve is None else max(point.step for point in self._client.get_metric_history(self.run_id, curve))

    def end(self, status: str, reason: str = "") -> None:
        self._client.set_tag(self.run_id, schema.TAG_REASON, reason[:5000])
        self._client.set_terminated(self.run_id, status)
        self.files.remove(self.stop)

    def end_unfinished(self, reason: str) -> list[str]:
        """Marks runs left RUNNING, whose worker has died for good, as KILLED with a reason; returns their names.

        A trial that a live worker holds, of this launch of the study or another, stays.
        """
        leases = Leases(self.files)
        left = [run for run in self.runs() if run.info.status == RUNNING]
        end, names = time.monotonic() + LEASE_SECONDS + HEARTBEAT_SECONDS, []
        while left and time.monotonic() < end:
            for run in list(left):
                key = run.data.tags.get(schema.TAG_TRIAL_KEY, "")
                if leases.moved(self._trials, key):
                    left.remove(run)
                elif not leases.holder(self._trials, key):
                    left.remove(run)
                    self._client.set_tag(run.info.run_id, schema.TAG_REASON, reason)
                    self._client.set_terminated(run.info.run_id, KILLED)
                    names.append(str(run.info.run_name))
            if left:
                time.sleep(HEARTBEAT_SECONDS / 4)
        return names

    def send_unsent(self) -> int:
        """Sends what trials could not; returns of how many it still waits, because MLflow does not answer.

        A trial that a live worker has taken up again is left to that worker.
        """
        leases, keys = Leases(self.files), list(self._spool.keys())
        for number, key in enumerate(keys):
            lease = leases.take(self._trials, key)
            if lease is None:
                continue
            with lease:
                account = self._spool.get(key)
                try:
                    if account is not None:
                        Sender(self.tracking_uri, self.experiment_id).send(account)
                        self._spool.drop(key)
                except Exception as error:  # a server, a database, a network: each has errors of its own
                    log.warning("MLflow does not answer (%s)", " ".join(str(error).split())[:200])
                    return len(keys) - number
        return 0

    def send_patiently(self, seconds: float = 60.0) -> int:
        """What `send_unsent` returns once that is 0, or after so many seconds."""
        end = time.monotonic() + seconds
        while (left := self.send_unsent()) and time.monotonic() < end:
            time.sleep(5.0)
        return left

    @contextlib.contextmanager
    def sending(self, every: float = 60.0) -> Iterator[None]:
        """Meanwhile what trials have left unsent is sent, as soon as MLflow answers."""
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
