"""One study under faults: started, hit, repaired and submitted again until it is complete, then looked at."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import chaos_space
from cluster import RAY, ROOT, Cluster
from faults import Fault, Scene
from invariants import FAILED, FINISHED, Decided, Line, Run, Seen, violations
from reference import Expected, make_data, planned, run_reference

os.environ.update(RAY)  # read when Ray is imported

from mlflow import MlflowClient
from mlflow.entities import ViewType
from ray.job_submission import JobStatus, JobSubmissionClient

from trainables import schema

LIMIT_SECONDS, LIMIT_SUBMISSIONS = 3600.0, 25  # for one study
ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.STOPPED)


@dataclass(frozen=True)
class ChaosStudy:
    """What is run: `settings` for `--set`, what is expected, and how many epochs each stage takes, by its key. `space`: one of
    `chaos_space.py`; in that of `EARLY` trials that cannot win end early.
    """

    seeds: int
    settings: Mapping[str, Any]
    data_root: Path
    expected: Mapping[str, Expected]
    epochs: Mapping[str, int]
    space: str = "chaos"

    @staticmethod
    def of(seeds: int, settings: Mapping[str, Any], folder: Path, space: str = "chaos") -> ChaosStudy:
        """Makes the data in `folder` and runs the reference there."""
        data_root = make_data(folder / "data")
        trials = planned(space, range(seeds), settings)
        expected = run_reference(trials, data_root, folder / "reference")
        epochs = Counter(line.key for line in _journal(folder / "reference" / "journal"))
        return ChaosStudy(seeds, settings, data_root, expected, epochs, space)

    @property
    def stop_early(self) -> bool:
        return self.space == chaos_space.EARLY

    @property
    def command(self) -> str:
        plugin = Path(chaos_space.__file__).relative_to(ROOT)
        command = [
            "python",
            "study/run.py",
            "--space",
            self.space,
            "--plugin",
            str(plugin),
            "--profile",
            "small",
            "--verify",
            "none",
        ]  # one of its videos is corrupt
        settings = [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]
        early = ["--stop-early"] if self.stop_early else []
        return shlex.join([*command, "--data-root", str(self.data_root), "--seeds", str(self.seeds), *early, *settings])


@dataclass(frozen=True)
class ChaosResult:
    """`injected`: the names of the faults; `found`: what violates each invariant."""

    injected: Sequence[str]
    submissions: int
    seconds: float
    runs: Sequence[Run]
    found: Mapping[str, Sequence[str]]


def run_chaos(
    study: ChaosStudy, faults: Sequence[Fault], seed: int, isolated: bool, keep: Path | None = None, workers: int = 2
) -> ChaosResult:
    """Runs the study once on `workers` nodes, with `faults` in their order, spread over its progress; `seed` chooses what each
    hits.
    """
    with folder_of_a_run(keep) as base:
        start = time.monotonic()
        with Cluster(base, workers, isolated=isolated, environment={chaos_space.JOURNAL: str(base / "journal")}) as cluster:
            attempt = _StudyAttempt(cluster, study, base, start)
            scene = Scene(cluster, study.data_root, random.Random(seed), attempt.stop, attempt.told)
            injected = attempt.run(scene, faults)
            runs, others = read_runs(cluster.database)
            journal, decided = _journal(base / "journal"), read_decided(cluster.storage)
            seen = Seen(runs, others, journal, scene.artifacts, scene.checkpoints, decided, attempt.before)
            found = violations(study.expected, seen)
            return ChaosResult(injected, attempt.submissions, time.monotonic() - start, runs, found)


@contextlib.contextmanager
def folder_of_a_run(keep: Path | None) -> Iterator[Path]:
    """A folder for a cluster, removed at the end; its logs, journal and records are copied to `keep` before that."""
    base = Path(tempfile.mkdtemp(prefix="chaos"))
    try:
        yield base
    finally:
        if keep is not None:
            keep.mkdir(parents=True, exist_ok=True)
            for path in (*base.glob("*.log"), base / "journal", base / "mlflow.db"):
                if path.exists():
                    shutil.copy(path, keep)
            for path in base.glob("*/session_2*/logs/worker-*"):
                target = keep / path.relative_to(base).parts[0]
                target.mkdir(exist_ok=True)
                if path.stat().st_size:
                    shutil.copy(path, target)
        shutil.rmtree(base, ignore_errors=True)


class Attempt:
    """The user: submits a command as a job, and again whenever it has ended and not all is done.

    What is to be done and how far it has come is said by the classes below this one. `base`: the folder of the run; `start`:
    when it began, by the monotonic clock in seconds.
    """

    def __init__(self, cluster: Cluster, command: str, base: Path, start: float) -> None:
        self._cluster, self._command, self._base, self._start = cluster, command, base, start
        self._job = ""
        self.submissions = 0
        self.status: JobStatus | None = None  # of the job that ended last; None where its head was lost

    def run(self, scene: Scene, faults: Sequence[Fault]) -> list[str]:
        """Until all is done, and once more after that where `_once_more` says so; returns the faults that were injected."""
        left = [(0.9 * (number + 0.5) / max(1, len(faults)), fault) for number, fault in enumerate(faults)]
        injected: list[str] = []
        while time.monotonic() - self._start < LIMIT_SECONDS:
            time.sleep(0.6)  # looking costs the processors as much as a trial does
            scene.repair()
            self._cluster.mend()
            if left and self._share() >= left[0][0]:
                hit = left[0][1](scene)
                if hit:
                    self._tell(f"{left[0][1].__name__} {hit}")
                    injected.append(left.pop(0)[1].__name__)
            if self._cluster.head is None or not self._ended():
                continue
            if self.submissions == LIMIT_SUBMISSIONS:
                break
            if self._complete():
                if self._waits(scene):
                    continue
                if not self._once_more():
                    break
                left = []
            self._submit()
        scene.repair(everything=True)
        return injected

    def stop(self) -> None:
        self._client().stop_job(self._job)

    def told(self, text: str) -> bool:
        """Whether the log of a job that has ended says so."""
        return any(text in path.read_text() for path in self._base.glob("job*.log"))

    def _complete(self) -> bool:
        raise NotImplementedError

    def _share(self) -> float:
        """How much of all that is to be done is done, from 0 to 1."""
        raise NotImplementedError

    def _waits(self, scene: Scene) -> bool:
        """Whether what is going on still has to end before a complete run is looked at."""
        return False

    def _once_more(self) -> bool:
        """Whether the command is given once more now that all is done."""
        raise NotImplementedError

    def _client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self._cluster.dashboard)

    def _submit(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # the head is not ready, or just gone
            self._job = self._client().submit_job(entrypoint=self._command)
            self.submissions += 1
            self._tell(f"submitted, number {self.submissions}")

    def _ended(self) -> bool:
        """Whether no job runs; the log of one that has ended is kept."""
        if not self._job:
            return True
        status: JobStatus | None
        try:
            status = self._client().get_job_status(self._job)
            if status in ENDED:
                log = self._client().get_job_logs(self._job)
                (self._base / f"job{self.submissions}.log").write_text(log)
                self._tell(f"ended: {status} {log.splitlines()[-1:]}")
        except (RuntimeError, OSError):
            status = None if self._cluster.head is None else JobStatus.FAILED  # another head knows nothing of it
        if status in ENDED:
            self._job, self.status = "", status
        return status in ENDED

    def _tell(self, what: str) -> None:
        print(f"  {time.monotonic() - self._start:5.0f} s {self._share():4.0%}  {what}", flush=True)


class _StudyAttempt(Attempt):
    """The user of a study."""

    def __init__(self, cluster: Cluster, study: ChaosStudy, base: Path, start: float) -> None:
        super().__init__(cluster, study.command, base, start)
        self._study = study
        self.before: tuple[list[Run], int] | None = None  # with early stopping: what there was when all was done

    def told(self, text: str) -> bool:
        """Whether a trial's reason in MLflow, or the log of a job that has ended, says so."""
        runs, _ = read_runs(self._cluster.database, points=False)
        return any(text in run.reason for run in runs) or super().told(text)

    def _complete(self) -> bool:
        """Whether each trial has ended as it should and nothing is RUNNING, as MLflow says."""
        runs, others = read_runs(self._cluster.database, points=False)
        status = {run.key: run.status for run in runs if not run.early}
        early = {run.key for run in runs if run.early}
        ended = all(
            key in early or status.get(key) == (FAILED if trial.reason else FINISHED)
            for key, trial in self._study.expected.items()
        )
        return ended and not any(run.status == "RUNNING" for run in (*runs, *others))

    def _once_more(self) -> bool:
        if self.before or not self._study.stop_early:
            return False
        self.before = read_runs(self._cluster.database)[0], len(_journal(self._base / "journal"))
        return True

    def _share(self) -> float:
        """Of all epochs, those that are done."""
        lines = _journal(self._base / "journal")
        done = Counter(key for key, _ in {(line.key, line.epoch) for line in lines if line.what == "epoch"})
        epochs = self._study.epochs
        done.update({line.key: epochs.get(line.key, 0) for line in lines if line.what == "stage"})  # whoever trained it
        stopped = {one.anonymizer for one in read_decided(self._cluster.storage) if one.stop}
        left = [trial.stages.values() for trial in self._study.expected.values() if stopped & set(trial.stages.values())]
        done.update({key: epochs.get(key, 0) for keys in left for key in keys})  # nobody is to compute them
        return sum(min(done[key], count) for key, count in epochs.items()) / sum(epochs.values())


