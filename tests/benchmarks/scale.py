"""What a study of 1,000 trials on 256 GPUs costs the driver, when every trial only sleeps. The GPUs are fake.

    python tests/benchmarks/scale.py --folder DIR [--trials 1000] [--gpus 256] [--gpus-per-trial 2] [--seconds 20]
        [--curve 16,64]

The trials go through `study.backend.ray_tune.RayBackend`, as those of a study do, with a
queue of as many stages (four trials share an anonymizer); a worker stores what it would have computed, sleeps, and reports as
often as a trial with ten epochs. All workers
are on this machine, so they are made light (pandas and ray.data, which no trial uses, are left out), and their number is what
its memory limits: give --gpus-per-trial 1 where 256 of them find room. Some rounds of trials on fewer GPUs follow.
Then a run of every trial is put into a real MLflow database, and the status and the start of the same study, all of it done,
are timed. Prints a table and, with --out, the same as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import re
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from study.backend.base import TrialBatch  # noqa: E402
from study.backend.ray_tune import RayBackend, ray  # noqa: E402
from study.schedule.order import Queue, Step  # noqa: E402
from study.schedule.resources import Share  # noqa: E402
from trainables import schema  # noqa: E402
from trainables.config import Runtime, TrialConfig, flatten  # noqa: E402
from trainables.store.files import Files  # noqa: E402
from trainables.trial import DONE, RUNNING, Report, TrialJob, TrialState  # noqa: E402

EPOCHS_EACH, JUDGES = 10, 4
ROUNDS = 5  # of trials on fewer GPUs
AT_BEST = ", at best, if starting a trial took no time"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for storage, database and Ray; begun anew")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--gpus", type=int, default=256)
    parser.add_argument("--gpus-per-trial", type=float, default=2.0)
    numbers = lambda text: [int(number) for number in text.split(",")]  # noqa: E731
    parser.add_argument("--curve", type=numbers, default=[16, 64], metavar="GPUS,...", help="trials an hour on fewer GPUs too")
    parser.add_argument("--seconds", type=float, default=20.0, help="a trial sleeps")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    for left in ("storage", "light", "records", *map(str, options.curve)):  # of a run that was interrupted
        shutil.rmtree(folder / left, ignore_errors=True)
    rows = dict(_schedule(folder, options.trials, options.gpus, options.gpus_per_trial, options.seconds))
    for gpus in options.curve:
        trials = ROUNDS * int(gpus / options.gpus_per_trial)
        part = dict(_schedule(folder / f"{gpus}", trials, gpus, options.gpus_per_trial, options.seconds))
        rows |= {f"trials an hour on {gpus} GPUs{of}": part[f"trials an hour{of}"] for of in ("", AT_BEST)}
    rows |= dict(_records(folder, options.trials))
    for name, value in rows.items():
        print(f"{name:64} {value:12,.3g}" if isinstance(value, float) else f"{name:64} {value:12,}")
    if options.out is not None:
        options.out.write_text(json.dumps(rows, indent=1))


def _steps(number: int) -> tuple[Step, ...]:
    """As those of a trial: a start that a seed shares, an anonymizer that its judges share, and a judge of its own."""
    seed, anonymizer = number % 3, number // JUDGES
    return (
        Step("reconstruct", f"r{seed}", ()),
        Step("minimax", f"a{anonymizer}", (f"r{seed}",)),
        Step("evaluate_action", f"j{number}", (f"a{anonymizer}",)),
    )


@dataclass(frozen=True)
class NoRecorder:
    """A `trainables.trial.Recorder` for jobs that record nothing: a worker imports no MLflow."""

    leases: str = "trials/none"

    def label(self, proposed: Mapping[str, Any]) -> str:
        return ""

    def open(self, job: TrialJob, lease: Any) -> Any:
        raise NotImplementedError


def sleep(job: TrialJob, proposed: Mapping[str, Any], report: Report) -> None:
    """In place of `trainables.trial.run_job`."""
    files = Files(job.runtime.storage)
    for step in _steps(int(job.key)):
        files.replace(f"stages/{step.stage}/{step.key}/record.json", b"{}")
    for epoch in range(EPOCHS_EACH):
        time.sleep(float(job.tags["seconds"]) / EPOCHS_EACH)
        report(TrialState(RUNNING, "minimax", epoch, EPOCHS_EACH, epoch / EPOCHS_EACH))
    report(TrialState(DONE, progress=1.0))


# Run by every Python that has it on its path, before anything else.
LIGHT = """
    import sys, types

    class Anything:
        def __init__(self, *given, **named): ...

    def attribute(name):
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything

    for name in ("pandas", "ray.data"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__, sys.modules[name].__getattr__ = [], attribute
"""


def _schedule(folder: Path, trials: int, gpus: int, each: float, seconds: float) -> Iterator[tuple[str, float]]:
    storage = folder / "storage"
    (storage / "stages").mkdir(parents=True)
    (folder / "light").mkdir()
    (folder / "light" / "sitecustomize.py").write_text(textwrap.dedent(LIGHT))
    # a sleeping worker needs no core: more than there are, so that only the GPUs limit
    start = time.monotonic()
    ray.init(
        address="local",
        num_cpus=gpus,
        num_gpus=gpus,
        object_store_memory=500_000_000,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        runtime_env={"env_vars": {"PYTHONPATH": f"{folder / 'light'}:{ROOT}:{Path(__file__).parent}"}},
    )
    yield "Ray started, s", time.monotonic() - start
    jobs = [
        TrialJob(
            name=f"trial {number}",
            key=str(number),
            config=TrialConfig(seed=number),  # of its own, as a real one's
            runtime=Runtime(data_root="", storage=str(storage)),
            recorder=NoRecorder(),
            tags={"seconds": str(seconds)},
        )
        for number in range(trials)
    ]
    queue = Queue(
        [_steps(number) for number in range(trials)],
        (),
        lambda stage, key: (storage / "stages" / stage / key / "record.json").is_file(),
        [""] * trials,
    )
    driver, seen = psutil.Process(), _Watch()
    before, cpu, start = driver.memory_info().rss, sum(driver.cpu_times()[:2]), time.monotonic()
    with seen:
        batch = TrialBatch("scale", jobs, [Share(1.0, each)] * trials, queue, storage)
        end = RayBackend(sleep).run(batch, lambda usage: None)
    took = time.monotonic() - start
    if end.done != trials:
        raise SystemExit(f"only {end}")
    cpu = sum(driver.cpu_times()[:2]) - cpu
    state = [path for path in (storage / "ray").rglob("*") if path.is_file()]
    ray.shutdown()
    yield from {
        "trials": trials,
        "GPUs (fake)": gpus,
        "GPUs a trial": each,
        "a trial sleeps, s": seconds,
        "all trials done after, s": took,
        "trials an hour": 3600 * trials / took,
        "trials an hour" + AT_BEST: 3600 / seconds * int(gpus / each),
        "workers at once, at most": seen.workers,
        "driver: CPU ms a trial (start, ten reports, end)": 1000 * cpu / trials,
        "driver: memory before, MB": before / 1e6,
        "driver: memory at most, MB": seen.driver / 1e6,
        "a worker: memory of its own, MB": seen.worker / 1e6,
        "machine: memory in use at most, GB": seen.machine / 1e9,
        "state of the study on disk, MB": sum(path.stat().st_size for path in state) / 1e6,
        "state of the study on disk, files": len(state),
    }.items()


class _Watch:
    """The most memory that the driver, a worker and the machine had, looked at once in two seconds."""

    def __init__(self) -> None:
        self.driver = self.machine = self.workers = 0
        self.worker = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        me = psutil.Process()
        while not self._done.wait(2.0):
            self.driver = max(self.driver, me.memory_info().rss)
            self.machine = max(self.machine, psutil.virtual_memory().used)
            workers = [child for child in me.children(recursive=True) if _is_worker(child)]
            self.workers = max(self.workers, len(workers))
            if workers:
                self.worker = max(self.worker, _own_memory(workers[-1]))


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return "ray::" in " ".join(process.cmdline())
    return False


def _own_memory(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return float(process.memory_full_info().uss)
    return 0.0


def _records(folder: Path, trials: int) -> Iterator[tuple[str, float]]:
    """A real MLflow database with a run for every trial of the space `demo` with enough seeds, written as its workers would;
    then how long the status takes, and how long the study needs to see that nothing is left to do.
    """
    # here: workers, who import this module, need none of it
    from study.options import read_options
    from study.records.outbox import EpochMetrics, RunContent, now
    from study.records.recording import Sender
    from study.study import Study

    storage, seeds = folder / "records", -(-trials // 5)
    options = ["--space", "demo", "--profile", "generated", "--seeds", f"{seeds}", "--set", "attacks.names=[]"]
    study = Study(read_options([*options, "--storage", str(storage)]))
    plan, plans, tracker = study.plan, study.trial_plans, study.tracker
    start = time.monotonic()
    for trial, staged in zip(plan.trials, plans, strict=True):
        tags = {
            **tracker.tags,
            schema.TAG_SPACE: "demo",
            schema.TAG_PROFILE: "generated",
            schema.TAG_METHOD: trial.config.method,
            schema.TAG_SETTING: trial.setting,
            schema.TAG_SEED: str(trial.config.seed),
        }
        params = {name: str(value)[:500] for name, value in flatten(trial.config).items()}
        curves = {s.role: {epoch: EpochMetrics(now(), {"loss": 0.5}) for epoch in range(EPOCHS_EACH)} for s in staged.stages}
        final = dict.fromkeys(("top1", "top5", "cmap", "macro_f1", "leakage", "rms_distortion", "seconds"), 0.5)
        final |= {"chance_top1": 0.2, "chance_cmap": 0.4, "pipeline_seconds": 1.0}
        content = RunContent(staged.key, trial.name, tags, params, curves, {}, final, "FINISHED", now())
        Sender(tracker.tracking_uri, tracker.experiment_id).send(content)
    yield "MLflow (SQLite): ms to write all of a trial", 1000 * (time.monotonic() - start) / len(plans)
    yield "MLflow (SQLite): database, MB", (storage / "mlflow.db").stat().st_size / 1e6
    tracker.plan([{"key": s.key, "name": t.name} for t, s in zip(plan.trials, plans, strict=True)])
    run = [sys.executable, str(ROOT / "study" / "run.py"), *options, "--storage", str(storage)]
    yield "--status, s", _seconds([*run, "--status"], "to go|trials:")[-1]
    again = _seconds(run, " 0 to run")
    yield "the same command again: all found done after, s", again[0]
    yield "the same command again: its report written after, s", again[-1]


def _seconds(command: list[str], pattern: str) -> list[float]:
    """Seconds until the output matches `pattern`, and until the end."""
    start, times = time.monotonic(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        output = []
        for line in process.stdout:
            output.append(line)
            if re.search(pattern, line):
                times.append(time.monotonic() - start)
    if process.returncode != 0 or not times:
        raise SystemExit("".join(output))
    return [times[0], time.monotonic() - start]


if __name__ == "__main__":
    # workers find `sleep` by this module's name
    import scale

    scale.main()
