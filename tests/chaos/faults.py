"""What can happen to a study: each fault hits something that a seeded generator chooses, and may be repaired after a while."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from cluster import STORAGE_BYTES, Cluster, Node
from reference import a_video

from trainables.store.leases import LEASE_SECONDS

PAUSE_SECONDS = LEASE_SECONDS + 15.0


@dataclass
class Scene:
    """What a fault may touch. `stop_job` is what `ray job stop` does; `told(text)`: whether the user has read that, as a reason
    in MLflow or in the log of a job.

    `later` are the repairs, each with what says whether it is due; `artifacts` and `checkpoints` count what was destroyed, by
    the key of its stage.
    """

    cluster: Cluster
    data_root: Path
    choice: random.Random
    stop_job: Callable[[], None]
    told: Callable[[str], bool]
    later: list[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=list)
    artifacts: Counter[str] = field(default_factory=Counter)
    checkpoints: Counter[str] = field(default_factory=Counter)

    def after(self, seconds: float, repair: Callable[[], None]) -> None:
        when = time.monotonic() + seconds
        self.later.append((lambda: time.monotonic() >= when, repair))

    def repair(self, everything: bool = False) -> None:
        """What is due."""
        due = [(ready, repair) for ready, repair in self.later if everything or ready()]
        self.later = [pair for pair in self.later if pair not in due]
        for _, repair in due:
            repair()


def kill_trial(scene: Scene) -> str:
    return _signal_trial(scene, signal.SIGKILL)


def terminate_trial(scene: Scene) -> str:
    return _signal_trial(scene, signal.SIGTERM)


def kill_node(scene: Scene) -> str:
    return _lose_worker(scene, Node.kill, again=5)


def terminate_node(scene: Scene) -> str:
    """A spot machine that is taken back: SIGTERM to every process, and power off 20 s later."""

    def notice(node: Node) -> None:
        for process in node.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()

    return _lose_worker(scene, notice, off=20, again=25)


def cut_off_node(scene: Scene) -> str:
    """Without its network for a while: Ray gives it up, its processes go on and do not know."""
    return _lose_worker(scene, scene.cluster.cut_off, again=5, off=40)


def pause_trial(scene: Scene) -> str:
    """SIGSTOP for longer than a lease lasts: whoever waits for its stage takes over, and it wakes up beside them."""
    found = scene.cluster.trial_processes()
    if not found:
        return ""
    process = scene.choice.choice(found)
    _pause(scene, [process])
    return str(process.pid)


def pause_node(scene: Scene) -> str:
    """A virtual machine that is paused: Ray gives it up, its trials go on elsewhere, and then it wakes up."""
    return _lose_worker(scene, lambda node: _pause(scene, node.processes()), again=5, off=PAUSE_SECONDS + 20)


def kill_driver(scene: Scene) -> str:
    driver = scene.cluster.driver()
    if driver is None:
        return ""
    driver.kill()
    return str(driver.pid)


def signal_group(scene: Scene) -> str:
    """SIGTERM or SIGHUP to all of the driver's process group, as by `timeout`, systemd, Slurm or a terminal that is lost."""
    driver = scene.cluster.driver()
    if driver is None:
        return ""
    with contextlib.suppress(ProcessLookupError):  # it has ended, just now
        group = os.getpgid(driver.pid)
        if group == os.getpgrp():
            return ""
        number = scene.choice.choice((signal.SIGTERM, signal.SIGHUP))
        os.killpg(group, number)
        return f"{number.name} to {group}"
    return ""


def stop_job(scene: Scene) -> str:
    if scene.cluster.driver() is None:
        return ""
    with contextlib.suppress(RuntimeError, OSError):  # the head is just gone
        scene.stop_job()
        return "job"
    return ""


def kill_head(scene: Scene) -> str:
    if scene.cluster.head is None or scene.cluster.driver() is None:
        return ""
    workers = len(scene.cluster.workers)
    scene.cluster.lose_head()

    def again() -> None:
        scene.cluster.start_head()
        for _ in range(workers):
            scene.cluster.start_worker()

    scene.after(3, again)
    return "head"


def stop_mlflow(scene: Scene) -> str:
    if scene.cluster.mlflow is None:
        return ""
    scene.cluster.stop_mlflow(scene.choice.choice((signal.SIGTERM, signal.SIGKILL)))
    seconds = scene.choice.uniform(10, 30)
    scene.after(seconds, scene.cluster.start_mlflow)
    return f"{seconds:.0f} s"


