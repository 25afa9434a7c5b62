"""A cluster on one machine: real Ray nodes and a real MLflow server, each a process of its own that can be killed.

Isolated (see `__main__`), every node has a network and a host name of its own on a bridge, and the storage is a file system
of a limited size. Elsewhere all nodes share the machine's loopback and the storage is a folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support.environment import as_in_a_new_shell
from tests.support.ports import answers, free_ports

ROOT = Path(__file__).resolve().parents[2]
NODE = "CHAOS_NODE"  # the variable by which a process knows the name of its node
NETWORK, BRIDGE = "10.77.0", "chaos0"
STORAGE_BYTES = 4 * 2**30  # hardly any of it is used; the preflight asks for some room
RAY = {
    "RAY_AUTH_MODE": "disabled",  # nothing here is reachable from elsewhere
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": "20",  # nodes of a lost head give up (default: a minute)
    "RAY_JOB_STOP_WAIT_TIME_S": "30",
}


@dataclass
class Node:
    """A Ray node, alive as long as its process and those below it."""

    name: str
    ip: str
    process: subprocess.Popen[bytes]

    def processes(self) -> list[psutil.Process]:
        """All that run, but `ray start` itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    def kill(self) -> None:
        """As when a machine loses power."""
        doomed = self.processes()
        self.process.kill()
        for process in doomed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        psutil.wait_procs(doomed, timeout=10)


