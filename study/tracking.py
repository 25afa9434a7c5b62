"""MLflow: one run a trial, found again by its key whatever was retried. The driver makes the experiment, trials only write."""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from mlflow.entities import Metric, Param, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from study.plan import StudyPlan
from trainables import schema
from trainables.config import ConfigError, TrialConfig, flatten

if TYPE_CHECKING:
    from trainables.pipeline import TrialRecord
    from trainables.plan import PlannedStage
    from trainables.store import Outcome

logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it tells of every table it makes

_BATCH = 900  # MLflow takes at most 1,000 metrics a call
_PARAM_LENGTH = 500


def open_study(plan: StudyPlan, tracking_uri: str, artifacts: Path) -> str:
    """Creates database and experiment (once, by the driver: eight processes at a new database crash) and returns its id.

    Raises ConfigError if the server or the database cannot be reached.
    """
    try:
        client = MlflowClient(tracking_uri)
        experiment = client.get_experiment_by_name(plan.experiment)
        if experiment is not None and experiment.lifecycle_stage != "active":
            client.restore_experiment(experiment.experiment_id)
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


def all_runs(tracking_uri: str, experiment_id: str) -> list[Run]:
    """Every run of a study, whatever became of it."""
    client = MlflowClient(tracking_uri)
    return list(_pages(lambda **page: client.search_runs([experiment_id], **page)))


def finished_trials(tracking_uri: str, experiment_id: str) -> set[str]:
    """Keys of the trials whose record is complete."""
    runs = all_runs(tracking_uri, experiment_id)
    return {run.data.tags.get(schema.TAG_TRIAL_KEY, "") for run in runs if run.info.status == "FINISHED"}


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
        experiments = [found.experiment_id for found in _pages(client.search_experiments)]
        for run in _pages(lambda **page: client.search_runs(experiments, **page)) if experiments else ():
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


def _pages(search: Callable[..., Any]) -> Iterator[Any]:
    token = None
    while True:
        page = search(max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


class TrialRun:
    """The MLflow run of one trial, as a `trainables.pipeline.Reporter`."""

    def __init__(
        self, tracking_uri: str, experiment_id: str, key: str, name: str, tags: Mapping[str, str], config: TrialConfig
    ) -> None:
        self._client = MlflowClient(tracking_uri)
        found = self._client.search_runs([experiment_id], f"tags.{schema.TAG_TRIAL_KEY} = '{key}'", max_results=1)
        if found:
            self.run_id = found[0].info.run_id
            self._client.update_run(self.run_id, status="RUNNING")
            self._client.set_tag(self.run_id, schema.TAG_REASON, "")
        else:
            run = self._client.create_run(experiment_id, run_name=name, tags={**tags, schema.TAG_TRIAL_KEY: key})
            self.run_id = run.info.run_id
            params = [Param(field, str(value)[:_PARAM_LENGTH]) for field, value in flatten(config).items()]
            self._client.log_batch(self.run_id, params=params)
        self._logged: dict[str, set[int]] = {}
        self._stages: dict[str, str] = {}  # names by key
        self._log_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False), schema.ARTIFACT_CONFIG)

    def epoch(self, stage: str, epoch: int, epochs: int, metrics: Mapping[str, float]) -> None:
        self._log_curves(stage, {epoch: metrics})

    def waiting(self, stage: str, holder: str) -> None:
        pass

    def finished(self, stage: PlannedStage, outcome: Outcome, reused: bool) -> None:
        """What a reused stage did long ago belongs to this trial's curves as well."""
        self._stages[stage.key] = stage.name  # known from now on: an unfinished trial needs its stages too
        pairs = " ".join(f"{name}={key}" for key, name in self._stages.items())
        self._client.set_tag(self.run_id, schema.TAG_STAGE_KEYS, pairs)
        self._log_curves(stage.role, dict(enumerate(outcome.history)))
        for name, content in outcome.files.items() if stage.role == stage.name else ():
            self._log_bytes(content, name)

    def complete(self, record: TrialRecord, anonymizer: bytes | None) -> None:
        """The final figures, the record and the anonymizer; the run is FINISHED after this and not before."""
        now = int(time.time() * 1000)
        values = {**record.metrics, "seconds": record.seconds, "pipeline_seconds": record.pipeline_seconds}
        self._client.log_batch(self.run_id, [Metric(name, float(value), now, 0) for name, value in values.items()])
        self._client.set_tag(self.run_id, schema.TAG_STAGES_REUSED, " ".join(record.reused))
        self._log_text(record.to_json(), schema.ARTIFACT_RECORD)
        if anonymizer is not None:
            self._log_bytes(anonymizer, f"{schema.ARTIFACT_ANONYMIZER}/anonymizer.pt")
        self._client.set_terminated(self.run_id, RunStatus.to_string(RunStatus.FINISHED))

    def fail(self, reason: str, status: str = "FAILED") -> None:
        """Ends the run as FAILED, or KILLED if it was told to stop, with one line that says why."""
        self._client.set_tag(self.run_id, schema.TAG_REASON, reason[:5000])
        self._client.set_terminated(self.run_id, status)

    def _log_curves(self, stage: str, rows: Mapping[int, Mapping[str, float]]) -> None:
        """Logs what of `rows` is not there yet: MLflow would keep a step logged twice as two points."""
        now = int(time.time() * 1000)
        new: list[Metric] = []
        for epoch, metrics in rows.items():
            if epoch not in self._known(stage, metrics):
                new += [Metric(f"{stage}/{name}", float(value), now, epoch) for name, value in metrics.items()]
                self._logged[stage].add(epoch)
        for first in range(0, len(new), _BATCH):
            self._client.log_batch(self.run_id, new[first : first + _BATCH])

    def _known(self, stage: str, metrics: Mapping[str, float]) -> set[int]:
        if stage not in self._logged:
            last = list(metrics)[-1]  # of a batch cut short by a crash the last name is the one missing
            history = self._client.get_metric_history(self.run_id, f"{stage}/{last}")
            self._logged[stage] = {point.step for point in history}
        return self._logged[stage]

    def _log_text(self, text: str, name: str) -> None:
        self._log_bytes(text.encode(), name)

    def _log_bytes(self, content: bytes, name: str) -> None:
        """`name` may begin with a folder."""
        folder, _, file = name.rpartition("/")
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / file
            path.write_bytes(content)
            self._client.log_artifact(self.run_id, str(path), folder or None)


def end_unfinished(tracking_uri: str, experiment_id: str, reason: str) -> list[str]:
    """Marks runs left RUNNING (their worker died for good) as KILLED with a reason; returns their names."""
    client = MlflowClient(tracking_uri)
    names: list[str] = []
    found: Any = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", max_results=1000)
    for run in found:
        client.set_tag(run.info.run_id, schema.TAG_REASON, reason)
        client.set_terminated(run.info.run_id, "KILLED")
        names.append(run.info.run_name)
    return names