def fill_storage(scene: Scene) -> str:
    scene.cluster.resize_storage()
    scene.after(15, lambda: scene.cluster.resize_storage(STORAGE_BYTES))
    return "15 s"


def truncate_artifact(scene: Scene) -> str:
    stored = sorted(scene.cluster.storage.glob("stages/*/*/state.pt"))
    stored = [path for path in stored if "." not in path.parent.name]
    if not stored:
        return ""
    path = scene.choice.choice(stored)
    scene.artifacts[path.parent.name] += 1
    os.truncate(path, path.stat().st_size // 2)
    return f"{path.parent.parent.name} {path.parent.name}"


def truncate_checkpoint(scene: Scene) -> str:
    """The last checkpoint of a stage whose worker has just died: otherwise nobody would read it."""
    for process in scene.cluster.trial_processes():
        for lease in scene.cluster.storage.glob("stages/*/*.lease.*"):
            key = lease.name.partition(".")[0]
            saved = sorted(lease.parent.glob(f"{key}.work/checkpoint.*.pt"), key=lambda path: int(path.name.split(".")[1]))
            try:
                holder = lease.read_text().split()[1:2]  # one that is being written is empty
            except FileNotFoundError:  # given back, just now
                continue
            if holder != [str(process.pid)] or len(saved) < 2:
                continue
            process.kill()
            process.wait()
            with contextlib.suppress(FileNotFoundError):  # it was ready, just now
                saved = sorted(lease.parent.glob(f"{key}.work/checkpoint.*.pt"), key=lambda path: int(path.name.split(".")[1]))
                os.truncate(saved[-1], saved[-1].stat().st_size // 2)
                scene.checkpoints[key] += 1
                return f"{lease.parent.name} {key}"
    return ""


def empty_video(scene: Scene) -> str:
    """In the data of one trial; put back when a message has named it, as it asks."""
    path = a_video(scene.data_root / "spare")
    content = path.read_bytes()
    if not content:
        return ""
    path.write_bytes(b"")
    named = str(path)
    scene.later.append((lambda: scene.told(named), lambda: path.write_bytes(content) and None))
    return path.name


def _pause(scene: Scene, processes: Sequence[psutil.Process]) -> None:
    """An epoch that each was in, or had not saved, may be computed again by its successor."""
    paused = {process.pid for process in processes}
    for lease in scene.cluster.storage.glob("stages/*/*.lease.*"):
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):  # one that is being written is empty
            if int(lease.read_text().split()[1]) in paused:
                scene.checkpoints[lease.name.partition(".")[0]] += 1
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()

    def wake() -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()

    scene.after(PAUSE_SECONDS, wake)


Fault = Callable[[Scene], str]  # what it has hit; empty if there was nothing to hit yet
EVERYWHERE: tuple[Fault, ...] = (
    *(
        kill_trial,
        terminate_trial,
        kill_node,
        terminate_node,
        pause_trial,
        pause_node,
        kill_driver,
        signal_group,
        stop_job,
        kill_head,
        stop_mlflow,
    ),
    *(truncate_artifact, truncate_checkpoint, empty_video),
)
ISOLATED: tuple[Fault, ...] = (fill_storage, cut_off_node)  # they need a network and a file system of their own


def _signal_trial(scene: Scene, number: signal.Signals) -> str:
    found = scene.cluster.trial_processes()
    if not found:
        return ""
    process = scene.choice.choice(found)
    process.send_signal(number)
    return str(process.pid)


def _lose_worker(scene: Scene, how: Callable[[Node], None], again: float, off: float | None = None) -> str:
    """One that computes, while there is another one; a new one comes `again` seconds later. It is powered `off` at last."""
    busy = {process.pid for process in scene.cluster.trial_processes()}
    found = [node for node in scene.cluster.workers if busy & {process.pid for process in node.processes()}]
    if not found or len(scene.cluster.workers) < 2:
        return ""
    node = scene.choice.choice(found)
    scene.cluster.workers.remove(node)
    how(node)
    if off is not None:
        scene.after(off, node.kill)
    scene.after(again, scene.cluster.start_worker)
    return node.name
