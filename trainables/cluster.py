"""Joins a Ray cluster, or starts a Ray on this machine, for the packages above. Ray is imported inside functions."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trainables.config import ConfigError
from trainables.one_line import reason

ROOT = Path(__file__).resolve().parents[1]
ADDRESS_VARIABLE, JOB_VARIABLE = "RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets both for a submitted job
ADDRESS_HELP = "give HOST:6379, or auto for a Ray on this machine, or no address, which starts one for this command alone"
START_SECONDS, START_TRIES = 120.0, 3  # for a Ray of this machine to come up
_ANSWER_SECONDS = 5.0

# Ray reads these when it is imported or at a call; a value that the user has set wins.
DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # `ray job submit --runtime-env-json` may name a PYTHONPATH, which `runtime_env` has
    "RAY_worker_niceness": "0",  # by default every other process of the machine goes first
}


def set_defaults(joins: bool) -> None:
    """Sets DEFAULTS. A Ray of this machine alone does without a token, which would be written to the home directory."""
    for name, value in (DEFAULTS | ({} if joins else {"RAY_AUTH_MODE": "disabled"})).items():
        os.environ.setdefault(name, value)


def names_cluster(address: str | None) -> bool:
    """Whether an address names a Ray that runs already; `local` asks for one of the command's own, as no address does."""
    return address not in (None, "", "local")


def require_answer(address: str, given: str) -> None:
    """Raises ConfigError if this is no address of a cluster, or nothing answers there within seconds.

    `given` is how the user gave it, such as `RAY_ADDRESS=head:6379`.
    """
    if address == "auto":
        return  # Ray itself says at once that there is none to be found
    if "://" in address:
        what = "the client's, which cannot be used" if address.startswith("ray:") else "the dashboard's, for `ray job submit`"
        raise ConfigError(f"{given}: that address is {what}; {ADDRESS_HELP}")
    if problem := _unreached(address):
        raise ConfigError(f"{given}: no Ray answers there ({problem}); {ADDRESS_HELP}")


def join_or_start(address: str | None, given: str = "") -> None:
    """Joins the Ray at an address, given as `given` says, or starts one on this machine, which `ray.shutdown` ends.

    Raises ConfigError, one line, where neither can be done.
    """
    import ray

    if address is not None:
        try:
            ray.init(address=address, runtime_env=runtime_env(), log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{given}: no Ray to join ({reason(error)}); {ADDRESS_HELP}") from None
        print(f"Ray: joins the one at {ray.get_runtime_context().gcs_address}", flush=True)
        return
    for left in reversed(range(START_TRIES)):
        started: list[subprocess.Popen[bytes]] = []
        try:
            with apart(started):
                ray.init(
                    address="local",
                    runtime_env=runtime_env(),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    _node_ip_address="127.0.0.1",
                )
            break
        except Exception as error:  # Ray has no class for it
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            ray.shutdown()
            if left:
                continue
            raise ConfigError(
                f"Ray does not start on this machine ({reason(error)}); if it is only busy, run the command again"
            ) from None
    another = f"; another one runs at {found}, which {ADDRESS_VARIABLE}=auto joins" if (found := running_here()) else ""
    print(f"Ray: one of its own on this machine{another}", flush=True)


@contextlib.contextmanager
def apart(started: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Each process of Ray that is started inside is in a process group of its own and added to `started`, and the node is
    waited for up to START_SECONDS, unless one of them fails.

    A signal to the group of the driver (`timeout`, a shell that ends its jobs) then reaches the driver alone, which lets its
    tasks end; Ray's processes would be gone first. Ray itself waits 30 s for its node, which a busy machine exceeds, and its
    processes give each other less, so that one may end.
    """
    from ray._private import services

    popen, get_node = services.ConsolePopen, services.get_node

    def popen_apart(*given: Any, **named: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*given, process_group=0, **named))
        return started[-1]

    def get_node_patiently(*given: Any) -> Any:
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                return get_node(*given)
            except RuntimeError as error:  # it is not there yet
                if any(process.poll() for process in started) or time.monotonic() > end:
                    raise OSError("the machine is too busy, or a process of Ray ended while it started") from error
                time.sleep(0.2)

    vars(services).update(ConsolePopen=popen_apart, get_node=get_node_patiently)
    try:
        yield
    finally:
        vars(services).update(ConsolePopen=popen, get_node=get_node)


def running_here() -> str:
    """The address of a Ray that was started on this machine with `ray start`, if it answers; or an empty string."""
    from ray._private.utils import read_ray_address

    address = read_ray_address() or ""
    return "" if not address or _unreached(address) else address


def has_uploaded_code() -> bool:
    """Whether this is a job submitted with `--working-dir`: a copy of the code came with it, and goes with it."""
    return "working_dir" in json.loads(os.environ.get(JOB_VARIABLE) or "{}").get("runtime_env", {})


def runtime_env() -> dict[str, Any]:
    """What workers get of this process: its checkout, and the user's own modules after it. Uploaded code is there already."""
    if has_uploaded_code():
        return {}
    own = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(dict.fromkeys([str(ROOT), *own]))}}


def _unreached(address: str) -> str:
    """Why nothing can be reached at HOST:PORT; empty if something answers."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        return str(error)
    return ""
