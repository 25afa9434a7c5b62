"""Anonymizes the videos of a folder on a Ray cluster, each in a task; what fails on one node is tried again on another.

FOLDER and OUT lie where every node sees them. The driver copies the model there, which shows too that a node sees them.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

from analysis import text
from analysis.deploy.folder import Done, Job, Work, anonymize_one
from analysis.deploy.frame_model import FrameModel
from analysis.deploy.load import is_torch_file, open_model, turned
from analysis.deploy.one_video import Say, WorkContext
from analysis.deploy.progress import line
from analysis.deploy.record import path_of
from analysis.deploy.video import VideoOptions
from analysis.deploy.whole import name_beside, new_token, unfinished
from analysis.read.store import AnalysisError
from trainables.cluster import ADDRESS_VARIABLE, has_uploaded_code, join_or_start, names_cluster, require_answer, set_defaults
from trainables.config import ConfigError
from trainables.one_line import reason
from trainables.onnx_frames import has_cuda
from trainables.plugins import Plugin, load_plugins, loaded_plugins
from trainables.signals import heeding, interrupt

MOST_TRIES = 3  # of a video
_MOST_ASKED = 1000  # tasks that Ray knows of at a time; an autoscaler brings nodes for those that wait
_END_SECONDS = 20.0  # for tasks to end when the command is stopped


@dataclass(frozen=True)
class ModelFile:
    """The model of a command: its file, and where and how it is to run."""

    file: Path
    device: str = "auto"
    dial: float | None = None


@dataclass(frozen=True)
class _Shared:
    """What all tasks have in common. `model.file` lies in the folder of the outputs."""

    model: ModelFile
    options: VideoOptions
    plugins: tuple[Plugin, ...]


@dataclass(frozen=True)
class _Report:
    """What a task returns. lines: to print."""

    done: Done
    lines: list[str]
    node: str
    host: str


@dataclass(frozen=True)
class _Try:
    """A task. number: the how many-th of its video. failed_on: nodes on which the video could not be anonymized."""

    job: Job
    number: int = 1
    failed_on: frozenset[str] = frozenset()
    token: str = field(default_factory=new_token)

    def forget(self) -> None:
        """Removes what a worker that was killed has left unfinished."""
        for path in (self.job.target, path_of(self.job.target)):
            with suppress(OSError):
                name_beside(path, self.token).unlink(missing_ok=True)


def on_ray(output: Path, model: ModelFile, options: VideoOptions, address: str, say: Say) -> Work:
    """The work on the Ray at `address`; where that is empty, at RAY_ADDRESS, or on one of this machine alone.

    It raises AnalysisError where there is no Ray to be had.
    """

    def work(jobs: Sequence[Job]) -> Generator[Done]:
        import ray

        try:
            _join(address)
            # again, as Ray has set handlers of its own
            with heeding(interrupt), _copied(output, model) as copy, line(say) as show:
                needs = _needs(model)
                where = [node["Resources"] for node in ray.nodes() if node["Alive"]]
                has = [f"{sum(node.get(name, 0) for node in where):g} {name}s" for name in ("CPU", "GPU")]
                takes = " and ".join(f"{count} {name}" for name, count in needs.items())
                say(f"Ray: {text.counted(len(where), 'node')}, {' and '.join(has)}; a video takes {takes}")
                device = model.device if "GPU" in needs else "cpu"
                given = _Shared(ModelFile(copy, device, model.dial), options, loaded_plugins())
                tasks, progress = _Tasks(needs, given, say), _Progress(len(jobs))
                try:
                    for done in tasks.run(jobs):
                        show(progress.after(done))
                        yield done
                finally:
                    tasks.stop()
        finally:
            ray.shutdown()

    return work


def _join(address: str) -> None:
    named = address or os.environ.get(ADDRESS_VARIABLE, "")
    given = f"--ray {address}" if address else f"{ADDRESS_VARIABLE}={named}"
    joins = names_cluster(named)
    set_defaults(joins)
    try:
        if joins:
            require_answer(named, given)
        join_or_start(named if joins else None, given)
    except ConfigError as error:
        raise AnalysisError(str(error)) from None


def places(source: str, output: Path) -> tuple[str, Path]:
    """The folders of a command, as other processes find them. Raises AnalysisError for what is none, and for a relative one in
    a job that runs in a copy of the code, which goes with the job.
    """
    folder = Path(source)
    if not folder.is_dir():
        raise AnalysisError(f"--ray: {source} is no folder; a single video is anonymized without it")
    for path in (folder, output):
        if has_uploaded_code() and not path.is_absolute():
            raise AnalysisError(
                f"{path}: this job runs in a copy of the code, which goes with it; give a whole path, from / on"
            )
    return str(folder.absolute()), output.absolute()


@contextmanager
def _copied(output: Path, model: ModelFile) -> Iterator[Path]:
    copy = name_beside(output / model.file.name)
    with ExitStack() as stack:
        try:
            stack.enter_context(unfinished(copy))
            shutil.copyfile(model.file, copy)
        except OSError as error:
            raise AnalysisError(f"{copy} cannot be written ({error.strerror})") from None
        yield copy


def _needs(model: ModelFile) -> dict[str, int]:
    """Ray's resources that a task takes: a GPU where there are some and what computes the model can use one."""
    import ray

    able = is_torch_file(model.file) or has_cuda()
    there = able and ray.cluster_resources().get("GPU", 0) >= 1
    return {"CPU": 1} | ({"GPU": 1} if model.device == "cuda" or (model.device == "auto" and there) else {})


