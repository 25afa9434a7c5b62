"""A signal to the process group of a study that runs: its trials save, as after Ctrl-C, before Ray ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.environment import as_in_a_new_shell

pytestmark = pytest.mark.timeout(900)  # on a busy machine Ray takes long to start
STUDY = """
import sys, time
from pathlib import Path
from study.backend.base import Demands, TrialBatch
from study.backend.ray_tune import RayBackend
from study.schedule.order import Queue
from study.schedule.resources import Resources, Share
from tests.support.studies import NoRecorder
from trainables.config import Runtime, TrialConfig
from trainables.failures import Stop
from trainables.store.files import Files
from trainables.trial import RUNNING, STOPPED, TrialJob, TrialState

storage = Path(sys.argv[1])
def compute(job, proposed, report):
    with Stop(Files(job.runtime.storage), job.stop) as stop:
        (storage / "computes").touch()
        report(TrialState(RUNNING, "minimax", 1, 9))
        while not stop():
            time.sleep(0.1)
    (storage / "saved").touch()
    report(TrialState(STOPPED))

backend = RayBackend(compute)
resources = backend.start(Demands([], storage, str(storage), "", Resources(1.0, 0.0)))
job = TrialJob("a", "a", TrialConfig(), Runtime(data_root="", storage=str(storage)), NoRecorder(), stop="launches/stop")
queue = Queue([()], set(), lambda stage, key: False, [""])
end = backend.run(TrialBatch("signals", [job], [Share(1.0, 0.0)], queue, storage), lambda usage: None)
print("INTERRUPTED" if end.interrupted else "DONE", flush=True)
backend.stop()
"""


def test_a_signal_to_the_process_group_lets_the_trials_save(tmp_path: Path) -> None:
    environment = as_in_a_new_shell() | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STUDY, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
    ) as study:
        assert study.stdout is not None
        said = []
        for line in study.stdout:
            said.append(line)
            if "running" in line:
                os.killpg(study.pid, signal.SIGTERM)
                break
        rest = study.stdout.read()
        assert study.wait() == 0, "".join(said) + rest
    assert "told to stop" in rest
    assert "INTERRUPTED" in rest
    assert (tmp_path / "saved").exists()
