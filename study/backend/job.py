"""What a study knows of the Ray job it runs in, if it was submitted as one."""

from __future__ import annotations

import os
from pathlib import Path

from study.environment import Environment


def joins_cluster() -> bool:
    """Whether a Ray runs already that the study is to use: Ray says so to every submitted job."""
    return Environment().ray_address is not None


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