def read_runs(tracking_uri: str, points: bool = True) -> tuple[list[Run], list[Run]]:
    """The runs of trials, and the others."""
    client = MlflowClient(tracking_uri)
    runs: list[Run] = []
    others: list[Run] = []
    for experiment in client.search_experiments(view_type=ViewType.ACTIVE_ONLY):
        for run in client.search_runs([experiment.experiment_id], max_results=1000):
            key = run.data.tags.get(schema.TAG_TRIAL_KEY, "")
            curves = {name: list(_points(client, run.info.run_id, name)) for name in run.data.metrics if points}
            curves |= {name: [(0, value)] for name, value in schema.figures_of({}, run.data.tags).items() if points}
            reason = run.data.tags.get(schema.TAG_REASON, "")
            found = Run(key, run.info.run_name or run.info.run_id, run.info.status, reason, curves, schema.is_early(run))
            (runs if key else others).append(found)
    return runs, others


def _points(client: MlflowClient, run_id: str, name: str) -> Iterator[tuple[int, float]]:
    history = client.get_metric_history(run_id, name)
    for point in sorted(history, key=lambda point: (point.timestamp, point.step)):
        yield point.step, point.value


def read_decided(storage: Path) -> list[Decided]:
    """What was decided of trials that may stop early."""
    found = []
    for path in storage.glob("trials/*/early/*/*/[!.]*.json"):
        kept = json.loads(path.read_text())
        epoch, figures = int(path.parent.name), (kept["top1"], kept["leakage"])
        found.append(Decided(str(path.parent), path.stem, epoch, *figures, kept["stop"], kept["reason"]))
    return found


