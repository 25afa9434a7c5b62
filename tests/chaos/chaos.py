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
from invariants import FAILED, FINISHED, Line, Run, Seen, violations
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
    """What is run: `settings` for `--set`, what is expected, and how many epochs each stage takes, by its key."""

    seeds: int
    settings: Mapping[str, Any]
    data_root: Path
    expected: Mapping[str, Expected]
    epochs: Mapping[str, int]

    @staticmethod
    def of(seeds: int, settings: Mapping[str, Any], folder: Path) -> ChaosStudy:
        """Makes the data in `folder` and runs the reference there."""
        data_root = make_data(folder / "data")
        expected = run_reference(planned(range(seeds), settings), data_root, folder / "reference")
        epochs = Counter(line.key for line in _journal(folder / "reference" / "journal"))
        return ChaosStudy(seeds, settings, data_root, expected, epochs)

    @property
    def command(self) -> str:
        plugin = Path(chaos_space.__file__).relative_to(ROOT)
        command = [
            "python",
            "study/run.py",
            "--space",
            "chaos",
            "--plugin",
            str(plugin),
            "--profile",
            "small",
            "--verify",
            "none",
        ]  # one of its videos is corrupt
        settings = [word for key, value in self.settings.items() for word in ("--set", f"{key}={value}")]
        return shlex.join([*command, "--data-root", str(self.data_root), "--seeds", str(self.seeds), *settings])


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
    base = Path(tempfile.mkdtemp(prefix="chaos"))
    environment = {chaos_space.JOURNAL: str(base / "journal")}
    start = time.monotonic()
    try:
        with Cluster(base, workers, isolated=isolated, environment=environment) as cluster:
            attempt = _Attempt(cluster, study, base, start)
            scene = Scene(cluster, study.data_root, random.Random(seed), attempt.stop, attempt.told)
            injected = attempt.run(scene, faults)
            runs, others = read_runs(cluster.database)
            seen = Seen(runs, others, _journal(base / "journal"), scene.artifacts, scene.checkpoints)
            found = violations(study.expected, seen)
            return ChaosResult(injected, attempt.submissions, time.monotonic() - start, runs, found)
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


class _Attempt:
    """The user: submits the study, and again whenever it has ended and is not complete."""

    def __init__(self, cluster: Cluster, study: ChaosStudy, base: Path, start: float) -> None:
        self._cluster, self._study, self._base, self._start = cluster, study, base, start
        self._job = ""
        self.submissions = 0

    def run(self, scene: Scene, faults: Sequence[Fault]) -> list[str]:
        """Until the study is complete; returns the faults that were injected."""
        left = [(0.9 * (number + 0.5) / max(1, len(faults)), fault) for number, fault in enumerate(faults)]
        injected: list[str] = []
        while time.monotonic() - self._start < LIMIT_SECONDS:
            time.sleep(0.3)
            scene.repair()
            self._cluster.mend()
            if left and self._share() >= left[0][0]:
                hit = left[0][1](scene)
                if hit:
                    self._tell(f"{left[0][1].__name__} {hit}")
                    injected.append(left.pop(0)[1].__name__)
            if self._cluster.head is None or not self._ended():
                continue
            if self._complete() or self.submissions == LIMIT_SUBMISSIONS:
                break
            self._submit()
        scene.repair(everything=True)
        return injected

    def stop(self) -> None:
        self._client().stop_job(self._job)

    def told(self, text: str) -> bool:
        """Whether a trial's reason in MLflow, or the log of a job that has ended, says so."""
        runs, _ = read_runs(self._cluster.database, points=False)
        logs = (path.read_text() for path in self._base.glob("job*.log"))
        return any(text in run.reason for run in runs) or any(text in log for log in logs)

    def _client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self._cluster.dashboard)

    def _submit(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):  # the head is not ready, or just gone
            self._job = self._client().submit_job(entrypoint=self._study.command)
            self.submissions += 1
            self._tell(f"submitted, number {self.submissions}")

    def _ended(self) -> bool:
        """Whether no job runs; the log of one that has ended is kept."""
        if not self._job:
            return True
        try:
            status = self._client().get_job_status(self._job)
            if status in ENDED:
                log = self._client().get_job_logs(self._job)
                (self._base / f"job{self.submissions}.log").write_text(log)
                self._tell(f"ended: {status} {log.splitlines()[-1:]}")
        except (RuntimeError, OSError):
            status = None if self._cluster.head is None else JobStatus.FAILED  # another head knows nothing of it
        if status in ENDED:
            self._job = ""
        return status in ENDED

    def _complete(self) -> bool:
        """Whether each trial has ended as it should and nothing is RUNNING, as MLflow says."""
        runs, others = read_runs(self._cluster.database, points=False)
        status = {run.key: run.status for run in runs}
        ended = all(status.get(key) == (FAILED if trial.reason else FINISHED) for key, trial in self._study.expected.items())
        return ended and not any(run.status == "RUNNING" for run in (*runs, *others))

    def _share(self) -> float:
        """Of all epochs, those that are done."""
        lines = _journal(self._base / "journal")
        done = Counter(key for key, _ in {(line.key, line.epoch) for line in lines if line.what == "epoch"})
        epochs = self._study.epochs
        done.update({line.key: epochs.get(line.key, 0) for line in lines if line.what == "stage"})  # whoever trained it
        return sum(min(done[key], count) for key, count in epochs.items()) / sum(epochs.values())

    def _tell(self, what: str) -> None:
        print(f"  {time.monotonic() - self._start:5.0f} s {self._share():4.0%}  {what}", flush=True)


