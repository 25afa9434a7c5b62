"""Orders to a study that runs, from another terminal: `--skip` ends some of its trials, `--next` starts some of them first."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlflow.entities import Experiment, Run
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from study.backend.preflight import tracking_problems
from study.environment import without_passwords
from study.options import Options
from study.records.outbox import RUNNING, trials_folder
from study.records.recording import FINISHED
from study.records.tracking import pages
from study.schedule.choice import named
from study.schedule.orders import next_order
from trainables import schema
from trainables.config import ConfigError
from trainables.store.files import Files
from trainables.store.leases import Leases
from trainables.trial import skip_order


@dataclass(frozen=True)
class RecordedTrial:
    """A trial as the records of its study know it. `status` is that of its run, empty before it has begun."""

    key: str
    name: str
    setting: str
    status: str


def give_orders(options: Options) -> int:
    """Tells the study that runs with these options which trials to skip and which to start next, and says of each what comes
    of it. Raises ConfigError where no such study runs, or it has no such trial.
    """
    uri, files = options.places.tracking_uri, Files(options.places.stages_at)
    if problems := tracking_problems(uri):
        raise ConfigError(problems[0])
    if options.space is None:
        raise ConfigError("--skip and --next are for one study: give its --space and --profile")
    experiment, trials = _running_study(options)
    folder = trials_folder(uri, experiment.experiment_id)
    if not files.names(folder):
        raise ConfigError(
            f"storage {options.places.stages_at}: no trial of {experiment.name} runs there; give that of the study"
        )
    leases = Leases(files)
    done = {trial.key for trial in trials if trial.status == FINISHED}
    running = {trial.key for trial in trials if trial.status == RUNNING and leases.holder(folder, trial.key)}
    to_skip, to_start = named(trials, "--skip", options.skip), named(trials, "--next", options.next)
    for trial in trials:
        if trial.name not in to_skip:
            continue
        if trial.key in done:
            print(f"{trial.name}: is done")
            continue
        files.replace(skip_order(folder, trial.key), b"")
        print(f"{trial.name}: {'saves and ends at its next step' if trial.key in running else 'is not computed'}")
    for trial in trials:
        if trial.name not in to_start:
            continue
        if trial.key in done | running:
            print(f"{trial.name}: {'is done' if trial.key in done else 'runs'}")
            continue
        files.replace(next_order(folder, trial.key), b"")
        print(f"{trial.name}: starts before the others")
    return 0


def plan_of_run(client: MlflowClient, own: Run) -> list[dict[str, str]] | None:
    """`key`, `name` and `setting` of each trial that a study has planned, from the artifact of its own run; None without it."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            path = client.download_artifacts(own.info.run_id, schema.ARTIFACT_PLAN, directory)
        except (MlflowException, OSError):
            return None
        trials: list[dict[str, str]] = json.loads(Path(path).read_text())["trials"]
        return trials


def _running_study(options: Options) -> tuple[Experiment, list[RecordedTrial]]:
    """The experiment of the study, and its trials: those of its plan, and points of a search that have a run."""
    uri = options.places.tracking_uri
    client, name = MlflowClient(uri), schema.experiment_name(str(options.space), options.profile)
    experiment = client.get_experiment_by_name(name)
    runs = [] if experiment is None else list(pages(lambda **page: client.search_runs([experiment.experiment_id], **page)))
    own = [run for run in runs if run.data.tags.get(schema.TAG_KIND) == schema.STUDY_RUN and run.info.status == RUNNING]
    if experiment is None or not own:
        raise ConfigError(
            f"--tracking-uri {without_passwords(uri)}: {name} does not run there; to leave trials out at its start, name the"
            " others with --only"
        )
    by_key = {run.data.tags[schema.TAG_TRIAL_KEY]: run for run in runs if schema.TAG_TRIAL_KEY in run.data.tags}
    status = {key: str(run.info.status) for key, run in by_key.items()}
    planned = [
        RecordedTrial(trial["key"], trial["name"], trial["setting"], status.get(trial["key"], ""))
        for trial in plan_of_run(client, own[0]) or ()
    ]
    points = [
        RecordedTrial(key, str(run.info.run_name), str(run.data.tags.get(schema.TAG_SETTING)), status[key])
        for key, run in by_key.items()
        if status[key] == RUNNING and key not in {trial.key for trial in planned}
    ]
    return experiment, [*planned, *points]
