"""What a study knows of the Ray job it runs in, if it was submitted as one."""

from __future__ import annotations

import os
from pathlib import Path

from study.environment import Environment
from trainables.cluster import ADDRESS_VARIABLE, has_uploaded_code, require_answer


def joins_cluster() -> bool:
    """Whether a Ray runs already that the study is to use: RAY_ADDRESS says so, in every submitted job too."""
    return Environment().joins_cluster


def require_cluster() -> None:
    """Raises ConfigError if RAY_ADDRESS is no address of a cluster, or nothing answers there within seconds."""
    if joins_cluster():
        require_answer(Environment().ray_address or "", as_given())


def as_given() -> str:
    """How the user has named the cluster, for messages."""
    return f"{ADDRESS_VARIABLE}={Environment().ray_address}"


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
