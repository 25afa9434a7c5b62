"""A PostgreSQL server of a test's own, from the programs that Debian installs."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.ports import free_ports


@dataclass(frozen=True)
class PostgreSQL:
    """`socket_folder` is where local clients reach it; `port` is its port there, and on 127.0.0.1."""

    programs: Path
    socket_folder: Path
    port: int


@contextlib.contextmanager
def postgresql_server(superuser: str, access: str = "") -> Iterator[PostgreSQL]:
    """Skips the test where there is no PostgreSQL. `access` takes the place of pg_hba.conf; without it everybody is trusted."""
    programs = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"))), None)
    try:
        import psycopg  # noqa: F401
    except ImportError:
        pytest.skip("psycopg is not installed")
    if programs is None:
        pytest.skip("no PostgreSQL on this machine (apt-get install postgresql)")
    owner: int | None = None
    if os.getuid() == 0:  # it refuses to run as root
        try:
            owner = pwd.getpwnam("postgres").pw_uid
        except KeyError:
            pytest.skip("no user postgres to run PostgreSQL as")
    folder = Path(tempfile.mkdtemp(prefix="postgresql"))
    folder.chmod(0o755)  # for the socket
    [port] = free_ports(1)

    def run(*command: str) -> None:
        subprocess.run(command, check=True, user=owner, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    try:
        if owner is not None:
            os.chown(folder, owner, -1)
        run(str(programs / "initdb"), "-D", f"{folder}/data", "-U", superuser, "--auth=trust", "--no-sync")
        if access:
            (folder / "data" / "pg_hba.conf").write_text(access)
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-w", "-t", "600", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield PostgreSQL(programs, folder, port)
        finally:
            run(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
