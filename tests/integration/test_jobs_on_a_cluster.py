"""cluster.yaml, started as far as a machine without a cloud can: its own commands, as written, in namespaces of their own.

Ray's fake multi-node provider stands in for AWS: the autoscaler starts nodes when the submitted job asks for them. The
demo's trials run on two nodes. Needs `unshare`.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chaos.namespaces import ISOLATE
from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell

SMALL = (
    *("clip.size=16", "clip.decode_size=16", "clip.frames=4", "anonymizer.decoder_channels=[8,4]", "reconstruct.epochs=1"),
    *("warm_up.epochs=1", "minimax.epochs=1", "evaluate_action.epochs=1", "evaluate_privacy.epochs=1"),
    "evaluate_privacy.clips=false",
)

# What a fresh machine of the cloud has: an address, a home, root by sudo, and a mounted file system. /home, /tmp/ray
# and /etc/profile.d are covered, not changed.
MACHINE = r"""
set -e
ip link set lo up
ip link add eth0 type bridge
ip addr add 10.77.1.1/24 dev eth0
ip link set eth0 up
ip route add default dev eth0
hostname head
mount -t tmpfs run /run
mkdir -p /run/checkout /run/shared /run/bin
mount --bind "$CHECKOUT" /run/checkout
mount -t tmpfs home /home
mount -t tmpfs profile /etc/profile.d
mkdir -p /tmp/ray
mount -t tmpfs ray /tmp/ray
mount -t tmpfs shared /run/shared
mkdir -p /home/ubuntu/anonymization
mount --bind /run/checkout /home/ubuntu/anonymization
printf '#!/bin/sh\nexec "$@"\n' > /run/bin/sudo
chmod +x /run/bin/sudo
export HOME=/home/ubuntu
cp "$CONFIG" $HOME/ray_bootstrap_config.yaml
cd $HOME
"""
AS_ROOT = "PATH=/run/bin:$PATH; "
USER = r"""
bash --login -c 'cd $HOME; for i in $(seq 100); do curl -s -o /dev/null $MLFLOW_TRACKING_URI/health && break; sleep 1; done
ray job submit -- python study/run.py '"$STUDY"
"""


@pytest.mark.timeout(900)  # more than a busy machine takes
def test_the_demo_runs_on_two_nodes_of_a_cluster_started_by_its_own_commands(tiny_data: Path, tmp_path: Path) -> None:
    if subprocess.run([*ISOLATE, "true"], capture_output=True, check=False).returncode != 0 or Path(sys.prefix).is_relative_to(
        "/home"
    ):
        pytest.skip("needs namespaces, and an environment outside of /home")
    checkout = tmp_path / "checkout"
    for name in ("study", "trainables", "search_spaces", "analysis", "tests/chaos"):
        shutil.copytree(ROOT / name, checkout / name)  # with its byte code
    (checkout / ".venv").symlink_to(Path(sys.prefix))
    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    (tmp_path / "bootstrap.json").write_text(json.dumps(bootstrapped(config)))
    commands = [*config["setup_commands"], *config["head_start_ray_commands"]]
    steps = [command.replace("/shared", "/run/shared").replace("make env", "true") for command in commands]
    # a package of the system that is not installed here, and does not run as root
    steps = [step.replace("postgresql:///mlflow", "sqlite:///$HOME/mlflow.db") for step in steps]
    # the launcher tells Ray the head's resources in a variable that the fake nodes would inherit
    assert config["available_node_types"]["head"]["resources"] == {"CPU": 0}
    steps[-1] += " --num-cpus=0"
    script = MACHINE + "\n".join(f"bash --login -c {shlex.quote(AS_ROOT + step)}" for step in steps) + USER
    study = ["--space", "demo", "--profile", "small", "--data-root", str(tiny_data), "--plugin", "tests/chaos/chaos_space.py"]
    study += ["--attacks", "none"]
    study += [word for setting in SMALL for word in ("--set", setting)]
    journal = tmp_path / "journal"
    environment = {
        **as_in_a_new_shell("PYTHON", "TMPDIR"),
        **{"CHECKOUT": str(checkout), "CONFIG": str(tmp_path / "bootstrap.json"), "STUDY": shlex.join(study)},
        **{"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"},
        "CHAOS_JOURNAL": str(journal),
    }
    log = tmp_path / "log"
    with log.open("w") as file:
        command = [*ISOLATE, "bash", "-c", script + "exit $?"]
        done = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment, timeout=800, check=False)
    said = log.read_text()
    assert done.returncode == 0, said[-5000:]
    assert "3 done, 0 failed, 0 lost" in said
    assert "MLflow http://10.77.1.1:5000" in said
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len({line["node"] for line in lines}) == 2


def bootstrapped(config: dict[str, Any]) -> dict[str, Any]:
    """What the launcher leaves on the head, with the fake provider and its name for the head, two nodes of one CPU."""
    from ray.autoscaler._private.util import prepare_config

    config = prepare_config(config)
    types = config["available_node_types"]
    nodes = {"ray.head.default": types["head"], "a100": {**types["a100"], "resources": {"CPU": 1}, "max_workers": 2}}
    provider = {"type": "fake_multinode", "use_node_id_as_ip": True, "disable_node_updaters": True}
    commands = {key: [] for key in config if key.endswith("_commands")}
    return {
        **{**config, **commands, "provider": provider, "head_node_type": "ray.head.default"},
        "file_mounts": {},
        "available_node_types": {name: {**node, "node_config": {}} for name, node in nodes.items()},
    }