class Cluster:
    """A head without CPUs for trials, worker nodes with one each, an MLflow server. To be used with `with`."""

    def __init__(self, base: Path, workers: int, isolated: bool, environment: dict[str, str]) -> None:
        self._base, self._workers, self.isolated = base, workers, isolated
        self.storage, self._database = base / "storage", base / "mlflow.db"
        self.storage.mkdir()
        self._count = 0
        here = f"{NETWORK}.1" if isolated else "127.0.0.1"
        self._gcs, self._dashboard, port = (6379, 8265, 5000) if isolated else free_ports(3)
        self.tracking_uri = f"http://{here}:{port}"
        self._mlflow_command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", here, "--port", str(port), "--workers", "1"),
            *("--allowed-hosts", f"{here}:{port},localhost:{port}", "--backend-store-uri", f"sqlite:///{self._database}"),
            *("--artifacts-destination", str(self.storage / "mlflow-artifacts")),
        ]
        python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {
            **(as_in_a_new_shell() | RAY),
            **{"PATH": python, "OMP_NUM_THREADS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            **{"ANONYMIZATION_STORAGE": str(self.storage), "MLFLOW_TRACKING_URI": self.tracking_uri, **environment},
        }
        self.head: Node | None = None
        self.workers: list[Node] = []
        self.mlflow: subprocess.Popen[bytes] | None = None
        self._gone: list[Node] = []

    def __enter__(self) -> Cluster:
        if self.isolated:
            _run("mount", "-t", "tmpfs", "-o", f"size={STORAGE_BYTES}", "chaos", str(self.storage))
            _run("ip", "link", "add", BRIDGE, "type", "bridge")
            _run("ip", "addr", "add", f"{NETWORK}.1/24", "dev", BRIDGE)
            _run("ip", "link", "set", BRIDGE, "up")
        try:
            self.start_mlflow()
            self.start_head()
            for _ in range(self._workers):
                self.start_worker()
            if self.mlflow is not None:
                _wait_for("MLflow", lambda: answers(f"{self.tracking_uri}/health"))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for node in [*self.workers, self.head, *self._gone]:
            if node is not None:
                node.kill()
        self.stop_mlflow(signal.SIGKILL)
        if self.isolated:
            _run("ip", "link", "delete", BRIDGE)
            _run("umount", "--lazy", str(self.storage))

    @property
    def database(self) -> str:
        """MLflow's database, to be read without the server."""
        return f"sqlite:///{self._database}"

    @property
    def dashboard(self) -> str:
        assert self.head is not None
        return f"http://{self.head.ip}:{self._dashboard}"

    def start_mlflow(self) -> None:
        with (self._base / "mlflow.log").open("ab") as log:
            self.mlflow = subprocess.Popen(self._mlflow_command, stdout=log, stderr=log, env=self._environment, cwd=self._base)

    def stop_mlflow(self, number: signal.Signals) -> None:
        if self.mlflow is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(self.mlflow.pid).children(recursive=True)
            self.mlflow.send_signal(number)
            for process in below:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        self.mlflow.wait()
        self.mlflow = None

    def start_head(self) -> None:
        """Waits until it takes jobs."""
        options = ["--head", f"--port={self._gcs}", "--num-cpus=0", f"--dashboard-port={self._dashboard}"]
        head = self.head = self._start("head", f"{NETWORK}.2", options)
        _wait_for("the head", lambda: head.process.poll() is not None or answers(f"{self.dashboard}/api/version"))

    def mend(self) -> None:
        """Starts again what has ended by itself: parts of Ray give themselves 30 s to start, a busy machine takes longer."""
        if self.head is None:
            return
        if self.head.process.poll() is not None:
            workers = len(self.workers)
            self.lose_head()
            self.start_head()
            for _ in range(workers):
                self.start_worker()
        for node in [node for node in self.workers if node.process.poll() is not None]:
            self.workers.remove(node)
            self._gone.append(node)
            self.start_worker()

    def lose_head(self) -> None:
        """Kills the head and leaves its workers to themselves: they give up in their own time, maybe after new ones came."""
        assert self.head is not None
        self.head.kill()
        self.head = None
        self._gone += self.workers
        self.workers = []

    def start_worker(self) -> None:
        assert self.head is not None
        self._count += 1
        address = f"--address={self.head.ip}:{self._gcs}"
        self.workers.append(self._start(f"node{self._count}", f"{NETWORK}.{10 + self._count}", [address, "--num-cpus=1"]))

    def trial_processes(self) -> list[psutil.Process]:
        """The processes on worker nodes that hold a stage, as its leases say."""
        holders = set()
        for lease in self.storage.glob("stages/*/*.lease.*"):
            with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
                holders.add(int(lease.read_text().split()[1]))
        return [process for node in self.workers for process in node.processes() if process.pid in holders]

    def driver(self) -> psutil.Process | None:
        for process in self.head.processes() if self.head is not None else ():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                command = process.cmdline()
                if self.is_driver(command):
                    return process
        return None

    @staticmethod
    def is_driver(command: list[str]) -> bool:
        """Whether a process of the head with this command line is the one that the user's job runs."""
        return len(command) > 1 and command[1].endswith("study/run.py")

    def lost_ones_live(self) -> bool:
        """Whether nodes that are none of the cluster any more still run."""
        return any(node.process.poll() is None for node in self._gone)

    def resize_storage(self, size: int | None = None) -> None:
        """To so many bytes, isolated only. None: to what is in it, so that it is full."""
        for attempts_left in reversed(range(20)):
            status = os.statvfs(self.storage)
            used = (status.f_blocks - status.f_bfree) * status.f_frsize
            try:
                return _run("mount", "-o", f"remount,size={used if size is None else size}", str(self.storage))
            except RuntimeError:  # more has been written meanwhile: it cannot be smaller than what it holds
                if not attempts_left:
                    raise

    def cut_off(self, node: Node) -> None:
        """Takes its network away, isolated only."""
        _run("ip", "link", "set", node.name, "down")

    def _start(self, name: str, ip: str, options: list[str]) -> Node:
        temporary = self._base / name  # short: the paths of sockets may have 107 characters
        shutil.rmtree(temporary, ignore_errors=True)
        prefix: list[str] = []
        if self.isolated:
            for what in ("link", "netns"):  # of a head that was lost
                subprocess.run(["ip", what, "delete", name], check=False, capture_output=True)
            _run("ip", "netns", "add", name)
            _run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            _run("ip", "link", "set", name, "master", BRIDGE, "up")
            _run("ip", "-n", name, "addr", "add", f"{ip}/24", "dev", "eth0")
            for device in ("eth0", "lo"):
                _run("ip", "-n", name, "link", "set", device, "up")
            named = ["unshare", "--uts", "sh", "-c", 'hostname "$0"; exec "$@"', name]
            prefix = ["ip", "netns", "exec", name, *named]
        else:
            ip = "127.0.0.1"
            options = [*options, f"--dashboard-agent-listen-port={free_ports(1)[0]}"]  # by default one for all of the machine
        command = [
            *(*prefix, str(Path(sys.executable).parent / "ray"), "start", "--block", f"--node-ip-address={ip}"),
            *(f"--temp-dir={temporary}", "--object-store-memory=80000000", f"--dashboard-host={ip}", *options),
        ]
        with (self._base / f"{name}.log").open("ab") as log:
            environment = self._environment | {NODE: name}
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=ROOT)
        return Node(name, ip, process)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


def _wait_for(what: str, ready: Callable[[], bool], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come up in {seconds:g} s")
        time.sleep(0.3)
