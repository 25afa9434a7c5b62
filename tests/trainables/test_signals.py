"""What a study does when it is told to end: by a signal to it, to its process group, or to the batch shell around it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from trainables.signals import heeding, interrupt

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_each_signal_ends_a_study_as_ctrl_c_does(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), heeding(lambda number, frame: interrupt(0)):
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_what_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SIGHUP is under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with heeding(interrupt):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_lost_terminal_does_not_fail_what_is_printed_to_it(tmp_path: Path) -> None:
    script = f"""
import signal, sys
from trainables.signals import heeding, interrupt
try:
    with heeding(interrupt):
        print("ready", flush=True)
        signal.pause()
except KeyboardInterrupt:
    print("saved", flush=True)
    open({str(tmp_path / "saved")!r}, "w").close()
"""
    terminal, other_end = os.openpty()
    with subprocess.Popen([sys.executable, "-c", script], stdout=other_end, stderr=other_end, env=ENVIRONMENT) as study:
        os.close(other_end)
        assert b"ready" in os.read(terminal, 100)
        os.close(terminal)
        study.send_signal(signal.SIGHUP)
        assert study.wait(60) == 0
    assert (tmp_path / "saved").exists()


def test_the_batch_script_for_slurm_lets_the_study_save(tmp_path: Path) -> None:
    """Slurm sends SIGTERM to the batch shell alone (`--signal=B:`)."""
    (script,) = re.findall(
        r"```bash\n(#!/bin/bash\n#SBATCH .*?)```", (ROOT / "study" / "CLUSTER.md").read_text(), flags=re.DOTALL
    )
    assert "--signal=B:TERM@" in script
    study = tmp_path / "python"
    study.write_text("#!/bin/bash\ntrap 'sleep 0.3; echo saved; exit 1' TERM\necho ready\nwhile true; do sleep 0.1; done\n")
    study.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    with subprocess.Popen(["bash", "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "ready\n"
        shell.send_signal(signal.SIGTERM)
        assert shell.stdout.read() == "saved\n"
        assert shell.wait(60) == 1