def read_runs(tracking_uri: str, points: bool = True) -> tuple[list[Run], list[Run]]:
    """The runs of trials, and the others."""
    client = MlflowClient(tracking_uri)
    runs: list[Run] = []
    others: list[Run] = []
    for experiment in client.search_experiments(view_type=ViewType.ACTIVE_ONLY):
        for run in client.search_runs([experiment.experiment_id], max_results=1000):
            key = run.data.tags.get(schema.TAG_TRIAL_KEY, "")
            curves = {name: list(_points(client, run.info.run_id, name)) for name in run.data.metrics if points}
            reason = run.data.tags.get(schema.TAG_REASON, "")
            found = Run(key, run.info.run_name or run.info.run_id, run.info.status, reason, curves)
            (runs if key else others).append(found)
    return runs, others


def _points(client: MlflowClient, run_id: str, name: str) -> Iterator[tuple[int, float]]:
    history = client.get_metric_history(run_id, name)
    for point in sorted(history, key=lambda point: (point.timestamp, point.step)):
        yield point.step, point.value


def _journal(path: Path) -> list[Line]:
    if not path.exists():
        return []
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [Line(row["what"], row["key"], row["epoch"]) for row in rows]


def table(results: Mapping[str, ChaosResult], expected: Mapping[str, Expected]) -> str:
    """A column for each run, as Markdown."""
    faults = sorted({name for result in results.values() for name in result.injected})
    rows: list[tuple[str, list[object]]] = [
        *((f"fault: {name}", [Counter(result.injected)[name] for result in results.values()]) for name in faults),
        ("submitted", [result.submissions for result in results.values()]),
        ("trials expected", [len(expected)] * len(results)),
        ("finished", [_count(result, expected, FINISHED) for result in results.values()]),
        ("failed as they should", [_count(result, expected, FAILED) for result in results.values()]),
        *((name, [len(result.found[name]) for result in results.values()]) for name in next(iter(results.values())).found),
        ("seconds", [f"{result.seconds:.0f}" for result in results.values()]),
    ]
    lines = [f"| | {' | '.join(results)} |", "|---" * (len(results) + 1) + "|"]
    return "\n".join([*lines, *(f"| {name} | {' | '.join(map(str, values))} |" for name, values in rows)])


def _count(result: ChaosResult, expected: Mapping[str, Expected], status: str) -> int:
    keys = {key for key, trial in expected.items() if bool(trial.reason) == (status == FAILED)}
    return len({run.key for run in result.runs if run.status == status} & keys)