def _journal(path: Path) -> list[Line]:
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Line(row["what"], row["key"], row["epoch"]) for row in rows]


def table(results: Mapping[str, ChaosResult], expected: Mapping[str, Expected]) -> str:
    """A column for each run, as Markdown."""
    rows = [
        ("trials expected", [len(expected)] * len(results)),
        ("finished", [_count(result, expected, FINISHED) for result in results.values()]),
        ("failed as they should", [_count(result, expected, FAILED) for result in results.values()]),
        ("stopped early", [stopped(result) for result in results.values()]),
    ]
    return table_of(results, rows)


def table_of(results: Mapping[str, ChaosResult], own: Sequence[tuple[str, Sequence[object]]]) -> str:
    """A column for each run, as Markdown: the faults, the rows `own`, violations of each invariant, seconds."""
    faults = sorted({name for result in results.values() for name in result.injected})
    rows: list[tuple[str, Sequence[object]]] = [
        *((f"fault: {name}", [Counter(result.injected)[name] for result in results.values()]) for name in faults),
        ("submitted", [result.submissions for result in results.values()]),
        *own,
        *((name, [len(result.found[name]) for result in results.values()]) for name in next(iter(results.values())).found),
        ("seconds", [f"{result.seconds:.0f}" for result in results.values()]),
    ]
    lines = [f"| | {' | '.join(results)} |", "|---" * (len(results) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(map(str, values))} |" for name, values in rows)])


def stopped(result: ChaosResult) -> int:
    """How many trials were stopped early."""
    return sum(run.early for run in result.runs)


def _count(result: ChaosResult, expected: Mapping[str, Expected], status: str) -> int:
    keys = {key for key, trial in expected.items() if bool(trial.reason) == (status == FAILED)}
    return len({run.key for run in result.runs if run.status == status} & keys)