class _Tasks:
    """Hands videos to Ray and hears how they end.

    Ray itself tries nothing again: a worker that is taken for dead may go on for a while, so each try has unfinished files of
    its own.
    """

    def __init__(self, needs: dict[str, int], shared: _Shared, say: Say) -> None:
        import ray

        remote: Any = ray.remote
        self._task = remote(num_cpus=needs["CPU"], num_gpus=needs.get("GPU", 0), max_retries=0)(_anonymize)
        self._needs = needs
        self._shared, self._say = ray.put(shared), say
        self._running: dict[str, tuple[_Try, Any]] = {}
        self._ended: SimpleQueue[tuple[_Try, Future[_Report]]] = SimpleQueue()

    def run(self, jobs: Sequence[Job]) -> Iterator[Done]:
        waiting = iter(jobs)
        for job in islice(waiting, _MOST_ASKED):
            self._begin(_Try(job))
        while self._running:
            one, future = self._ended.get()
            del self._running[one.token]
            if (done := self._done(one, future)) is not None:
                yield done
                for job in islice(waiting, 1):
                    self._begin(_Try(job))

    def stop(self) -> None:
        """Ends what still runs, as Ctrl-C does, so that nothing half written is left."""
        import ray

        for _, task in self._running.values():
            ray.cancel(task)
        end = time.monotonic() + _END_SECONDS
        while self._running and time.monotonic() < end:
            with suppress(Empty):
                one, _ = self._ended.get(timeout=end - time.monotonic())
                self._running.pop(one.token)[0].forget()
        for one, _ in self._running.values():
            one.forget()

    def _begin(self, one: _Try) -> None:
        task = self._task
        if one.failed_on and (others := self._others(one.failed_on)):
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            # soft: where that node goes away too, any will do
            task = task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(random.choice(others), soft=True))
        reference = task.remote(self._shared, one.job, one.token)
        self._running[one.token] = (one, reference)
        reference.future().add_done_callback(lambda future: self._ended.put((one, future)))

    def _done(self, one: _Try, future: Future[_Report]) -> Done | None:
        """What became of a video; None where it is tried again."""
        try:
            report = future.result()
        except Exception as error:  # Ray has many classes for a worker or a node that is gone
            one.forget()
            error_text = f"{one.job.source}: its worker ended ({reason(error, 160)})"
            if one.number < MOST_TRIES:
                self._say(f"{error_text}; it is tried again")
                self._begin(_Try(one.job, one.number + 1, one.failed_on))
                return None
            self._say(f"error: {error_text}")
            return Done(error_text)
        failed_on = one.failed_on | {report.node}
        if report.done.failed and one.number < MOST_TRIES and self._others(failed_on):
            self._say(f"{report.host}: {report.done.error}; it is tried again on another node")
            self._begin(_Try(one.job, one.number + 1, failed_on))
            return None
        for said in report.lines:
            self._say(said)
        return report.done

    def _others(self, nodes: frozenset[str]) -> list[str]:
        """The nodes besides these that can hold a task."""
        import ray

        able = (
            node["NodeID"]
            for node in ray.nodes()
            if node["Alive"] and all(node["Resources"].get(name, 0) >= count for name, count in self._needs.items())
        )
        return [node for node in able if node not in nodes]


def _anonymize(shared: _Shared, job: Job, token: str) -> _Report:
    """The task: anonymizes a video in a worker."""
    import ray

    lines: list[str] = []
    model = shared.model
    try:
        if not model.file.is_file():
            raise AnalysisError(
                f"{job.source}: {model.file.parent} is another folder on this node; give one that all nodes see"
            )
        load_plugins(shared.plugins)
        loaded = _model(model)
        done = anonymize_one(job, loaded, shared.options, lines.append, WorkContext(token, _tasks_here()))
    except (AnalysisError, ConfigError, OSError) as error:
        done = Done(str(error))
        lines.append(f"error: {error}")
    return _Report(done, lines, ray.get_runtime_context().get_node_id(), socket.gethostname())


@cache
def _model(model: ModelFile) -> FrameModel:
    """Loaded once a worker."""
    return turned(open_model(model.file, model.device, cores=1), model.dial, str(model.file))


@cache
def _tasks_here() -> int:
    """How many tasks this node holds at most."""
    import ray

    here = ray.get_runtime_context().get_node_id()
    has = next(node["Resources"] for node in ray.nodes() if node["NodeID"] == here)
    asked = ray.get_runtime_context().get_assigned_resources()
    return max(1, min(int(has.get(name, 0) / count) for name, count in asked.items() if name in ("CPU", "GPU")))


class _Progress:
    """Files, frames/s and the time left, in a line."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._ended, self._kept, self._frames = total, 0, 0, 0
        self._clock, self._start = clock, clock()

    def after(self, done: Done) -> str:
        """The line after one more video. Those that were there already take no time."""
        self._ended += 1
        self._kept += done.kept
        self._frames += done.frames
        took, worked = self._clock() - self._start, self._ended - self._kept
        rest = took / worked * (self._total - self._ended) if worked else 0.0
        left = f", about {text.duration(rest)} to go" if worked else ""
        return f"{self._ended:,} of {self._total:,} files, {self._frames / max(took, 1e-3):.1f} frames/s{left}"
