"""What a study knows of the Ray job it runs in, if it was submitted as one."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from study.environment import Environment
from trainables.config import ConfigError

RAY_ADDRESS_HELP = "give HOST:6379, or auto for a Ray on this machine, or unset it: the study then starts one of its own"
_ANSWER_SECONDS = 5.0


def joins_cluster() -> bool:
    """Whether a Ray runs already that the study is to use: RAY_ADDRESS says so, in every submitted job too."""
    return Environment().joins_cluster


def require_cluster() -> None:
    """Raises ConfigError if RAY_ADDRESS is no address of a cluster, or nothing answers there within seconds."""
    address = Environment().ray_address or ""
    if not joins_cluster() or address == "auto":
        return  # Ray itself says at once that there is none to be found
    if "://" in address:
        what = (
            "the client's, which cannot run a study" if address.startswith("ray:") else "the dashboard's, for `ray job submit`"
        )
        raise ConfigError(f"RAY_ADDRESS={address}: that address is {what}; {RAY_ADDRESS_HELP}")
    if problem := _unreached(address):
        raise ConfigError(f"RAY_ADDRESS={address}: no Ray answers there ({problem}); {RAY_ADDRESS_HELP}")


def running_here() -> str:
    """The address of a Ray that was started on this machine with `ray start`, if it answers; or an empty string."""
    from ray._private.utils import read_ray_address

    address = read_ray_address() or ""
    return "" if not address or _unreached(address) else address


def _unreached(address: str) -> str:
    """Why nothing can be reached at HOST:PORT; empty if something answers."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except (OSError, ValueError, OverflowError) as error:
        return str(error)
    return ""


def has_uploaded_code() -> bool:
    """Whether this is a job submitted with `--working-dir`: a copy of the code came with it, and goes with it."""
    return "working_dir" in Environment().ray_job.get("runtime_env", {})


def results_directory() -> Path:
    """The directory that relative places of results are relative to: the working directory, or, for a job with uploaded code,
    the one in which Ray was started. So a job finds what the one before has stored, however it was submitted.
    """
    return _started_in("raylet") if has_uploaded_code() else Path.cwd()


def _started_in(ancestor: str) -> Path:
    """The working directory of the process of that name among those that this one descends from."""
    pid = os.getpid()
    while pid > 1:
        process = Path("/proc", str(pid))
        name, _, rest = (process / "stat").read_text().partition("(")[2].rpartition(")")
        if name == ancestor:
            return (process / "cwd").resolve()
        pid = int(rest.split()[1])
    return Path.cwd()
