"""cluster.yaml against the schema that Ray ships, and what it says of the study; no cloud is asked."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import create_engine, text

from study.environment import NODES_COME_LATER_VARIABLE, TRACKING_URI_VARIABLE
from tests.support import ROOT
from tests.support.postgresql import postgresql_server
from trainables.config import DATA_ROOT_VARIABLE, STORAGE_VARIABLE

CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
VARIABLES = {DATA_ROOT_VARIABLE, STORAGE_VARIABLE, TRACKING_URI_VARIABLE, NODES_COME_LATER_VARIABLE, "RAY_JOB_STOP_WAIT_TIME_S"}


def test_cluster_yaml_is_what_ray_accepts() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    with pytest.raises(Exception, match=r"head_node_typo|unexpected|Additional"):
        validate_config({**config, "head_node_typo": "head"})


def test_every_command_of_the_cluster_is_shell() -> None:
    for key in ("setup_commands", "head_setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        for command in CLUSTER[key]:
            subprocess.run(["bash", "-n", "-c", command], check=True)


def test_ray_and_every_login_get_the_settings_of_a_study() -> None:
    settings = next(command for command in CLUSTER["setup_commands"] if "profile.d" in command)
    assert set(re.findall(r"export (\w+)=", settings)) >= VARIABLES
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        start = CLUSTER[key][-1]
        assert ". /etc/profile.d/anonymization.sh" in start
        assert "cd /home/ubuntu/anonymization" in start, "a submitted job finds study/run.py where Ray was started"


def test_mlflow_has_the_database_that_the_head_makes() -> None:
    (made,) = re.findall(r"createdb .*?(\w+) 2>", " ".join(CLUSTER["head_setup_commands"]))
    assert f"--backend-store-uri postgresql:///{made} " in " ".join(CLUSTER["head_start_ray_commands"])


ACCESS = """
local all postgres trust
local all all peer
"""
SUDO = """#!/bin/sh
[ "$1" = -u ] || exec "$@"
PGUSER=$2
export PGUSER
shift 2
exec "$@"
"""


def test_the_database_that_the_head_makes_takes_this_user_without_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands as written, twice as when the head is started again, on a PostgreSQL that knows local users as Debian's
    does. Only `sudo -u postgres` is another one, which needs no password.
    """
    sudo = tmp_path / "sudo"
    sudo.write_text(SUDO)
    sudo.chmod(0o755)
    with postgresql_server("postgres", ACCESS) as server:
        monkeypatch.setenv("PATH", f"{tmp_path}:{server.programs}:{os.environ['PATH']}")
        monkeypatch.setenv("PGHOST", str(server.socket_folder))
        monkeypatch.setenv("PGPORT", str(server.port))
        install, *commands = CLUSTER["head_setup_commands"]
        assert "install -y postgresql" in install
        for command in (*commands, *commands):
            assert subprocess.run(["bash", "-c", command], check=False).returncode == 0
        (uri,) = re.findall(r"--backend-store-uri (\S+)", " ".join(CLUSTER["head_start_ray_commands"]))
        with create_engine(uri).begin() as connection:
            who = connection.execute(text("select current_user, current_database()")).one()
            assert tuple(who) == (pwd.getpwuid(os.getuid()).pw_name, "mlflow")
            connection.execute(text("create table runs (name text)"))  # it is the owner of the database


def test_nothing_listens_to_the_world() -> None:
    commands = " ".join(CLUSTER["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in commands
    assert "0.0.0.0" not in commands
    assert "RAY_AUTH_MODE=token" in " ".join(CLUSTER["setup_commands"])


def test_the_ray_job_of_the_readme_is_complete() -> None:
    page = (ROOT / "study" / "CLUSTER.md").read_text()
    (block,) = re.findall(r"```yaml\n(apiVersion: ray.io/v1\n.*?)```", page, flags=re.DOTALL)
    job = yaml.safe_load(block)
    assert job["kind"] == "RayJob"
    assert job["spec"]["entrypoint"].startswith("python study/run.py --space ")
    cluster = job["spec"]["rayClusterSpec"]
    groups: list[dict[str, Any]] = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {variable["name"] for variable in container["env"]} >= VARIABLES
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
        assert container["image"]
    assert groups[0]["rayStartParams"]["num-cpus"] == "0"
    assert "nvidia.com/gpu" not in groups[0]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert groups[1]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "8"
