"""A cluster of two nodes, one of which cannot run the study: it sees other data, a storage it cannot write, no MLflow, no GPU.

The second node is in a mount namespace of its own, so that the same paths hold other things there.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell
from tests.support.ports import free_ports

RAY = Path(sys.executable).with_name("ray")


def environment(**more: str) -> dict[str, str]:
    return as_in_a_new_shell() | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": str(ROOT), **more}


@contextlib.contextmanager
def node(*command: str, cwd: Path) -> Iterator[None]:
    process = subprocess.Popen(command, cwd=cwd, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        process.wait()


@pytest.fixture
def places(tmp_path: Path, tiny_data: Path) -> dict[str, Path]:
    for name in ("data", "other_data", "storage", "mlflow", "nothing"):
        (tmp_path / name).mkdir()
    shutil.copytree(tiny_data, tmp_path / "data", dirs_exist_ok=True)
    shutil.copytree(tiny_data, tmp_path / "other_data", dirs_exist_ok=True)
    one = next((tmp_path / "other_data").rglob("*.avi"))
    one.write_bytes(one.read_bytes() + b"0")
    return {path.name: path for path in tmp_path.iterdir()}


def study(places: dict[str, Path], address: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, str(ROOT / "study" / "run.py"), "--space", "demo", "--profile", "small",
        "--data-root", str(places["data"]), "--storage", str(places["storage"]),
        "--tracking-uri", f"sqlite:///{places['mlflow']}/mlflow.db", *arguments,
    ]  # fmt: skip
    return subprocess.run(
        command, check=False, env=environment(RAY_ADDRESS=address), capture_output=True, text=True, timeout=600
    )


@pytest.mark.timeout(1200)  # more than a busy machine takes
def test_a_node_that_cannot_run_the_study_is_named_with_each_reason(places: dict[str, Path], tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("mount namespaces are not allowed here")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    port = address.partition(":")[2]
    start = [str(RAY), "start", "--block", "--num-cpus=1", "--num-gpus=1", "--object-store-memory=100000000"]
    head = [*start, "--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1"]
    mounts = (
        f"mount --bind {places['other_data']} {places['data']} && mount --bind {places['nothing']} {places['mlflow']}"
        f" && mount --bind {places['storage']} {places['storage']} && mount -o remount,bind,ro {places['storage']}"
    )
    worker = f"{mounts} && exec {' '.join(start)} --address={address}"
    with node(*head, cwd=tmp_path), node("unshare", "-m", "sh", "-c", worker, cwd=tmp_path):
        wait_for_nodes(address, 2)
        found = study(places, address, "--gpus-per-trial", "1", "--cpus-per-trial", "1")
        assert found.returncode == 2, found.stdout + found.stderr
        assert "preflight: 2 of 2 nodes cannot run this study" in found.stderr
        lines = found.stderr.splitlines()
        for problem in ("has fingerprint", "cannot be written (OSError: [Errno 30] Read-only file system", "MLflow sqlite:///"):
            assert len([line for line in lines if problem in line]) == 1, (problem, found.stderr)
        assert len([line for line in lines if "PyTorch sees none here" in line]) == 2
        assert not list((places["storage"]).glob(".preflight*")), "it leaves nothing behind"


def wait_for_nodes(address: str, count: int) -> None:
    """Asks the head itself: another driver would start workers of its own."""
    from ray._private.state import GlobalState
    from ray._raylet import GcsClientOptions

    while True:
        with contextlib.suppress(Exception), socket.create_connection(tuple(address.split(":")), timeout=10):
            state = GlobalState()
            state._initialize_global_state(
                GcsClientOptions.create(address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False)
            )
            if sum(node["Alive"] for node in state.node_table()) == count:
                return
        time.sleep(0.3)
